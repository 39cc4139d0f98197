//! What can be chosen about a log.

use althing_protocol::Error;
use openraft::{SnapshotPolicy, StepDownPolicy};
use std::path::PathBuf;
use std::sync::Arc;

/// The largest raft id of a node: an entry's name on disk has 20 bits for it.
pub const NODE_MAX: u64 = (1 << 20) - 1;

/// Entries of one append to a follower.
pub(crate) const APPEND_ENTRIES_MAX: u64 = 1_024;

/// Options of a log. `LogConfig::new` gives all but the two without a default.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The log's directory; it belongs to the log alone.
    pub dir: PathBuf,
    /// Raft id of this node: given out by the realm, never reused, at most [`NODE_MAX`]. Written
    /// into the directory.
    pub node: u64,
    /// How long a flush waits for more records to join it, in microseconds. Waited in full when
    /// fewer than 2,048 appends come, so it is a floor under the latency of one write; 0 gives
    /// every append a flush of its own and costs group commit.
    pub flush_wait_us: u64,
    /// A segment is closed when it has grown past this many bytes. The segment in use is held in
    /// memory whole, and is read whole when the log opens.
    pub segment_bytes_max: usize,
    /// Entries of closed segments kept in memory, in bytes; older ones are read from disk.
    pub cache_bytes_max: usize,
    /// Entries behind the last one that compaction leaves. Each kept entry costs about 110 bytes
    /// of memory.
    pub entries_keep: u64,
    /// Bytes of segments that compaction leaves at most, even where that is fewer entries. Each
    /// segment costs an open file.
    pub keep_bytes_max: u64,
    /// Between two heartbeats of a leader, in milliseconds. A heartbeat counts when it is answered
    /// within this time: more than the round trip to most of the nodes.
    pub heartbeat_ms: u64,
    /// Of elections, in milliseconds; more than two heartbeats. One and a half of it is the
    /// leader's lease. A voter that has heard nothing for the lease stands for election after one
    /// to one and a half of it: so a leader that is gone has a successor after about 2.75 of it.
    pub election_ms: u64,
    /// How long opening a log whose only voter is this node waits until it leads, in milliseconds.
    /// Replaying entries is not bounded.
    pub leader_wait_ms: u64,
    /// How long a proposal waits to be decided and applied, in milliseconds. It may take effect
    /// later all the same.
    pub decide_wait_ms: u64,
}

impl LogConfig {
    /// The defaults, for one directory and one node.
    pub fn new(dir: impl Into<PathBuf>, node: u64) -> Self {
        Self {
            dir: dir.into(),
            node,
            flush_wait_us: 50,
            segment_bytes_max: 4 << 20,
            cache_bytes_max: 2 << 20,
            entries_keep: 1_000_000,
            keep_bytes_max: 1 << 30,
            heartbeat_ms: 100,
            election_ms: 250,
            leader_wait_ms: 10_000,
            decide_wait_ms: 30_000,
        }
    }

    /// The longest election timeout, which is also the lease.
    pub(crate) fn election_max_ms(&self) -> u64 {
        self.election_ms.saturating_mul(3) / 2
    }

    /// The consensus engine's own configuration, once ours is checked. It never snapshots or purges by itself:
    /// compaction is the realm's decision, which alone knows what the state has on disk.
    pub(crate) fn engine(&self) -> Result<Arc<openraft::Config>, Error> {
        if self.node > NODE_MAX {
            return Err(Error::invalid(format!(
                "node {}: the largest raft id is {NODE_MAX}",
                self.node
            )));
        }
        openraft::Config {
            cluster_name: "althing".into(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_ms,
            election_timeout_max: self.election_max_ms(),
            // A node that was away disturbs nobody with its term.
            enable_pre_vote: Some(true),
            // A leader that comes back is elected again: what it had known to be committed, and so
            // what its state shows, may lie before what it had answered.
            enable_leader_restore: Some(false),
            // Bytes are what bounds an append; the store gives no more than a piece of them.
            max_payload_entries: APPEND_ENTRIES_MAX,
            // Between attempts to reach a node that is lost.
            backoff: "50ms 100ms 200ms ...1s".into(),
            // Long enough to tell the others about the change that removed it.
            removed_leader_step_down: StepDownPolicy::After(self.election_ms),
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            purge_batch_size: 4_096,
            ..Default::default()
        }
        .validate()
        .map(Arc::new)
        .map_err(|error| {
            Error::invalid(format!("log timing: {error}; correct heartbeat_ms or election_ms"))
        })
    }
}
