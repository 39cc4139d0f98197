//! The disk under the log: the log's own simulated one, as slow as a real one, and observed.

use crate::bug::Bug;
use crate::chance::Chance;
use crate::ledger::Ledger;
use crate::power::Power;
use crate::runtime::Runtime;
use althing_log::simulated::{Bugs, Disk, Sync, Wake};
use althing_log::{Done, FlushStats, Id, Record, State, Storage, Vote};
use openraft_rt::AsyncRuntime;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A flush takes up to so long, in milliseconds.
const FLUSH_MS_MAX: u64 = 20;

/// The disk of a machine, until it is lost.
#[derive(Default)]
pub(crate) struct LogDisk(Mutex<Disk>);

/// The disk, as one run of a node has it open.
struct Observed {
    inner: Box<dyn Storage>,
    node: u64,
    power: Power,
    ledger: Ledger,
}

impl LogDisk {
    /// A disk that may be defective.
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        let disk = Self::default();
        disk.wipe(bug);
        disk
    }

    /// Opens it for a node, and starts the task that flushes.
    pub(crate) fn open(
        &self,
        node: u64,
        power: &Power,
        ledger: &Ledger,
        chance: Chance,
    ) -> Box<dyn Storage> {
        let disk = self.disk().clone();
        let at_sync = power.clone();
        let sync: Sync = Arc::new(move |flush| at_sync.sync(flush));
        let inner = disk.open(Some(sync));
        let waits = Arc::new(Notify::new());
        let waker = waits.clone();
        let wake: Wake = Arc::new(move || waker.notify_one());
        disk.hold(Some(wake));
        Runtime::spawn(flush(disk, waits, chance));
        Box::new(Observed { inner, node, power: power.clone(), ledger: ledger.clone() })
    }

    /// What is there after a crash.
    pub(crate) fn crash(&self, chance: &mut Chance) {
        self.disk().crash(chance.next());
    }

    /// The disk is gone: an empty one takes its place.
    pub(crate) fn wipe(&self, bug: Option<Bug>) {
        *self.disk() = Disk::new(Bugs {
            acknowledges_before_flush: bug == Some(Bug::AckBeforeFlush),
            forgets_votes: bug == Some(Bug::LostVote),
        });
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One flush after the other, each with all that waits for one.
async fn flush(disk: Disk, waits: Arc<Notify>, mut chance: Chance) {
    loop {
        waits.notified().await;
        Runtime::sleep(Duration::from_millis(chance.below(FLUSH_MS_MAX))).await;
        disk.complete();
    }
}

impl Storage for Observed {
    fn state(&self) -> State {
        self.inner.state()
    }

    fn append(&mut self, records: Vec<Record>) -> io::Result<()> {
        if self.power.is_on() {
            let mut last = self.state().last;
            for record in &records {
                self.ledger.appended(self.node, last, record);
                last = Some(record.id);
            }
        }
        self.inner.append(records)
    }

    fn truncate_after(&mut self, last: Option<Id>) -> io::Result<()> {
        self.inner.truncate_after(last)
    }

    fn purge(&mut self, upto: Id) -> io::Result<()> {
        self.inner.purge(upto)
    }

    fn save_vote(&mut self, vote: Vote) -> io::Result<()> {
        self.inner.save_vote(vote)
    }

    fn save_committed(&mut self, committed: Id) -> io::Result<()> {
        self.inner.save_committed(committed)
    }

    fn flush(&mut self, done: Done) -> io::Result<()> {
        self.inner.flush(done)
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        self.inner.read(range, bytes_max)
    }

    fn first_within(&self, bytes_max: u64) -> u64 {
        self.inner.first_within(bytes_max)
    }

    fn first_in_memory(&self) -> u64 {
        self.inner.first_in_memory()
    }

    fn stats(&self) -> FlushStats {
        self.inner.stats()
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        self.inner.close()
    }
}
