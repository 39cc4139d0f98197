//! What can be chosen about a log.

use althing_protocol::Error;
use openraft::SnapshotPolicy;
use std::path::PathBuf;
use std::sync::Arc;

/// The largest raft id of a node: an entry's name on disk has 20 bits for it.
pub const NODE_MAX: u64 = (1 << 20) - 1;

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
    /// Between two heartbeats of a leader, in milliseconds.
    pub heartbeat_ms: u64,
    /// A follower that hears nothing for this long, to twice this long, stands for election, in
    /// milliseconds. Twice this is also the leader's lease. At least two heartbeats.
    pub election_ms: u64,
    /// How long opening waits for a leader, in milliseconds. Replaying entries is not bounded.
    pub leader_wait_ms: u64,
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
            heartbeat_ms: 250,
            election_ms: 1_000,
            leader_wait_ms: 10_000,
        }
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
            election_timeout_max: self.election_ms * 2,
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
