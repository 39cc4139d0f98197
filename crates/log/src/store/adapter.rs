//! A [`Storage`] as the engine wants it.

use super::{Body, FlushStats, Id, Record, State, Storage, Vote};
use crate::fault::Fault;
use crate::membership;
use crate::types::{Ballot, Command, Entry, LeaderId, LogId, Payload, Types};
use bytes::Bytes;
use futures::{Stream, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{AsyncRuntime, OptionalSend, RaftLogReader};
use std::collections::VecDeque;
use std::fmt::{Debug, Display};
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What one read takes into memory, when it may stop early.
const READ_BYTES_MAX: usize = 1 << 20;
/// What is read at once from disk: the engine cannot append meanwhile.
const SLICE_BYTES_MAX: usize = 64 << 10;

/// The storage, shared by the engine, its readers and the log's handle.
#[derive(Clone)]
pub(crate) struct Store {
    storage: Arc<RwLock<Option<Box<dyn Storage>>>>,
    fault: Fault,
    appended: Appended,
}

/// Shown each command as it is appended.
pub(crate) type Appended = Arc<dyn Fn(u64, &Bytes) + Send + Sync>;

impl Store {
    pub(crate) fn new(storage: Box<dyn Storage>, fault: Fault, appended: Appended) -> Self {
        Self { storage: Arc::new(RwLock::new(Some(storage))), fault, appended }
    }

    pub(crate) fn state(&self) -> io::Result<State> {
        self.with(|storage| Ok(storage.state()))
    }

    pub(crate) fn stats(&self) -> io::Result<FlushStats> {
        self.with(|storage| Ok(storage.stats()))
    }

    pub(crate) fn first_within(&self, bytes_max: u64) -> io::Result<u64> {
        self.with(|storage| Ok(storage.first_within(bytes_max)))
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        self.with(|storage| storage.read(range, bytes_max))
    }

    /// Reads for the engine: what is not in memory on a thread that may block, in slices. What
    /// cannot be read back stops the log for good.
    async fn fetch<T: AsyncRuntime>(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> io::Result<Vec<Entry>> {
        let in_memory = self.with(|storage| Ok(storage.first_in_memory()))?;
        let records = if range.start >= in_memory {
            self.read(range, bytes_max)
        } else {
            let store = self.clone();
            let reading = T::spawn_blocking(move || store.read_page(range, bytes_max));
            reading.await.and_then(|records| records)
        };
        let entries = records.and_then(|records| records.into_iter().map(entry).collect());
        entries.inspect_err(|error| {
            if self.is_open() {
                self.fault.set(format_args!("reading the log failed: {error}"));
            }
        })
    }

    /// Reads in slices, between which the engine appends.
    pub(crate) fn read_page(
        &self,
        mut range: Range<u64>,
        bytes_max: usize,
    ) -> io::Result<Vec<Record>> {
        let mut page: Vec<Record> = Vec::new();
        let mut left = bytes_max;
        loop {
            let slice = self.read(range.clone(), left.min(SLICE_BYTES_MAX))?;
            let bytes: usize = slice.iter().map(|record| record.body.len()).sum();
            // A storage gives at least one record; behind others, only one that still fits.
            let Some(last) = slice.last().filter(|_| page.is_empty() || bytes <= left) else {
                return Ok(page);
            };
            range.start = last.id.index + 1;
            left = left.saturating_sub(bytes);
            page.extend(slice);
            if left == 0 {
                return Ok(page);
            }
        }
    }

    /// Flushes and lets go of the files. Whoever comes later finds the log closed.
    pub(crate) fn close(&self) -> io::Result<()> {
        let storage = self.write_lock()?.take();
        storage.map_or(Ok(()), Storage::close)
    }

    /// Does something, flushes, and waits for the flush.
    pub(crate) async fn durably(
        &self,
        what: impl FnOnce(&mut dyn Storage) -> io::Result<()>,
    ) -> io::Result<()> {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let fault = self.fault.clone();
        self.with_mut(|storage| {
            what(storage)?;
            storage.flush(Box::new(move |result| {
                // Nobody waits any more when the engine has stopped.
                drop(sender.send(result.inspect_err(|error| flush_failed(&fault, error))));
            }))
        })?;
        receiver.await.map_err(|_| io::Error::other("a flush was given up"))?
    }

    fn is_open(&self) -> bool {
        self.storage.read().map_or(true, |storage| storage.is_some())
    }

    fn with<V>(&self, read: impl FnOnce(&dyn Storage) -> io::Result<V>) -> io::Result<V> {
        let guard: RwLockReadGuard<'_, _> = self.storage.read().map_err(poisoned)?;
        read(guard.as_deref().ok_or_else(closed)?)
    }

    /// Any failure to write is the end of the log: what is on disk is not known any more.
    fn with_mut<V>(&self, write: impl FnOnce(&mut dyn Storage) -> io::Result<V>) -> io::Result<V> {
        let mut guard = self.write_lock()?;
        write(guard.as_deref_mut().ok_or_else(closed)?)
            .inspect_err(|error| self.fault.set(format_args!("writing the log failed: {error}")))
    }

    fn write_lock(&self) -> io::Result<RwLockWriteGuard<'_, Option<Box<dyn Storage>>>> {
        self.storage.write().map_err(poisoned)
    }
}

fn flush_failed(fault: &Fault, error: &io::Error) {
    fault.set(format_args!("flushing the log to disk failed: {error}"));
}

fn closed() -> io::Error {
    io::Error::other("the log is closed")
}

fn poisoned(error: impl Display) -> io::Error {
    io::Error::other(format!("the log's storage panicked: {error}"))
}

pub(crate) fn log_id(id: Id) -> LogId {
    LogId::new(LeaderId { term: id.term, node_id: id.node }, id.index)
}

fn id(log_id: &LogId) -> Id {
    Id { term: log_id.leader_id.term, node: log_id.leader_id.node_id, index: log_id.index }
}

fn record(entry: Entry) -> Record {
    let body = match entry.payload {
        Payload::Blank => Body::Blank,
        Payload::Normal(Command(bytes)) => Body::Command(bytes),
        Payload::Membership(members) => Body::Membership(Bytes::from(membership::encode(&members))),
    };
    Record { id: id(&entry.log_id), body }
}

fn entry(record: Record) -> io::Result<Entry> {
    let payload = match record.body {
        Body::Blank => Payload::Blank,
        Body::Command(bytes) => Payload::Normal(Command(bytes)),
        Body::Membership(bytes) => Payload::Membership(membership::decode(&bytes)?),
    };
    Ok(Entry { log_id: log_id(record.id), payload })
}

fn half_open(range: impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl<A: Send + Sync + 'static, T: AsyncRuntime> RaftLogReader<Types<A, T>> for Store {
    async fn try_get_log_entries<B>(&mut self, range: B) -> io::Result<Vec<Entry>>
    where
        B: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.fetch::<T>(half_open(range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.fetch::<T>(start..end, READ_BYTES_MAX).await
    }

    /// Reads a piece at a time: a replay may be longer than memory.
    async fn entries_stream<B>(
        &mut self,
        range: B,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        B: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let start = (self.clone(), half_open(range), VecDeque::new());
        stream::try_unfold(
            start,
            |(store, mut left, mut piece): (Self, Range<u64>, VecDeque<Entry>)| async move {
                if piece.is_empty() {
                    piece = store.fetch::<T>(left.clone(), READ_BYTES_MAX).await?.into();
                }
                let Some(entry) = piece.pop_front() else { return Ok(None) };
                left.start = entry.log_id.index + 1;
                Ok(Some((entry, (store, left, piece))))
            },
        )
    }

    async fn read_vote(&mut self) -> io::Result<Option<Ballot>> {
        Ok(self.state()?.vote.map(|vote| Ballot {
            leader_id: LeaderId { term: vote.term, node_id: vote.node },
            committed: vote.committed,
        }))
    }
}

impl<A: Send + Sync + 'static, T: AsyncRuntime> RaftLogStorage<Types<A, T>> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<A, T>>> {
        let State { last, purged, .. } = self.state()?;
        Ok(LogState { last_purged_log_id: purged.map(log_id), last_log_id: last.map(log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, ballot: &Ballot) -> io::Result<()> {
        let vote = Vote {
            term: ballot.leader_id.term,
            node: ballot.leader_id.node_id,
            committed: ballot.committed,
        };
        self.durably(|storage| storage.save_vote(vote)).await
    }

    /// Not flushed: it is written with the next append, and only shortens a restart.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        match committed {
            Some(committed) => self.with_mut(|storage| storage.save_committed(id(&committed))),
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.state()?.committed.map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types<A, T>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records: Vec<_> = entries.into_iter().map(record).collect();
        for record in &records {
            if let Body::Command(bytes) = &record.body {
                (self.appended)(record.id.index, bytes);
            }
        }
        let fault = self.fault.clone();
        self.with_mut(|storage| {
            storage.append(records)?;
            storage.flush(Box::new(move |result| {
                callback.io_completed(result.inspect_err(|error| flush_failed(&fault, error)));
            }))
        })
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.with_mut(|storage| storage.truncate_after(last.as_ref().map(id)))
    }

    /// A snapshot reaches beyond what is here. The end may be of a later leader that was deposed
    /// before anything of it was decided: it goes first, or its name would still be the last.
    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let upto = id(&upto);
        let purge = |storage: &mut dyn Storage| {
            let State { last, committed, purged, .. } = storage.state();
            if last.is_some_and(|last| last.index <= upto.index && last > upto) {
                storage.truncate_after(committed.max(purged))?;
            }
            storage.purge(upto)
        };
        self.durably(purge).await
    }
}
