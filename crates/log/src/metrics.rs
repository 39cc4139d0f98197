//! What an operator can see of a log.

use crate::store::FlushStats;

/// A log, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Current term.
    pub term: u64,
    /// The leader, when one is known.
    pub leader: Option<u64>,
    /// Whether this node leads.
    pub leads: bool,
    /// The last entry written.
    pub last: Option<u64>,
    /// The last entry known to be on a quorum.
    pub committed: Option<u64>,
    /// The last entry applied.
    pub applied: Option<u64>,
    /// The first entry not purged, where there is one.
    pub first_kept: Option<u64>,
    /// The last entry that a compaction found durable in the state.
    pub snapshot: Option<u64>,
    /// What flushing does.
    pub flush: FlushStats,
    /// Why the log stopped for good, if it did.
    pub fault: Option<String>,
}
