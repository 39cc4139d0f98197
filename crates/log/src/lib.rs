//! The replicated log of a realm: openraft decides, raft-log keeps, a [`Transport`] carries to the
//! other nodes, a [`Replica`] applies.
//!
//! One voter is a cluster of one: there is one code path. What is proposed is opaque bytes here.
//!
//! ```text
//!  propose ──> openraft ──> Storage (segments, checksums, one fdatasync per merged batch)
//!                 │  ╲
//!                 │   ╲──> Transport ──> handle_exchange of each follower ──> its Storage
//!                 │  committed: durable on a quorum
//!                 └──────> Replica::apply ──> response ──> propose returns
//! ```
//!
//! # Between nodes
//! Votes and heartbeats are calls. Entries go through an exchange: appends that do not wait for the
//! answers to those before, up to a number and a sum of bytes on their way, answered in order. A
//! follower whose next entry is purged gets a snapshot. What does not answer in time is left and
//! tried again, more and more seldom; no node waits for another one's silence. What arrives is
//! refused unless it is what a correct node says (`wire.rs`).
//!
//! # The directory
//! | name      | what it holds                                                                    |
//! |-----------|----------------------------------------------------------------------------------|
//! | `format`  | version, raft id of the node, a random salt; text                                |
//! | `lock`    | locked by the process that has the log open                                      |
//! | `durable` | up to which byte the log has been flushed; two checksummed slots, written in turn |
//! | `wal/`    | `r-OFFSET.wal`: records with a CRC-32 each; the name is the first byte's offset    |
//!
//! # Why a crash loses nothing that was acknowledged
//! A proposal is acknowledged after the `fdatasync` that covers its record; a file's name is
//! flushed before its first record; a vote is flushed before it counts. So what power loss tears
//! lies behind the last flush, and nobody was told about it. Such a tail is dropped. Damage
//! anywhere else (known by the offset in `durable`, or by a later record that says "what you
//! damaged had been flushed when I was written") is never dropped: opening fails and names it.
//! Any failed write or flush stops the log for good, and so does an entry that the engine cannot read.

mod acknowledged;
mod cluster;
mod config;
mod fault;
mod flight;
mod log;
mod machine;
mod membership;
mod metrics;
mod offline;
mod refusal;
mod remote;
mod replica;
mod serve;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;
mod start;
mod store;
mod transport;
mod types;
mod wire;

// The toy of the integration tests names this crate as they do.
#[cfg(test)]
extern crate self as althing_log;
#[cfg(test)]
mod suite;

pub use cluster::{Members, Progress, Standing, Watch};
pub use config::{LogConfig, NODE_MAX};
pub use log::{Item, Log};
pub use membership::voters;
pub use metrics::Metrics;
pub use offline::{Kept, fit};
pub use refusal::Refusal;
pub use replica::{Committed, Halt, Position, Replica, SnapshotFile};
pub use start::Begin;
pub use store::{Body, Done, FlushStats, Id, Record, State, Storage, Vote};
pub use transport::{Alone, Transport};
pub use types::{Command, Types};

/// An entry, in bytes, as proposed: the largest envelope and what wraps it.
pub const ENTRY_BYTES_MAX: usize = althing_protocol::limits::ENVELOPE_BYTES_MAX + (64 << 10);
