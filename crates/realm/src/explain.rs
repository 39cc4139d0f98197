//! Explaining an entry: it is run again, on a state of its own, and every step is told.
//!
//! The state before the entry is made again from the log: from genesis, or from a snapshot of this
//! node. The copy lies in a directory that is removed afterwards. Each result on the way is compared
//! with what this node recorded, so a divergence is found where it begins.

use crate::{
    LogEntry, Realm,
    halt::internal,
    show::{ShownExplanation, show_explanation},
};
use althing_blobs::Blobs;
use althing_machine::{Applied as Ran, EntryAt, Halt, Images, Machine, genesis_writes};
use althing_protocol::{
    Error, Hash, ProgramId, Result, decode, next_entry_chain, next_result_chain, v1,
};
use althing_sandbox::{
    Allocation, Engine, EngineOptions, Image, LoadError, Reservation, limits::THREAD_STACK_BYTES,
};
use althing_state::{Applied, Flusher, Store, Tip, snapshot};
use prost::Message;
use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{runtime::Handle, sync::oneshot};

/// Entries read and run at a time.
const PAGE_ENTRIES: u64 = 1_024;
/// Their bytes.
const PAGE_BYTES: usize = 8 << 20;
/// Programs that may be nested, and one: an entry runs alone.
const INSTANCES: u32 = 16;

impl Realm {
    /// Runs the entry at `index` again and says what it did. `snapshot` names one in the realm's
    /// directory to start from; without it, the nearest one before the entry, or genesis.
    ///
    /// Takes as long as it takes to run what lies between. One at a time.
    ///
    /// # Errors
    /// `not-found` for an entry that is not there; `exhausted` while another one is explained;
    /// `unavailable` when the log does not reach back; `internal`, naming the entry, for a divergence.
    pub async fn explain(
        self: Arc<Self>,
        index: u64,
        snapshot: Option<String>,
    ) -> Result<ShownExplanation> {
        let Ok(alone) = Arc::clone(&self.core.explaining).try_acquire_owned() else {
            return Err(Error::exhausted(
                "explain: another entry is being explained on this node; one at a time",
            )
            .retry_after_ms(1_000));
        };
        let last = *self.core.applied.borrow();
        if index == 0 || index > last {
            return Err(Error::not_found(format!(
                "entry {index}: the log of this node has entries up to {last}"
            )));
        }
        let (handle, (done, outcome)) = (Handle::current(), oneshot::channel());
        // A thread of its own: guests need the stack, and a replay takes its time.
        let explain = move || {
            let told = self.explain_here(&handle, index, snapshot.as_deref());
            drop(alone);
            // Who asked may have gone.
            let _ = done.send(told);
        };
        std::thread::Builder::new()
            .name("althing-explain".into())
            .stack_size(THREAD_STACK_BYTES)
            .spawn(explain)
            .map_err(|error| Error::unavailable(format!("thread althing-explain: {error}")))?;
        outcome.await.map_err(internal)?
    }

    fn explain_here(
        &self,
        handle: &Handle,
        index: u64,
        snapshot: Option<&str>,
    ) -> Result<ShownExplanation> {
        let first = self.first_kept()?;
        let base = match snapshot {
            Some(name) => Base::named(&self.core.options.dir, name, index)?,
            None => Base::nearest(&self.core.options.dir, first, index, &self.core.store),
        };
        if base.index() + 1 < first {
            return Err(Error::unavailable(format!(
                "entry {index}: this node's log begins at entry {first}, so the state before it cannot \
                 be made again; name a snapshot of an entry from {} on with --snapshot; for entries to \
                 come, `althing snapshot save` makes one",
                first - 1
            )));
        }
        let scratch = Scratch::new(&self.core.options.dir)?;
        let mut replay = Replay::new(self, &base, &scratch)?;
        let from = base.index();
        let mut next = from + 1;
        loop {
            // A realm that stopped keeps its log: what stopped it is worth explaining.
            if self.core.arrivals.get().is_none() {
                return Err(Error::unavailable("explain: the node is shutting down"));
            }
            let limit = PAGE_ENTRIES.min(index + 1 - next);
            let page = handle.block_on(self.entries(next, limit, PAGE_BYTES))?;
            if page.first().map(|item| item.index) != Some(next) {
                return Err(Error::internal(format!("entry {next}: missing in the log")));
            }
            for item in page {
                if item.index == index {
                    let explained = replay.explain(&item)?;
                    return show_explanation(&item, from, explained);
                }
                replay.entry(&item)?;
                next = item.index + 1;
            }
        }
    }
}

/// The state that a replay starts from.
enum Base {
    Genesis,
    Snapshot { path: PathBuf, index: u64 },
}

impl Base {
    fn index(&self) -> u64 {
        match self {
            Self::Genesis => 0,
            Self::Snapshot { index, .. } => *index,
        }
    }

    /// A caller chooses a name, never a place.
    fn named(dir: &Path, name: &str, before: u64) -> Result<Self> {
        ProgramId::new(name).map_err(|_| {
            Error::invalid(format!(
                "snapshot {name:?}: wants the name of one in the realm's `snapshots` directory, \
                 without its ending"
            ))
        })?;
        let path = dir.join("snapshots").join(format!("{name}.snapshot"));
        let file = File::open(&path)
            .map_err(|error| Error::not_found(format!("snapshot {}: {error}", path.display())))?;
        let header = snapshot::read_header(file)
            .map_err(|error| Error::invalid(format!("snapshot {}: {error}", path.display())))?;
        let index = header.applied.index;
        if index >= before {
            return Err(Error::invalid(format!(
                "snapshot {name}: is of entry {index}; wants one of an entry before {before}"
            )));
        }
        Ok(Self::Snapshot { path, index })
    }

    /// The newest snapshot before the entry from which the log goes on.
    fn nearest(dir: &Path, first: u64, before: u64, store: &Store) -> Self {
        let found = fs::read_dir(dir.join("snapshots")).into_iter().flatten().flatten();
        let usable = found.filter_map(|found| {
            let header = snapshot::read_header(File::open(found.path()).ok()?).ok()?;
            let index = header.applied.index;
            let fits = index < before && index + 1 >= first && *header.genesis == *store.genesis();
            fits.then(|| Self::Snapshot { path: found.path(), index })
        });
        usable.max_by_key(Self::index).unwrap_or(Self::Genesis)
    }
}

/// A directory that is gone afterwards, and was emptied before if a crash left something in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(dir: &Path) -> Result<Self> {
        let scratch = Self(dir.join("explain"));
        scratch.remove();
        let made = fs::create_dir(&scratch.0);
        made.map_err(|e| Error::unavailable(format!("{}: {e}", scratch.0.display())))?;
        Ok(scratch)
    }

    fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %self.0.display(), %error, "scratch of an explanation is left");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A copy of the state, moved forward entry by entry.
struct Replay {
    machine: Machine,
    tip: Tip,
    flusher: Flusher,
}

impl Replay {
    fn new(realm: &Realm, base: &Base, scratch: &Scratch) -> Result<Self> {
        let (core, path) = (&realm.core, scratch.0.join("state.redb"));
        let store = match base {
            Base::Genesis => {
                let genesis = core.store.genesis();
                let writes = genesis_writes(&genesis)?;
                Store::create(&path, &genesis, writes).map_err(internal)?
            }
            Base::Snapshot { path: file, .. } => {
                let broken = |error: &dyn std::fmt::Display| {
                    Error::invalid(format!("snapshot {}: {error}", file.display()))
                };
                let input = File::open(file).map_err(|e| broken(&e))?;
                let options = althing_state::Options::default();
                let store = snapshot::restore(&path, input, None, &options);
                let store = store.map_err(|e| broken(&e))?;
                if store.genesis() != core.store.genesis() {
                    return Err(broken(&"is of another realm"));
                }
                store
            }
        };
        let machine = Machine::new(core.id, Arc::new(OwnImages::new(realm)?), Vec::new());
        Ok(Self { machine, tip: store.tip(), flusher: store.flusher() })
    }

    /// Runs an entry; it must give what it gave before.
    fn entry(&mut self, item: &LogEntry) -> Result<()> {
        let applied = self.tip.applied().clone();
        let applied = Applied { index: item.index, term: item.term, ..applied };
        let Some(bytes) = &item.entry else {
            self.tip.set_applied(applied);
            return Ok(());
        };
        let entry: v1::Entry = decode("entry", bytes).map_err(internal)?;
        let ran = self.machine.apply(self.tip.view(), at(item.index, &entry));
        let Ran { writes, result, timestamp_us, .. } =
            ran.map_err(|error| cannot_run(item.index, &error))?;
        let result = result.encode_to_vec();
        if item.result.as_ref().is_some_and(|recorded| *recorded != result) {
            return Err(Error::internal(format!(
                "entry {index}: gives another result now than this node recorded; `althing explain \
                 {index}` shows both",
                index = item.index
            )));
        }
        self.tip.merge(writes);
        self.tip.set_applied(Applied {
            timestamp_us,
            entry_chain: next_entry_chain(&applied.entry_chain, item.index, bytes),
            result_chain: next_result_chain(&applied.result_chain, item.index, &result),
            ..applied
        });
        if self.tip.freeze_due() {
            self.tip.freeze();
            self.flusher.flush().map_err(internal)?;
        }
        Ok(())
    }

    fn explain(&self, item: &LogEntry) -> Result<Option<althing_machine::Explained>> {
        let Some(bytes) = &item.entry else { return Ok(None) };
        let entry: v1::Entry = decode("entry", bytes).map_err(internal)?;
        let explained = self.machine.explain(self.tip.view(), at(item.index, &entry));
        explained.map(Some).map_err(|error| cannot_run(item.index, &error))
    }
}

/// Its signature was good when it was applied, and the log is checksummed.
fn at(index: u64, entry: &v1::Entry) -> EntryAt<'_> {
    EntryAt { index, entry, is_verified: true }
}

fn cannot_run(index: u64, halt: &Halt) -> Error {
    Error::unavailable(format!("entry {index}: cannot be run again: {halt}"))
}

/// Images of an engine of its own: whatever an old entry needs, it takes nothing from the pool that
/// the apply thread runs in.
struct OwnImages {
    engine: Engine,
    blobs: Arc<Blobs>,
    ready: Mutex<HashMap<Hash, Arc<Image>>>,
}

impl OwnImages {
    fn new(realm: &Realm) -> Result<Self> {
        let core = &realm.core;
        let engine = core.images.engine();
        let options = EngineOptions {
            backend: engine.backend(),
            pooling: false,
            // The same code, so that what was compiled is found.
            reservation: match engine.allocation() {
                Allocation::Full => Reservation::Full,
                Allocation::Small | Allocation::OnDemand => Reservation::Small,
            },
            instances_max: INSTANCES,
            cache_dir: Some(core.options.dir.join("cache")),
            ..EngineOptions::default()
        };
        let engine = Engine::new(&options).map_err(internal)?;
        Ok(Self { engine, blobs: Arc::clone(&core.blobs), ready: Mutex::default() })
    }
}

impl Images for OwnImages {
    fn image(&self, hash: &Hash) -> Result<Result<Arc<Image>>, Halt> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = ready.get(hash) {
            return Ok(Ok(Arc::clone(image)));
        }
        let bytes = self.blobs.get(hash).map_err(|e| Halt::new(format!("image {hash}: {e}")))?;
        let bytes = bytes.ok_or_else(|| {
            Halt::new(format!(
                "image {hash}: no program runs it any more, and this node has let it go; upload that \
                 component again, or name a snapshot of a later entry with --snapshot"
            ))
        })?;
        match self.engine.load(hash, &bytes) {
            Ok(image) => {
                let image = Arc::new(image);
                ready.insert(*hash, Arc::clone(&image));
                Ok(Ok(image))
            }
            Err(LoadError::Refused(error)) => Ok(Err(error)),
            Err(LoadError::Halt(halt)) => Err(halt.into()),
        }
    }
}
