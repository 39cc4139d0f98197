//! The deterministic core: (view, entry) -> (writes, result).
//!
//! Every node runs the same entries through [`Machine::apply`] and arrives at the same state. So
//! nothing here reads a clock, draws a random number, opens a file or a socket, or depends on the
//! order of a hash map: time and chance come from the entry.
//!
//! ```text
//!   Machine        dispatcher: admits a batch, routes each instruction on its program
//!     | sessions   exactly once: a window of decided outcomes per session
//!     | grants     who may do what, and where: one table, the door's and apply's
//!     | programs   which images run
//!     | members    which nodes the realm is to have
//!     |-- Native   trait of programs in Rust; `sys` is one
//!     |-- actor    another one: actors, their mail and their history
//!     |-- contract a WASM program, its keyspace given by the scope of the instruction; it may call
//!     |            others, each within its own part of that scope
//!     `-- explain  the same run with notes: what each instruction asked, was granted and changed
//! ```
//!
//! An error of an instruction is an outcome, the same everywhere. A [`Halt`] is this node's own
//! trouble (disk, memory, a missing image): it stops the realm and is never an outcome.

mod actor;
mod apply;
mod cached;
mod context;
mod contract;
mod explain;
mod genesis;
mod grants;
mod halt;
mod keyspace;
mod machine;
mod members;
mod native;
mod programs;
mod query;
mod sessions;
pub mod sys;

pub use actor::{ActorDifference, ActorLetters, ActorPage, ActorReplay, ActorState, Due};
pub use apply::{Applied, EntryAt, LogLine};
pub use context::Context;
pub use explain::{
    CalleeExplained, DeliveryExplained, Explained, GrantUsed, HOST_CALLS_EXPLAINED_MAX, HostCall,
    InstructionExplained,
};
pub use genesis::{check_genesis, genesis_writes};
pub use grants::{GrantTable, Subject};
pub use halt::{Fault, Halt};
pub use machine::{Admission, Images, Machine};
pub use native::{Call, Native};
pub use query::KvPage;
pub use sessions::Session;
