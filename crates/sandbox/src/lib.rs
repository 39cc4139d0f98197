//! The sandbox of replicated guests: WebAssembly that gives the same outcome on every node.
//!
//! ```text
//!   inspect   what a component imports and exports, before anything is compiled
//!   Engine    one configuration, every option set on purpose; compiles, or takes from its cache
//!   Image     a component, linked once; each call gets a fresh instance of it
//!   Host      what the machine offers a guest during a call
//! ```
//!
//! What a guest does wrong (a trap, an exhausted limit, a broken rule of the canonical ABI) is an
//! [`Error`](althing_protocol::Error) with a text that is the same on every machine: no address, no
//! backtrace. What the node itself cannot do (no memory, no disk) is a [`Halt`], never an outcome.
//!
//! Guests that are not replicated run elsewhere, under another configuration.

mod cache;
mod call;
mod config;
mod engine;
mod fault;
mod fuel;
mod host;
mod imports;
mod inspect;

pub use call::{Call, Export, Finished, Image};
pub use engine::{Engine, EngineOptions, LoadError};
pub use host::{CallContext, Halt, Host, HostError, Level, Page, Pair};
pub use inspect::{Inspection, Kind, inspect};

/// Limits of the sandbox itself. They belong to the semantics: a node that allowed more would
/// arrive at another outcome.
pub mod limits {
    /// Core modules in a component.
    pub const MODULES_MAX: u32 = 16;
    /// Instances of core modules in a component.
    pub const CORE_INSTANCES_MAX: u32 = 16;
    /// Tables in a component.
    pub const TABLES_MAX: u32 = 8;
    /// Elements of one table.
    pub const TABLE_ELEMENTS_MAX: usize = 32_768;
    /// Bytes that a guest can pass to the host at once, or return to it. What is allowed is less,
    /// and depends on what is passed; beyond this, the canonical ABI gives up and the call fails.
    pub const TRANSFER_BYTES_MAX: usize = 2 << 20;
    /// Handles to resources that a call may hold.
    pub const HANDLES_MAX: usize = 1_024;
    /// Stack of a call, in bytes of the native stack. How deep that is depends on the processor.
    /// The thread that runs a guest needs this and what the host functions use.
    pub const STACK_BYTES_MAX: usize = 512 << 10;
}
