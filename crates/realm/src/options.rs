//! What can be chosen about a realm on this node. Nothing here may change an outcome.

use crate::Identity;
use althing_protocol::{PublicKey, v1};
use althing_sandbox::{Backend, Reservation};
use std::path::PathBuf;

/// How a node runs a realm.
#[derive(Clone, Debug)]
pub struct Options {
    /// The realm's directory.
    pub dir: PathBuf,
    /// This node, as others meet it; none for a realm that stays alone.
    pub identity: Option<Identity>,
    /// Envelopes between the door and their outcome, at most; one more is `exhausted`.
    pub queue_envelopes_max: usize,
    /// Their bytes, at most.
    pub queue_bytes_max: usize,
    /// Free space of the file system below which writes are refused, in bytes.
    pub disk_low_water_bytes: u64,
    /// How long a flush of the log waits for company, in microseconds.
    pub log_flush_wait_us: u64,
    /// Entries that compaction leaves in the log.
    pub log_entries_keep: u64,
    /// Bytes that compaction leaves in the log, where that is fewer entries.
    pub log_bytes_keep: u64,
    /// Pages of the state in memory, in bytes.
    pub state_cache_bytes: usize,
    /// Unflushed state becomes durable after this long, in milliseconds.
    pub state_flush_idle_ms: u64,
    /// A reader may hold one view for this long, in milliseconds: it keeps the file from shrinking.
    pub view_lifetime_ms: u64,
    /// Instances of guests at a time, at most: those that queries never take
    /// ([`RESERVED_INSTANCES`](althing_sandbox::limits::RESERVED_INSTANCES)), and at least one.
    pub guest_instances_max: u32,
    /// What runs the code of guests.
    pub guest_backend: Backend,
    /// Whether instances live in slots that are reserved once.
    pub guest_pooling: bool,
    /// How much address space the memory of a guest has.
    pub guest_reservation: Reservation,
    /// A query of a guest may take this long, in milliseconds.
    pub query_deadline_ms: u64,
}

impl Options {
    /// The defaults for a directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            identity: None,
            queue_envelopes_max: 4_096,
            queue_bytes_max: 64 << 20,
            disk_low_water_bytes: 256 << 20,
            log_flush_wait_us: 50,
            log_entries_keep: 1_000_000,
            log_bytes_keep: 1 << 30,
            state_cache_bytes: 16 << 20,
            state_flush_idle_ms: 5_000,
            view_lifetime_ms: 10_000,
            guest_instances_max: 64,
            guest_backend: Backend::Native,
            guest_pooling: true,
            guest_reservation: Reservation::Auto,
            query_deadline_ms: 5_000,
        }
    }
}

/// What a realm is born with.
#[derive(Clone, Debug)]
pub struct Founding {
    /// Its name, for people.
    pub name: String,
    /// Holds every grant.
    pub founder: PublicKey,
    /// The first node's own key: it is member 1, a voter.
    pub node: PublicKey,
    /// Granted from the start beside that.
    pub grants: Vec<v1::Grant>,
}
