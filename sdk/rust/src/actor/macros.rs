//! What authors say: [`data!`](crate::data) and [`actor!`](crate::actor).

/// Makes structs and enums data of an actor: its messages, its state, and what is in them.
///
/// They derive `Clone`, `Debug`, `PartialEq`, and what makes JSON of them, and a schema. An unknown
/// field is refused. An enum's variants are named in `snake_case`: `Add { by: u32 }` is
/// `{"add": {"by": 1}}`. Attributes of serde and schemars work on types, variants and fields.
#[macro_export]
macro_rules! data {
    ($($(#[$meta:meta])* $vis:vis $kind:ident $name:ident $body:tt)*) => {
        $($crate::__data!($kind, { $(#[$meta])* $vis $kind $name $body });)*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __data {
    (enum, { $($item:tt)* }) => {
        #[derive(
            Clone, Debug, PartialEq,
            $crate::serde::Serialize, $crate::serde::Deserialize, $crate::schemars::JsonSchema,
        )]
        #[serde(crate = "::althing_sdk::serde", rename_all = "snake_case", deny_unknown_fields)]
        #[schemars(crate = "::althing_sdk::schemars")]
        $($item)*
    };
    (struct, { $($item:tt)* }) => {
        #[derive(
            Clone, Debug, PartialEq,
            $crate::serde::Serialize, $crate::serde::Deserialize, $crate::schemars::JsonSchema,
        )]
        #[serde(crate = "::althing_sdk::serde", deny_unknown_fields)]
        #[schemars(crate = "::althing_sdk::schemars")]
        $($item)*
    };
}

/// Makes an [`Actor`] the one that this crate exports. Once per crate, whose type is `cdylib`.
///
/// `actor!(Mine, migrate)` exports its [`MigrateState`] as well.
#[macro_export]
macro_rules! actor {
    ($actor:ty $(, $migrate:ident)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;
            $crate::__actor!($actor);
            $($crate::__actor_migration!($actor, $migrate);)?
        };
    };
}

/// The functions of every actor, for [`actor!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __actor {
    ($actor:ty) => {
        ::std::thread_local! {
            static INSTANCE: ::std::cell::RefCell<$crate::actor::Instance<$actor>> =
                ::std::default::Default::default();
        }

        impl $crate::bindings::actor::Guest for Component {
            fn init() -> ::std::string::String {
                $crate::actor::guest::or_trap(|| INSTANCE.with_borrow(|instance| instance.init()))
            }

            fn handle(
                msg: ::std::string::String,
                state: ::std::string::String,
            ) -> ::std::string::String {
                $crate::actor::guest::or_trap(|| {
                    INSTANCE.with_borrow_mut(|instance| instance.handle(msg, state))
                })
            }

            fn message_contract(
                msg: ::std::string::String,
                state: ::std::string::String,
            ) -> bool {
                $crate::actor::guest::verdict(|| {
                    INSTANCE.with_borrow_mut(|instance| instance.message_contract(msg, state))
                })
            }

            fn state_contract(state: ::std::string::String) -> bool {
                $crate::actor::guest::verdict(|| {
                    INSTANCE.with_borrow_mut(|instance| instance.state_contract(state))
                })
            }
        }

        impl $crate::bindings::actor::exports::althing::actor::description::Guest for Component {
            fn describe() -> ::std::string::String {
                INSTANCE.with_borrow(|instance| instance.describe())
            }
        }

        $crate::bindings::actor::export!(Component with_types_in $crate::bindings::actor);

        /// Called by `althing build`, and never again.
        #[unsafe(export_name = "althing-prepare")]
        extern "C" fn prepare() {
            $crate::actor::guest::or_trap(|| INSTANCE.with_borrow(|instance| instance.prepare()));
        }
    };
}

/// The function of an actor that migrates, for [`actor!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __actor_migration {
    ($actor:ty, migrate) => {
        impl $crate::bindings::actor_migration::exports::althing::actor::migration::Guest
            for Component
        {
            fn migrate(
                state: ::std::string::String,
                from_version: ::std::string::String,
            ) -> ::std::string::String {
                $crate::actor::guest::or_trap(|| {
                    $crate::actor::migrate_text::<$actor>(&state, &from_version)
                })
            }
        }

        $crate::bindings::actor_migration::export!(
            Component with_types_in $crate::bindings::actor_migration
        );
    };
}
