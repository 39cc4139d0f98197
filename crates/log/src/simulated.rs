//! A disk for simulations, that forgets on a crash what was not flushed.
//!
//! A [`Disk`] outlives the runs of a node. Each run opens it as a [`Storage`]; what an earlier run
//! still holds of it is dead. Changes are operations in order. A flush hands those before it over to
//! a thread that writes them, and makes them durable. When the machine, or only the process, is gone,
//! those that are durable are there, and any number of the first that were handed over behind them;
//! none of the others, which were in the memory of the process.

use crate::store::{Done, FlushStats, Id, Record, State, Storage, Vote};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Defects that a simulation has to find: a disk, or the code around it, that promises too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bugs {
    /// A flush is answered at once, and done by the next one.
    pub acknowledges_before_flush: bool,
    /// A vote is kept in memory only.
    pub forgets_votes: bool,
}

/// Does the sync that it is given, or fails: before it, or after it. It does not use the disk.
pub type Sync = Arc<dyn Fn(&mut dyn FnMut()) -> io::Result<()> + Send + std::marker::Sync>;

/// Told that a flush waits for [`Disk::complete`].
pub type Wake = Arc<dyn Fn() + Send + std::marker::Sync>;

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    durable: Image,
    /// With all operations.
    now: Image,
    /// Behind the durable ones.
    unflushed: VecDeque<Operation>,
    /// With the number of operations up to each, counted over the life of the disk.
    flushes: VecDeque<(u64, Done)>,
    done: u64,
    /// How many were handed over, counted alike.
    handed: u64,
    run: u64,
    bugs: Bugs,
    wake: Option<Wake>,
    sync: Option<Sync>,
    stats: FlushStats,
}

#[derive(Clone)]
enum Operation {
    Append(Record),
    TruncateAfter(Option<Id>),
    Purge(Id),
    Vote(Vote),
    Committed(Id),
}

/// What a log holds.
#[derive(Clone, Default)]
struct Image {
    state: State,
    records: BTreeMap<u64, Record>,
}

impl Image {
    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Append(record) => {
                self.state.last = Some(record.id);
                self.records.insert(record.id.index, record);
            }
            Operation::TruncateAfter(last) => {
                self.records.split_off(&last.map_or(0, |id| id.index + 1));
                self.state.last = last;
            }
            Operation::Purge(upto) => {
                self.records = self.records.split_off(&(upto.index + 1));
                self.state.purged = self.state.purged.max(Some(upto));
                self.state.last = self.state.last.max(Some(upto));
            }
            Operation::Vote(vote) => self.state.vote = Some(vote),
            Operation::Committed(id) => self.state.committed = Some(id),
        }
    }
}

impl Disk {
    /// An empty disk with these defects.
    pub fn new(bugs: Bugs) -> Self {
        let disk = Self::default();
        disk.inner().bugs = bugs;
        disk
    }

    /// Opens it for a run of its node. Every sync goes through `sync`, when there is one.
    pub fn open(&self, sync: Option<Sync>) -> Box<dyn Storage> {
        let mut inner = self.inner();
        inner.run += 1;
        inner.sync = sync;
        Box::new(Handle { disk: self.clone(), run: inner.run })
    }

    /// From here on a flush waits for [`complete`](Self::complete), and `wake` is told that it
    /// does; with none, flushes are done at once.
    pub fn hold(&self, wake: Option<Wake>) {
        self.inner().wake = wake;
    }

    /// Flushes now: all operations that were handed over, with one sync. Returns how many flushes it answered.
    pub fn complete(&self) -> usize {
        self.sync(usize::MAX)
    }

    /// The process is gone. Of what was handed over a first part is there, chosen by `seed`.
    pub fn crash(&self, seed: u64) {
        let mut inner = self.inner();
        inner.run += 1;
        inner.wake = None;
        // The remainder of a scrambled seed: neighbours differ.
        let scrambled = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as usize;
        let keep = scrambled % (inner.unwritten() + 1);
        inner.settle(keep);
        inner.unflushed.clear();
        inner.handed = inner.done;
        inner.now = inner.durable.clone();
        let waiting = std::mem::take(&mut inner.flushes);
        drop(inner);
        for (_, done) in waiting {
            done(Err(io::Error::other("the simulated machine is down")));
        }
    }

    /// Entries that are there, durable or not.
    pub fn records(&self) -> Vec<Record> {
        self.inner().now.records.values().cloned().collect()
    }

    /// What is durable besides entries.
    pub fn durable(&self) -> State {
        self.inner().durable.state
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes operations durable, and answers the flushes that they satisfy.
    fn sync(&self, operations: usize) -> usize {
        let mut inner = self.inner();
        let operations = operations.min(inner.unwritten());
        let sync = inner.sync.clone();
        let mut all = || inner.settle(operations);
        let result = match sync {
            Some(sync) => sync(&mut all),
            None => {
                all();
                Ok(())
            }
        };
        inner.stats.flushes += 1;
        let upto = inner.done;
        let answered = match &result {
            Ok(()) => inner.flushes.iter().take_while(|(needs, _)| *needs <= upto).count(),
            Err(_) => inner.flushes.len(),
        };
        inner.stats.appends_max = inner.stats.appends_max.max(answered as u64);
        let answered: Vec<_> = inner.flushes.drain(..answered).collect();
        drop(inner);
        let count = answered.len();
        for (_, done) in answered {
            done(result.as_ref().copied().map_err(|error| io::Error::other(error.to_string())));
        }
        count
    }
}

impl Inner {
    /// How many operations were handed over and are not durable.
    fn unwritten(&self) -> usize {
        (self.handed - self.done) as usize
    }

    fn settle(&mut self, operations: usize) {
        for operation in self.unflushed.drain(..operations) {
            self.done += 1;
            if !(self.bugs.forgets_votes && matches!(operation, Operation::Vote(_))) {
                self.durable.apply(operation);
            }
        }
    }
}

/// The disk, as one run of its node sees it.
struct Handle {
    disk: Disk,
    run: u64,
}

impl Handle {
    fn inner(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.disk.inner();
        if inner.run == self.run {
            Ok(inner)
        } else {
            Err(io::Error::other("the simulated machine is down"))
        }
    }

    fn write(&self, operation: Operation) -> io::Result<()> {
        let mut inner = self.inner()?;
        inner.now.apply(operation.clone());
        inner.unflushed.push_back(operation);
        Ok(())
    }
}

impl Storage for Handle {
    fn state(&self) -> State {
        self.disk.inner().now.state
    }

    fn append(&mut self, records: Vec<Record>) -> io::Result<()> {
        for record in records {
            let mut inner = self.inner()?;
            let last = inner.now.state.last;
            let follows =
                last.is_none_or(|last| record.id > last && record.id.index == last.index + 1);
            if !follows {
                return Err(io::Error::other(format!("{:?} behind {last:?}", record.id)));
            }
            inner.stats.entries += 1;
            inner.stats.bytes += record.body.len() as u64;
            drop(inner);
            self.write(Operation::Append(record))?;
        }
        Ok(())
    }

    fn truncate_after(&mut self, last: Option<Id>) -> io::Result<()> {
        let state = self.inner()?.now.state;
        if state.last <= last {
            return Ok(());
        }
        if last < state.committed {
            return Err(io::Error::other(format!("{:?} is committed", state.committed)));
        }
        self.write(Operation::TruncateAfter(last))
    }

    fn purge(&mut self, upto: Id) -> io::Result<()> {
        self.write(Operation::Purge(upto))
    }

    fn save_vote(&mut self, vote: Vote) -> io::Result<()> {
        let before = self.inner()?.now.state.vote;
        if Some(vote) < before {
            return Err(io::Error::other(format!("{vote:?} after {before:?}")));
        }
        self.write(Operation::Vote(vote))
    }

    fn save_committed(&mut self, committed: Id) -> io::Result<()> {
        self.write(Operation::Committed(committed))
    }

    fn flush(&mut self, done: Done) -> io::Result<()> {
        let mut inner = self.inner()?;
        let upto = inner.done + inner.unflushed.len() as u64;
        inner.handed = upto;
        if inner.bugs.acknowledges_before_flush {
            // The next flush finds these waiting, and does them then.
            let before = inner.flushes.back().map_or(0, |(upto, _)| *upto);
            inner.flushes.clear();
            inner.flushes.push_back((upto, Box::new(|_| ())));
            let operations = before.saturating_sub(inner.done) as usize;
            drop(inner);
            self.disk.sync(operations);
            done(Ok(()));
            return Ok(());
        }
        inner.flushes.push_back((upto, done));
        let wake = inner.wake.clone();
        drop(inner);
        match wake {
            Some(wake) => wake(),
            None => drop(self.disk.complete()),
        }
        Ok(())
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        let inner = self.inner()?;
        let mut bytes = 0_usize;
        let range = range.start..range.end.max(range.start);
        let fits = |(place, record): &(usize, &Record)| {
            bytes = bytes.saturating_add(record.body.len());
            *place == 0 || bytes <= bytes_max
        };
        let records = inner.now.records.range(range).map(|(_, record)| record);
        Ok(records.enumerate().take_while(fits).map(|(_, record)| record.clone()).collect())
    }

    fn first_within(&self, bytes_max: u64) -> u64 {
        let inner = self.disk.inner();
        let mut bytes = 0;
        let mut first = inner.now.state.last.map_or(0, |id| id.index + 1);
        for (index, record) in inner.now.records.iter().rev() {
            bytes += record.body.len() as u64;
            if bytes > bytes_max {
                return first;
            }
            first = *index;
        }
        0
    }

    fn first_in_memory(&self) -> u64 {
        0
    }

    fn stats(&self) -> FlushStats {
        let inner = self.disk.inner();
        let disk_bytes = inner.now.records.values().map(|record| record.body.len() as u64).sum();
        FlushStats { disk_bytes, ..inner.stats }
    }

    fn close(mut self: Box<Self>) -> io::Result<()> {
        self.flush(Box::new(|_| ()))?;
        self.disk.complete();
        Ok(())
    }
}
