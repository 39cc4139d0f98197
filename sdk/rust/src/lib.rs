//! Write contracts and actors for Althing in Rust. [`actor`] explains actors, this page contracts.
//!
//! A contract is a type with two functions: one runs instructions, the other answers queries. Its
//! messages are enums; a variant is a method, its fields are the arguments (JSON on the wire).
//!
//! ```
//! use althing_sdk::{Contract, Reply, Result, contract, db, methods, reply};
//!
//! methods! {
//!     /// Instructions.
//!     pub enum Call {
//!         /// Greets `name` once more.
//!         Greet { name: String },
//!     }
//! }
//!
//! methods! {
//!     /// Queries.
//!     pub enum Query {
//!         /// How often `name` was greeted.
//!         Count { name: String },
//!     }
//! }
//!
//! struct Greeter;
//!
//! impl Contract for Greeter {
//!     type Call = Call;
//!     type Query = Query;
//!
//!     fn apply(call: Call) -> Result<Reply> {
//!         let Call::Greet { name } = call;
//!         let count = db::get_json::<u64>(&name)?.unwrap_or(0) + 1;
//!         db::put_json(&name, &count)?;
//!         reply(format!("hello, {name}"))
//!     }
//!
//!     fn query(query: Query) -> Result<Reply> {
//!         let Query::Count { name } = query;
//!         reply(db::get_json::<u64>(&name)?.unwrap_or(0))
//!     }
//! }
//!
//! contract!(Greeter);
//!
//! // The same code runs natively, against a keyspace in memory:
//! use althing_sdk::testing::Realm;
//! let mut realm = Realm::new();
//! realm.apply::<Greeter>("greet", r#"{"name":"Ada"}"#).unwrap();
//! assert_eq!(realm.query::<Greeter>("count", r#"{"name":"Ada"}"#).unwrap(), 1);
//! ```
//!
//! **What holds.** Each call gets a fresh instance: `static`s start anew, only [`db`] lasts. An
//! error or a panic undoes all that the call wrote and emitted. A panic also costs the whole fuel
//! limit, and its message is in the log (`althing logs PROGRAM`).
//!
//! **What there is not.** No clock but [`context::timestamp_us`], no randomness but
//! [`context::seed`], no files, no network, no threads. A hash map iterates in the same order on
//! every node, but in no order that means anything: where order matters, use a `BTreeMap`.

pub mod actor;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
#[cfg(any(target_arch = "wasm32", test))]
mod compare;
pub mod context;
pub mod crypto;
pub mod db;
mod error;
pub mod events;
mod host;
pub mod log;
#[cfg(target_arch = "wasm32")]
mod memory;
mod message;
pub mod programs;
mod schema;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use actor::{Actor, MigrateState};
pub use error::{Error, Kind, Result};
pub use message::{Reply, reply};
pub use {schemars, serde, serde_json};

/// A replicated program.
pub trait Contract {
    /// Its instructions: an enum made by [`methods!`].
    type Call: serde::de::DeserializeOwned;
    /// Its queries: an enum made by [`methods!`].
    type Query: serde::de::DeserializeOwned;

    /// Runs an instruction. An error undoes everything the call did, and its text becomes the
    /// outcome.
    ///
    /// # Errors
    /// Whatever the contract refuses.
    fn apply(call: Self::Call) -> Result<Reply>;

    /// Answers a query. Whatever would write or emit is `denied` here.
    ///
    /// # Errors
    /// Whatever the contract refuses.
    fn query(query: Self::Query) -> Result<Reply>;
}

/// Makes an enum a set of methods: each variant is one, named in `snake_case`, and its fields are
/// its arguments. An unknown method, field or a missing one is refused, and the error names it.
///
/// Attributes of serde work on variants and fields: `#[serde(default)]` makes an argument optional.
/// Structs inside should say `#[serde(deny_unknown_fields)]` themselves.
#[macro_export]
macro_rules! methods {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($variants:tt)* }) => {
        $(#[$meta])*
        #[derive(Debug, $crate::serde::Deserialize)]
        #[serde(crate = "::althing_sdk::serde", rename_all = "snake_case", deny_unknown_fields)]
        $vis enum $name { $($variants)* }
    };
}

/// A contract that is told when it takes over from another version of itself.
pub trait Migrate {
    /// Runs once when this version is activated in place of another one, with what the manifest of
    /// that other one says as its version. It brings what is in [`db`] into the form that this version
    /// expects. After a rollback it is the version that returns which is told.
    ///
    /// An error undoes everything, and the version that was active stays so. It may query other
    /// [`programs`], not call them.
    ///
    /// # Errors
    /// When it cannot go on from that version.
    fn migrate(from_version: &str) -> Result<()>;
}

/// Makes a [`Contract`] the one that this crate exports. Once per crate, whose type is `cdylib`.
///
/// `contract!(Mine, migrate)` exports its [`Migrate`] as well.
#[macro_export]
macro_rules! contract {
    ($contract:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;
            $crate::__guest!($contract, $crate::bindings);
    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
    ($contract:ty, migrate) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;
            $crate::__guest!($contract, $crate::bindings::migrating);

            impl $crate::bindings::migrating::exports::althing::contract::migration::Guest
                for Component
            {
                fn migrate(
                    from_version: ::std::string::String,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::__migrate::<$contract>(&from_version)
                }
            }

            $crate::bindings::migrating::export!(
                Component with_types_in $crate::bindings::migrating
            );
        };
    };
}

/// The functions of every contract, for [`contract!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __guest {
    ($contract:ty, $($world:tt)*) => {
        impl $($world)*::Guest for Component {
            fn apply(
                method: ::std::string::String,
                args: ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                $crate::__apply::<$contract>(&method, &args)
            }

            fn query(
                method: ::std::string::String,
                args: ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                $crate::__query::<$contract>(&method, &args)
            }
        }
    };
}

/// The export `apply`, for [`contract!`].
#[doc(hidden)]
pub fn __apply<C: Contract>(method: &str, args: &[u8]) -> Result<Vec<u8>, String> {
    host::enter_contract();
    message::decode(method, args)
        .and_then(C::apply)
        .map(Reply::into_bytes)
        .map_err(Error::into_text)
}

/// The export `query`, for [`contract!`].
#[doc(hidden)]
pub fn __query<C: Contract>(method: &str, args: &[u8]) -> Result<Vec<u8>, String> {
    host::enter_contract();
    message::decode(method, args)
        .and_then(C::query)
        .map(Reply::into_bytes)
        .map_err(Error::into_text)
}

/// The export `migrate`, for [`contract!`].
#[doc(hidden)]
pub fn __migrate<C: Migrate>(from_version: &str) -> Result<(), String> {
    host::enter_contract();
    C::migrate(from_version).map_err(Error::into_text)
}
