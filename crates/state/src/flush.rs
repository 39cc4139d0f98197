//! Making the frozen part of the state durable.

use crate::{
    Applied, StateError,
    digest::StateSum,
    disk::Disk,
    error::guarded,
    store::Shared,
    tables::{RESULTS, STATE, seal, unseal, write, write_position},
    view::{Base, Frozen},
};
use althing_protocol::Hash;
use redb::WriteTransaction;
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

/// When the tip has enough to flush. At twice any of these, applying waits for the flusher.
///
/// Time is the realm's affair: it freezes after a few seconds without a flush as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushPolicy {
    /// Keys written.
    pub entries_max: usize,
    /// Keys, values and results, in bytes.
    pub bytes_max: usize,
    /// Instructions that a crash would have to run again.
    pub instructions_max: u64,
}

impl Default for FlushPolicy {
    fn default() -> Self {
        Self { entries_max: 100_000, bytes_max: 64 << 20, instructions_max: 50_000 }
    }
}

/// What is not handed to the flusher yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    pub(crate) instructions: u64,
}

impl FlushPolicy {
    pub(crate) fn is_due(&self, load: &Load) -> bool {
        load.entries >= self.entries_max
            || load.bytes >= self.bytes_max
            || load.instructions >= self.instructions_max
    }

    pub(crate) fn is_over(&self, load: &Load) -> bool {
        let twice = Self {
            entries_max: self.entries_max.saturating_mul(2),
            bytes_max: self.bytes_max.saturating_mul(2),
            instructions_max: self.instructions_max.saturating_mul(2),
        };
        twice.is_due(load)
    }
}

/// What a flush made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The boundary.
    pub applied: Applied,
    /// The state hash at it.
    pub state_hash: Hash,
    /// Keys written or deleted.
    pub writes: usize,
}

/// Writes what the [`Tip`](crate::Tip) froze. Only one exists at a time; it belongs on a thread
/// of its own.
pub struct Flusher {
    shared: Arc<Shared>,
    /// Frozen parts on disk already. They are dropped here, which takes 10 to 20 ms each, and not
    /// where the last view happens to go.
    retired: Vec<Arc<Frozen>>,
}

impl Flusher {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.take_flusher();
        Self { shared, retired: Vec::new() }
    }

    /// Writes the frozen part, if there is one, as one sorted transaction, and publishes a view
    /// that reads it from disk. When this returns, it is durable.
    ///
    /// The memory of a flushed part comes back with the first call after the tip has published
    /// again: a realm that falls idle publishes and flushes once more.
    ///
    /// # Errors
    /// When the disk fails. What is durable is then unknown until the store is opened again: the
    /// realm must stop.
    pub fn flush(&mut self) -> Result<Option<Flushed>, StateError> {
        self.reap();
        let Base { disk, frozen: Some(frozen) } = self.shared.base() else {
            return Ok(None);
        };
        let sum = guarded(|| {
            write(&self.shared.db, |txn| {
                let sum = write_state(txn, &frozen, disk.sum.clone())?;
                self.write_results(txn, &frozen)?;
                write_position(txn, &frozen.applied, &sum)?;
                Ok(sum)
            })
        })?;

        let next = Disk::open(&self.shared.db, disk.generation + 1)?;
        assert!(
            *next.applied == *frozen.applied && next.sum == sum,
            "only flushes write positions"
        );
        self.shared.flushed(next);

        let writes = frozen.writes.len();
        let applied = (*frozen.applied).clone();
        self.retired.push(frozen);
        self.reap();
        tracing::debug!(index = applied.index, writes, "state flushed");
        Ok(Some(Flushed { applied, state_hash: sum.hash(), writes }))
    }

    fn write_results(&self, txn: &WriteTransaction, frozen: &Frozen) -> Result<(), StateError> {
        let floor = self.shared.results_floor.load(Ordering::Relaxed);
        let mut table = txn.open_table(RESULTS)?;
        let mut row = Vec::new();
        for (index, result) in frozen.results.range(floor..) {
            table.insert(index, seal(&mut row, &index.to_le_bytes(), result))?;
        }
        table.retain_in(..floor, |_, _| false)?;
        Ok(())
    }

    /// Drops frozen parts that no view holds any more.
    fn reap(&mut self) {
        self.retired.retain(|frozen| Arc::strong_count(frozen) > 1);
    }
}

/// Writes pairs in key order, each replaced value taken out of the sum as its successor goes in.
fn write_state(
    txn: &WriteTransaction,
    frozen: &Frozen,
    mut sum: StateSum,
) -> Result<StateSum, StateError> {
    let mut table = txn.open_table(STATE)?;
    let mut row = Vec::new();
    for (key, new) in &frozen.writes {
        let bytes = key.as_bytes();
        let old = match new {
            Some(new) => table.insert(bytes, seal(&mut row, bytes, new))?,
            None => table.remove(bytes)?,
        };
        let old = match &old {
            Some(row) => Some(unseal("state", bytes, row.value())?),
            None => None,
        };
        sum.change(key, old, new.as_deref());
    }
    Ok(sum)
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.return_flusher();
    }
}

impl fmt::Debug for Flusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flusher {{ retired: {} }}", self.retired.len())
    }
}
