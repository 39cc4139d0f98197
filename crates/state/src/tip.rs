//! The head of the state: what the one apply thread changes.

use crate::{
    Applied, Fingerprint, View, Writes,
    disk::Disk,
    error::guarded_as,
    flush::Load,
    merge::Layer,
    snapshot::{Header, SnapshotError, Unpacking},
    store::Shared,
    tables,
    view::{Base, Frozen, Layers, Results},
    writes::weight,
};
use std::{fmt, io, mem, sync::Arc};

/// The single writer's head. Only one exists at a time.
///
/// For each entry: scopes over [`view`](Self::view), [`merge`](Self::merge) for those that
/// succeeded, [`record`](Self::record), then [`set_applied`](Self::set_applied). After a batch:
/// [`publish`](Self::publish), and [`freeze`](Self::freeze) when [due](Self::freeze_due).
pub struct Tip {
    shared: Arc<Shared>,
    base: Base,
    fresh: Layer,
    results: Results,
    applied: Arc<Applied>,
    load: Load,
    /// The result of the entry that has no position yet.
    recorded: Option<(u64, Vec<u8>)>,
    /// Something was merged or recorded that `applied` does not cover yet.
    unplaced: bool,
}

impl Tip {
    /// Continues from what is published.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.take_tip();
        let published = shared.published.load_full();
        let base = shared.base();
        let (fresh, results) = (published.fresh.clone(), published.results.clone());
        let pairs: usize = fresh.iter().map(|(key, value)| weight(key, value.as_ref())).sum();
        let outcomes: usize = results.values().map(|result| result.len()).sum();
        let load = Load {
            entries: fresh.len(),
            bytes: pairs + outcomes,
            instructions: results.len() as u64,
        };
        let applied = Arc::clone(&published.applied);
        let (recorded, unplaced) = (None, false);
        Self { shared, base, fresh, results, applied, load, recorded, unplaced }
    }

    /// The head itself, published or not.
    pub fn view(&self) -> View {
        View(Arc::new(self.layers()))
    }

    fn layers(&self) -> Layers {
        Layers {
            base: self.base.clone(),
            fresh: self.fresh.clone(),
            results: self.results.clone(),
            applied: Arc::clone(&self.applied),
        }
    }

    /// Position and chains of the last entry.
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    /// Adds what an instruction wrote.
    pub fn merge(&mut self, writes: Writes) {
        self.unplaced |= !writes.is_empty();
        for (key, value) in writes {
            self.load.bytes += weight(&key, value.as_ref());
            let key_bytes = key.as_bytes().len();
            if let Some(old) = self.fresh.insert(key, value) {
                self.load.bytes -= key_bytes + old.map_or(0, |v| v.len());
            }
        }
        self.load.entries = self.fresh.len();
    }

    /// Keeps the encoded result of the entry at `index`, and with it the chains that
    /// [`set_applied`](Self::set_applied) gives that entry. It becomes durable with the entry's
    /// writes, and is local: no hash covers it here, the chain of results does.
    ///
    /// # Panics
    /// When that entry is applied already, or another one is not ended.
    pub fn record(&mut self, index: u64, result: impl Into<Vec<u8>>) {
        assert!(index > self.applied.index, "entry {index} is applied already");
        let before = self.recorded.replace((index, result.into()));
        assert!(before.is_none(), "an entry before {index} is not ended");
        self.unplaced = true;
    }

    /// Tells the flush policy that an entry held more than one instruction.
    pub fn add_instructions(&mut self, more: u64) {
        self.load.instructions += more;
    }

    /// Ends an entry: all that was merged and recorded belongs to it and those before.
    ///
    /// # Panics
    /// When the position goes back, or is not that of the entry whose result was recorded.
    pub fn set_applied(&mut self, applied: Applied) {
        let (from, to) = (self.applied.index, applied.index);
        assert!(to >= from, "applied index goes back from {from} to {to}");
        if let Some((index, result)) = self.recorded.take() {
            assert!(index == to, "entry {to} ends with the result of entry {index}");
            let row = Fingerprint::before(&applied, &result);
            self.load.bytes += row.len();
            self.load.instructions += 1;
            self.results.insert(index, row.into());
        }
        self.applied = Arc::new(applied);
        self.unplaced = false;
    }

    /// Shows readers the state up to the last entry.
    ///
    /// # Panics
    /// In the middle of an entry.
    pub fn publish(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.publish_over(&shared.lock_base());
    }

    /// Publishes over `base`, whose lock is held.
    fn publish_over(&mut self, base: &Base) {
        assert!(!self.unplaced, "writes without a position: set_applied ends an entry");
        self.base = base.clone();
        self.shared.published.store(Arc::new(self.layers()));
    }

    /// Whether there is enough to flush, and the flusher is idle.
    pub fn freeze_due(&self) -> bool {
        self.shared.policy.is_due(&self.load) && !self.shared.is_flushing()
    }

    /// Whether so much waits behind the flusher that no more may be applied before it is done.
    pub fn must_wait(&self) -> bool {
        self.shared.policy.is_over(&self.load) && self.shared.is_flushing()
    }

    /// Publishes, and hands everything up to the last entry to the flusher. False, and nothing is
    /// handed over, when the flusher still has work or there is nothing new.
    ///
    /// # Panics
    /// In the middle of an entry.
    pub fn freeze(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut base = shared.lock_base();
        let freezes = base.frozen.is_none() && *self.applied != *base.disk.applied;
        if freezes {
            base.frozen = Some(Arc::new(Frozen {
                writes: mem::take(&mut self.fresh),
                results: mem::take(&mut self.results),
                applied: Arc::clone(&self.applied),
            }));
            self.load = Load::default();
        }
        self.publish_over(&base);
        freezes
    }

    /// Puts the state of a snapshot of this realm in the place of this one: durably, in one step,
    /// wherever a crash falls. What was not flushed goes with the old state, and so do its results
    /// and checkpoints; the values at the snapshot's position are the first checkpoint of the new
    /// one. Blobs of the node stay, and those of `meta` are written in the same step.
    ///
    /// Views taken before stay what they are until they [expire](crate::Store::expire_views). The
    /// snapshot is read as a stream. On disk both states need room at once.
    ///
    /// # Errors
    /// What is wrong with the snapshot: then everything is as before. When the disk fails, what is
    /// durable is unknown until the store is opened again: the realm must stop.
    ///
    /// # Panics
    /// In the middle of an entry, or while the flusher has work.
    pub fn replace(
        &mut self,
        input: impl io::Read,
        meta: &[(&str, &[u8])],
    ) -> Result<Header, SnapshotError> {
        assert!(!self.unplaced, "writes without a position: set_applied ends an entry");
        let shared = Arc::clone(&self.shared);
        let disk = shared.base().disk;
        assert!(!shared.is_flushing(), "the flusher writes the state that is to be replaced");
        let unpacking = Unpacking::begin(input, Some(&disk.genesis))?;
        let header = unpacking.header.clone();
        guarded_as(|| {
            let fill = |filler: &mut tables::Filler<'_>| unpacking.fill(filler);
            tables::replace(&shared.db, &header.applied, meta, fill)
        })?;

        let disk = Disk::open(&shared.db, disk.generation + 1)?;
        assert!(*disk.applied == header.applied, "only flushes write positions");
        self.fresh = Layer::new();
        self.results = Results::new();
        self.applied = Arc::clone(&disk.applied);
        self.load = Load::default();
        self.base = shared.replaced(disk);
        tracing::info!(index = header.applied.index, pairs = header.pairs, "state replaced");
        Ok(header)
    }
}

impl Drop for Tip {
    fn drop(&mut self) {
        self.shared.return_tip();
    }
}

impl fmt::Debug for Tip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tip {{ index: {}, load: {:?} }}", self.applied.index, self.load)
    }
}
