//! The replicated state on one node: redb on disk, immutable views, scopes, digests, snapshots.
//!
//! ```text
//!   Scope        one instruction's writes over a View; owned, rolled back or merged whole
//!     | into_writes
//!   Tip          the single writer's head: merges writes, publishes at a batch boundary
//!     | freeze                        \ publish
//!   Flusher      frozen writes -> one   View   what readers hold: disk + frozen + fresh, immutable
//!     |          sorted transaction    /
//!   redb         state, results, checkpoints, meta; position and state hash in the same commit
//! ```
//!
//! The state on disk is a cache of the log: a crash loses what was not flushed, and the log's
//! entries after [`Applied::index`] are run again. Nothing here reads a clock, draws a random
//! number, spawns a thread or knows an async runtime.
//!
//! Keys live in *keyspaces*, one or more per program. All that is in a keyspace is replicated and
//! hashed; what belongs to one node only lies in other tables (see [`tables`]).
//!
//! # Reads that fail
//! A [`StateError`] is a defect of this node's disk or memory. It stops the realm; it is never an
//! outcome, since other nodes do not share it. What a caller did wrong is an
//! [`althing_protocol::Error`] and comes from [`Scope`]'s writes only.

#[cfg(target_endian = "big")]
compile_error!("the state hash reads lattice elements as little-endian integers");

mod applied;
mod check;
mod digest;
mod disk;
mod engine;
mod error;
mod fingerprint;
mod flush;
mod gaps;
mod key;
mod local;
mod merge;
mod range;
mod scope;
pub mod snapshot;
mod store;
pub mod tables;
mod tip;
mod view;
mod writes;

pub use althing_protocol::CheckpointValues;
pub use applied::Applied;
pub use check::{Report, check_file};
pub use error::StateError;
pub use fingerprint::Fingerprint;
pub use flush::{FlushPolicy, Flushed, Flusher};
pub use key::{KEYSPACE_BYTES_MAX, Key};
pub use range::{Order, Range};
pub use redb::{StorageBackend, backends::InMemoryBackend};
pub use scope::{Change, Savepoint, Scope};
pub use store::{Options, Store};
pub use tip::Tip;
pub use view::{Page, View};
pub use writes::{Value, Writes};
