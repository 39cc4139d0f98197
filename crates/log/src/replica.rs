//! What the log drives.

use althing_protocol::Error;
use bytes::Bytes;
use std::future::Future;
use std::path::PathBuf;

/// A committed entry, to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Place in the log. Consecutive, counted from 0.
    pub index: u64,
    /// Term of the leader that proposed it.
    pub term: u64,
    /// That leader.
    pub node: u64,
    /// What was proposed. None when the entry is the engine's own: a leader's first, or `membership`.
    pub bytes: Option<Bytes>,
    /// The membership from this entry on, to be kept as [`Position::membership`].
    pub membership: Option<Vec<u8>>,
}

/// How far a state has come. Entry 0 has a membership, so a position without one is the start,
/// and nothing is applied: `Position::default()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Index of the last entry applied.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Its leader.
    pub node: u64,
    /// The last membership applied; empty at the start.
    pub membership: Vec<u8>,
}

impl Position {
    /// Whether nothing has been applied.
    pub fn is_start(&self) -> bool {
        self.membership.is_empty()
    }
}

/// A reason to stop for good: the state cannot follow the log any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Halt(pub String);

/// A snapshot: of which position, and where. Where is empty when only the position was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFile {
    /// The state it holds.
    pub position: Position,
    /// The file, when it was written or received.
    pub path: Option<PathBuf>,
}

/// A state that follows the log.
pub trait Replica: Send + Sync + 'static {
    /// What a proposer gets back.
    type Response: Send + Sync + 'static;

    /// The last position applied. At start that is what is durable; the log replays what follows.
    fn applied(&self) -> Position;

    /// Applies entries, in order, and gives one response for each that has bytes.
    /// Never called twice at a time. An error stops the log for good.
    fn apply(
        &self,
        entries: Vec<Committed>,
    ) -> impl Future<Output = Result<Vec<Self::Response>, Halt>> + Send;

    /// The position up to which the state is durable: the log may be purged up to there.
    /// The state on disk is the snapshot; no file is written.
    fn snapshot(&self) -> impl Future<Output = Result<SnapshotFile, Halt>> + Send;

    /// A look at what is proposed when it comes into the log, before it is decided: it may be
    /// replaced yet, and it is seen once more when it is applied. Entries that are in the log when
    /// it opens are not shown. Called while the engine waits: it must not block.
    fn appended(&self, index: u64, bytes: &Bytes) {
        let _ = (index, bytes);
    }

    /// A snapshot in a file, at [`snapshot`](Replica::snapshot)'s position or a later one: asked for
    /// when a follower needs entries that are purged here. Each attempt to send it asks again; a
    /// file that stays the same for a while lets an interrupted transfer go on.
    fn snapshot_file(&self) -> impl Future<Output = Result<SnapshotFile, Error>> + Send {
        async { Err(Error::unavailable("this node sends no snapshots; ask another")) }
    }

    /// Replaces the state by a snapshot that a leader sent, durably, before it returns. A crash
    /// leaves the state of before or the snapshot's, whole.
    fn install(&self, snapshot: SnapshotFile) -> impl Future<Output = Result<(), Halt>> + Send;
}
