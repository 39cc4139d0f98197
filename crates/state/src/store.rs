//! An open store: what apply thread, flusher and readers share.

use crate::{
    Applied, FlushPolicy, Flusher, StateError, Tip, View, Writes,
    disk::Disk,
    engine::Engine,
    error::guarded,
    scope::check_pair,
    tables,
    view::{Base, Layers},
};
use althing_protocol::Hash;
use arc_swap::ArcSwap;
use redb::{Database, StorageBackend};
use std::{
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Pages that redb keeps in memory, in bytes. The system's page cache is behind it.
    pub cache_bytes: usize,
    /// When the tip is due for a flush.
    pub flush: FlushPolicy,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, flush: FlushPolicy::default() }
    }
}

/// An open store. Clones are the same store; the file closes with the last clone, view, tip and
/// flusher.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) published: ArcSwap<Layers>,
    pub(crate) policy: FlushPolicy,
    /// Results below it are dropped with the next flush.
    pub(crate) results_floor: AtomicU64,
    /// Held whenever a view is published, by the tip or by the flusher.
    base: Mutex<Base>,
    /// Every generation that something may still hold.
    disks: Mutex<Vec<Weak<Disk>>>,
    tip_taken: AtomicBool,
    flusher_taken: AtomicBool,
    /// Last, so that it closes after what reads from it.
    pub(crate) db: Arc<Engine>,
}

impl Store {
    /// Creates a store at `path` with the realm's genesis and the pairs it starts with: the whole
    /// of it, or nothing.
    ///
    /// # Errors
    /// When there is a store already, a pair breaks a limit, or the disk fails.
    pub fn create(path: &Path, genesis: &[u8], writes: Writes) -> Result<Self, StateError> {
        Self::create_with(path, genesis, writes, &Options::default())
    }

    /// [`create`](Self::create) with options.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(
        path: &Path,
        genesis: &[u8],
        writes: Writes,
        options: &Options,
    ) -> Result<Self, StateError> {
        if path.exists() {
            return Err(StateError::Exists(path.to_owned()));
        }
        Self::build(path, options, |db| fill_genesis(db, genesis, &writes))
    }

    /// Creates a store in a storage of the caller's, such as memory.
    ///
    /// # Errors
    /// When a pair breaks a limit, or the storage fails.
    pub fn create_with_backend(
        backend: impl StorageBackend,
        genesis: &[u8],
        writes: Writes,
        options: &Options,
    ) -> Result<Self, StateError> {
        let db = Engine::new(builder(options).create_with_backend(backend)?);
        fill_genesis(&db, genesis, &writes)?;
        Self::start(db, options)
    }

    /// Opens the store at `path`.
    ///
    /// # Errors
    /// When there is none, another process has it open, it is not ours, a newer program wrote it,
    /// or it is damaged.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        Self::open_with(path, &Options::default())
    }

    /// [`open`](Self::open) with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: &Path, options: &Options) -> Result<Self, StateError> {
        Self::start(guarded(|| open_file(path, options))?, options)
    }

    /// Opens the store in a storage of the caller's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_backend(
        backend: impl StorageBackend,
        options: &Options,
    ) -> Result<Self, StateError> {
        let db = guarded(|| Ok(Engine::new(builder(options).create_with_backend(backend)?)))?;
        Self::start(db, options)
    }

    /// Makes a file beside `path`, has `fill` write it, and gives it its name when it is durable.
    pub(crate) fn build<E: From<StateError>>(
        path: &Path,
        options: &Options,
        fill: impl FnOnce(&Database) -> Result<(), E>,
    ) -> Result<Self, E> {
        let staging = staging(path);
        remove_leftover(&staging)?;
        let built = (|| {
            let db = builder(options).create(&staging).map_err(StateError::from)?;
            let db = Engine::new(db);
            fill(&db)?;
            let store = Self::start(db, options)?;
            fs::rename(&staging, path).map_err(StateError::io(path))?;
            sync_directory(path)?;
            Ok(store)
        })();
        if built.is_err() {
            // The error at hand says more than a leftover that the next attempt removes.
            let _ = fs::remove_file(&staging);
        }
        built
    }

    fn start(db: Engine, options: &Options) -> Result<Self, StateError> {
        let db = Arc::new(db);
        let disk = Arc::new(Disk::open(&db, 0)?);
        let base = Base { disk, frozen: None };
        let shared = Shared {
            published: ArcSwap::from_pointee(Layers::of(base.clone())),
            policy: options.flush,
            results_floor: AtomicU64::new(0),
            disks: Mutex::new(vec![Arc::downgrade(&base.disk)]),
            base: Mutex::new(base),
            tip_taken: AtomicBool::new(false),
            flusher_taken: AtomicBool::new(false),
            db,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The realm's encoded genesis.
    pub fn genesis(&self) -> Arc<[u8]> {
        Arc::clone(&self.shared.published.load().base.disk.genesis)
    }

    /// The state as last published. Takes no lock.
    pub fn view(&self) -> View {
        View(self.shared.published.load_full())
    }

    /// The single writer's head, at what is published.
    ///
    /// # Panics
    /// When there is one already.
    pub fn tip(&self) -> Tip {
        Tip::new(Arc::clone(&self.shared))
    }

    /// What writes frozen parts to disk.
    ///
    /// # Panics
    /// When there is one already.
    pub fn flusher(&self) -> Flusher {
        Flusher::new(Arc::clone(&self.shared))
    }

    /// Where the state on disk stands: a crash now would replay the log after it.
    pub fn durable(&self) -> Applied {
        (*self.shared.base().disk.applied).clone()
    }

    /// The state hash at [`durable`](Self::durable).
    pub fn state_hash_durable(&self) -> Hash {
        self.shared.base().disk.sum.hash()
    }

    /// The encoded result of the entry at `index`, if it is published and kept.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn result(&self, index: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.view().result(index)
    }

    /// Has the next flush drop the results of entries before `below`.
    pub fn prune_results(&self, below: u64) {
        self.shared.results_floor.fetch_max(below, Ordering::Relaxed);
    }

    /// The oldest generation that a view still keeps on disk, and the newest. The file cannot
    /// reuse what was freed since the oldest.
    pub fn generations(&self) -> (u64, u64) {
        let newest = self.shared.base().disk.generation;
        let mut disks = self.shared.lock_disks();
        disks.retain(|disk| disk.strong_count() > 0);
        let live = disks.iter().filter_map(Weak::upgrade).filter(|disk| !disk.is_expired());
        (live.map(|disk| disk.generation).min().unwrap_or(newest), newest)
    }

    /// Closes views of generations before `before`: they release the disk, and reading through
    /// them fails with [`StateError::ViewExpired`]. The newest generation and the one before it
    /// stay, since the tip may still read from them. Says how many generations were closed.
    ///
    /// A realm that flushes calls this with the generation of a few seconds ago, or of the oldest
    /// snapshot it is still writing.
    pub fn expire_views(&self, before: u64) -> usize {
        let before = before.min(self.shared.base().disk.generation.saturating_sub(1));
        let disks = self.shared.lock_disks();
        let live = disks.iter().filter_map(Weak::upgrade);
        let old = live.filter(|disk| disk.generation < before && !disk.is_expired());
        old.map(|disk| disk.expire()).count()
    }
}

impl Shared {
    pub(crate) fn lock_base(&self) -> MutexGuard<'_, Base> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn base(&self) -> Base {
        self.lock_base().clone()
    }

    pub(crate) fn is_flushing(&self) -> bool {
        self.lock_base().frozen.is_some()
    }

    fn lock_disks(&self) -> MutexGuard<'_, Vec<Weak<Disk>>> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts `disk` among the generations.
    fn enlist(&self, disk: Disk) -> Arc<Disk> {
        let disk = Arc::new(disk);
        let mut disks = self.lock_disks();
        disks.retain(|disk| disk.strong_count() > 0);
        disks.push(Arc::downgrade(&disk));
        disk
    }

    /// Another state is on disk: new views read it, and nothing else.
    pub(crate) fn replaced(&self, disk: Disk) -> Base {
        let disk = self.enlist(disk);
        let mut base = self.lock_base();
        *base = Base { disk, frozen: None };
        self.published.store(Arc::new(Layers::of(base.clone())));
        base.clone()
    }

    /// The frozen part is on disk: `disk` takes its place in new views.
    pub(crate) fn flushed(&self, disk: Disk) {
        let disk = self.enlist(disk);
        let mut base = self.lock_base();
        *base = Base { disk, frozen: None };
        let published = self.published.load();
        self.published.store(Arc::new(Layers {
            base: base.clone(),
            fresh: published.fresh.clone(),
            results: published.results.clone(),
            applied: Arc::clone(&published.applied),
        }));
    }

    pub(crate) fn take_tip(&self) {
        assert!(!self.tip_taken.swap(true, Ordering::AcqRel), "the store has a tip already");
    }

    pub(crate) fn return_tip(&self) {
        self.tip_taken.store(false, Ordering::Release);
    }

    pub(crate) fn take_flusher(&self) {
        let taken = self.flusher_taken.swap(true, Ordering::AcqRel);
        assert!(!taken, "the store has a flusher already");
    }

    pub(crate) fn return_flusher(&self) {
        self.flusher_taken.store(false, Ordering::Release);
    }
}

fn builder(options: &Options) -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder
}

pub(crate) fn open_file(path: &Path, options: &Options) -> Result<Engine, StateError> {
    builder(options).open(path).map(Engine::new).map_err(|error| match error {
        redb::DatabaseError::Storage(redb::StorageError::Io(error)) => match error.kind() {
            io::ErrorKind::NotFound => StateError::Missing(path.to_owned()),
            io::ErrorKind::InvalidData => StateError::NotOurs(error.to_string()),
            _ => StateError::io(path)(error),
        },
        other => other.into(),
    })
}

fn fill_genesis(db: &Database, genesis: &[u8], writes: &Writes) -> Result<(), StateError> {
    tables::initialise(db, genesis, &Applied::at_genesis(genesis), |filler| {
        for (key, value) in writes.iter() {
            let Some(value) = value else { continue };
            check_pair(key, Some(value)).map_err(StateError::Invalid)?;
            filler.put(key, value)?;
        }
        Ok(())
    })
}

fn staging(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    PathBuf::from(name)
}

/// A crash while a store was being made leaves a part of it behind.
fn remove_leftover(staging: &Path) -> Result<(), StateError> {
    match fs::remove_file(staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StateError::io(staging)(error))
        }
        _ => Ok(()),
    }
}

/// Makes a rename durable.
fn sync_directory(path: &Path) -> Result<(), StateError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if cfg!(unix) {
        let directory = fs::File::open(parent).map_err(StateError::io(parent))?;
        directory.sync_all().map_err(StateError::io(parent))?;
    }
    Ok(())
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store {{ durable: {}, published: {:?} }}", self.durable().index, self.view())
    }
}
