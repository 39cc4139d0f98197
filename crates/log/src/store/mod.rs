//! Where entries and votes are kept.

mod adapter;
mod behind;
mod codec;
mod dir;
mod guard;
mod mark;
mod recent;
mod segments;

pub(crate) use adapter::{Store, log_id};
pub(crate) use behind::go_on_behind;
pub(crate) use codec::{INDEX_MAX, TERM_MAX};
pub(crate) use dir::Dir;
pub(crate) use segments::Segments;

use bytes::Bytes;
use std::io;
use std::ops::Range;

/// Names an entry. Ordered as the engine orders: by leader, then by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// Term of the leader.
    pub term: u64,
    /// The leader.
    pub node: u64,
    /// Place in the log.
    pub index: u64,
}

/// What this node promised in elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// Term voted in.
    pub term: u64,
    /// Node voted for.
    pub node: u64,
    /// Whether a quorum voted so.
    pub committed: bool,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: a leader's first entry.
    Blank,
    /// What was proposed.
    Command(Bytes),
    /// Who is a member from here on.
    Membership(Bytes),
}

impl Body {
    /// Size of what it carries.
    pub fn len(&self) -> usize {
        match self {
            Self::Blank => 0,
            Self::Command(bytes) | Self::Membership(bytes) => bytes.len(),
        }
    }

    /// Whether it carries nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub id: Id,
    /// What it says.
    pub body: Body,
}

/// What a storage holds besides entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The last vote saved.
    pub vote: Option<Vote>,
    /// The last entry, or the last purged where none is kept.
    pub last: Option<Id>,
    /// The last commit saved; may lag behind the truth.
    pub committed: Option<Id>,
    /// The last entry purged.
    pub purged: Option<Id>,
}

/// What flushing has done since the log opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushStats {
    /// Flushes to disk.
    pub flushes: u64,
    /// Entries they carried.
    pub entries: u64,
    /// Bytes they carried.
    pub bytes: u64,
    /// The most appends that shared one flush.
    pub appends_max: u64,
    /// Half of the flushes took at most this, in microseconds.
    pub flush_p50_us: u64,
    /// 99 of 100 took at most this, in microseconds.
    pub flush_p99_us: u64,
    /// The slowest, in microseconds.
    pub flush_max_us: u64,
    /// Bytes of all segments.
    pub disk_bytes: u64,
}

/// Told the result of a flush, on a thread of the storage: it must not block.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What the log needs of a disk. Changes take effect in memory at once and in call order; all that
/// came before a [`flush`](Storage::flush) is durable when that one is done.
pub trait Storage: Send + Sync + 'static {
    /// What is held now, durable or not.
    fn state(&self) -> State;
    /// Adds entries behind the last.
    fn append(&mut self, records: Vec<Record>) -> io::Result<()>;
    /// Forgets all entries behind `last`; all of them when it is none.
    fn truncate_after(&mut self, last: Option<Id>) -> io::Result<()>;
    /// Forgets all entries up to and with `upto`, which may lie behind the last.
    fn purge(&mut self, upto: Id) -> io::Result<()>;
    /// Keeps a vote.
    fn save_vote(&mut self, vote: Vote) -> io::Result<()>;
    /// Keeps how far is committed. Losing it costs nothing but time.
    fn save_committed(&mut self, committed: Id) -> io::Result<()>;
    /// Makes everything so far durable, then calls `done`, exactly once, whatever happens.
    fn flush(&mut self, done: Done) -> io::Result<()>;
    /// Entries in order, those of the range that are held; after the first, only as many as keep
    /// the sum of their bodies within `bytes_max`.
    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>>;
    /// The first entry of the newest segments that fit into so many bytes together; the next entry
    /// to come where none fits.
    fn first_within(&self, bytes_max: u64) -> u64;
    /// From this entry on reading asks no disk.
    fn first_in_memory(&self) -> u64;
    /// What flushing has done.
    fn stats(&self) -> FlushStats;
    /// Makes everything durable and lets go of the files.
    fn close(self: Box<Self>) -> io::Result<()>;
}
