//! The handle of a running realm, and what its threads share.

use crate::{
    Founding, Options, apply,
    authors::Authors,
    door::{self, Arrival, Verified},
    explain,
    flusher::{self, FlusherHandle},
    halt::{Stop, internal},
    housekeeping::{self, Queue},
    identity,
    images::NodeImages,
    logs::Logs,
    proposer::{self, Proposal},
    queries::Queries,
    replica::{LogReplica, RealmLog},
    snapshot,
    status::Counters,
};
use althing_blobs::Blobs;
use althing_log::LogConfig;
use althing_machine::{Machine, genesis_writes};
use althing_protocol::{
    Error, FORMAT, Hash, RealmId, Result, SEMANTICS, SecretKey, decode, realm_id, v1,
};
use althing_sandbox::{
    Engine, EngineOptions,
    limits::{RESERVED_INSTANCES, THREAD_STACK_BYTES},
};
use althing_state::Store;
use prost::Message;
use rand::Rng;
use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};
use tokio::sync::{Semaphore, mpsc, watch};

/// Envelopes between the queue's permits and the door.
const ARRIVALS_MAX: usize = 1_024;
/// Groups between the door and the proposer: what waits here has its signatures checked.
const GROUPS_MAX: usize = 8;
/// The Raft id of the first node. Ids of further ones are given out by `sys`.
pub(crate) const FIRST_NODE: u64 = 1;

/// What can be closed: a sender that its holder gives away for good.
pub(crate) struct Gate<T>(RwLock<Option<T>>);

impl<T: Clone> Gate<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self(RwLock::new(Some(inner)))
    }

    pub(crate) fn get(&self) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What door, apply, flusher and readers share.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) genesis: v1::Genesis,
    pub(crate) id: RealmId,
    pub(crate) store: Store,
    pub(crate) machine: Machine,
    pub(crate) images: Arc<NodeImages>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) logs: Logs,
    pub(crate) verified: Verified,
    pub(crate) stop: Stop,
    pub(crate) queue: Queue,
    pub(crate) queries: Queries,
    /// An entry is explained at a time.
    pub(crate) explaining: Arc<Semaphore>,
    pub(crate) counters: Counters,
    pub(crate) flusher: FlusherHandle,
    /// The last index that was in the log when this process opened it: those entries were verified
    /// when they were first applied, and the log is checksummed.
    /// Until it is open, everything is.
    pub(crate) replayed_to: AtomicU64,
    pub(crate) is_disk_low: AtomicBool,
    pub(crate) applied: watch::Sender<u64>,
    pub(crate) flushed: watch::Sender<u64>,
    pub(crate) arrivals: Gate<mpsc::Sender<Arrival>>,
    pub(crate) proposals: Gate<mpsc::Sender<Vec<Proposal>>>,
}

/// A running realm. It runs until [`shutdown`](Self::shutdown).
pub struct Realm {
    pub(crate) core: Arc<Core>,
    pub(crate) log: RealmLog,
    pub(crate) authors: Authors,
    replica: Arc<LogReplica>,
    running: Mutex<Option<Running>>,
}

/// What ends one after the other at shutdown.
struct Running {
    door: JoinHandle<()>,
    apply: JoinHandle<()>,
    flusher: JoinHandle<()>,
    queries: Vec<JoinHandle<()>>,
    proposer: tokio::task::JoinHandle<()>,
    housekeeping: tokio::task::JoinHandle<()>,
}

impl Realm {
    /// Makes a realm in an empty directory: its id is the hash of its genesis.
    ///
    /// # Errors
    /// `conflict` when there is one already, `invalid` for what is wrong with `founding`.
    pub fn create(options: &Options, founding: Founding) -> Result<RealmId> {
        let mut nonce = [0; 16];
        rand::rng().fill_bytes(&mut nonce);
        let genesis = v1::Genesis {
            format: FORMAT,
            name: founding.name,
            founder: founding.founder.0.to_vec(),
            created_us: door::now_us(),
            nonce: nonce.to_vec(),
            semantics: SEMANTICS,
        }
        .encode_to_vec();
        let writes = genesis_writes(&genesis, &founding.grants)?;
        let at = |e: std::io::Error| {
            Error::unavailable(format!("realm in {}: {e}", options.dir.display()))
        };
        fs::create_dir_all(&options.dir).map_err(at)?;
        let path = state_path(&options.dir);
        if path.exists() {
            let dir = options.dir.display();
            return Err(Error::conflict(format!(
                "realm in {dir}: exists; choose another directory"
            )));
        }
        let id = realm_id(&genesis);
        identity::write(&options.dir, &id)?;
        let store = Store::create(&path, &genesis, writes).map_err(internal)?;
        explain::keep_founding(&store, &founding.grants)?;
        Ok(id)
    }

    /// Opens a realm, replays what its state lacks, and waits until it takes writes.
    ///
    /// # Errors
    /// Whatever keeps it from running: missing, locked, damaged, of a newer version.
    pub async fn open(options: Options) -> Result<Arc<Self>> {
        let opened = tokio::task::spawn_blocking(move || Parts::open(options)).await;
        let parts = opened.map_err(internal)??;
        parts.start().await
    }

    /// Its id.
    pub fn id(&self) -> RealmId {
        self.core.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.core.genesis.name
    }

    /// Submits an envelope that its author signed; returns its outcomes once they are durable.
    ///
    /// # Errors
    /// What the door refuses, `exhausted` when too much is in flight, `unavailable` when the
    /// outcome is unknown: then the same envelope may be sent again and takes effect once.
    pub async fn submit(&self, envelope: v1::Envelope) -> Result<Vec<v1::Outcome>> {
        self.core.enter(envelope, false).await
    }

    /// Submits instructions in the name of a key that this node keeps for a caller.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn submit_as(
        &self,
        key: &SecretKey,
        instructions: Vec<v1::Instruction>,
    ) -> Result<Vec<v1::Outcome>> {
        self.authors.submit(&self.core, key, instructions).await
    }

    /// Content-addressed files of this node.
    pub fn blobs(&self) -> &Arc<Blobs> {
        &self.core.blobs
    }

    /// Why the realm stopped on this node, if it did.
    pub fn stopped(&self) -> Option<String> {
        self.core.stop.reason().map(str::to_owned).or_else(|| self.log.fault())
    }

    /// Takes nothing more in, answers what waits, makes everything durable and ends.
    ///
    /// # Errors
    /// When the last flush failed; nothing acknowledged is lost by that, the log has it.
    pub async fn shutdown(&self) -> Result<()> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return Ok(()) };
        self.core.arrivals.close();
        self.core.queries.close();
        join(running.door).await?;
        for query in running.queries {
            join(query).await?;
        }
        self.core.proposals.close();
        running.proposer.await.map_err(internal)?;
        running.housekeeping.abort();
        // It holds the log and the store until it is gone.
        let _ = running.housekeeping.await;
        let log = self.log.shutdown().await;
        self.replica.work.close();
        join(running.apply).await?;
        self.core.images.close();
        self.core.flusher.close();
        join(running.flusher).await?;
        log
    }
}

impl fmt::Debug for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Realm {} ({})", self.core.genesis.name, self.core.id)
    }
}

/// What a realm is made of before anything runs.
struct Parts {
    core: Core,
    arrivals: mpsc::Receiver<Arrival>,
    proposals: mpsc::Receiver<Vec<Proposal>>,
    log: LogConfig,
}

impl Parts {
    fn open(options: Options) -> Result<Self> {
        let dir = &options.dir;
        let state = state_path(dir);
        if !state.exists() {
            return Err(Error::not_found(format!(
                "realm in {}: there is none; `althing init` makes one",
                dir.display()
            )));
        }
        let state_options =
            althing_state::Options { cache_bytes: options.state_cache_bytes, ..Default::default() };
        let store = Store::open_with(&state, &state_options).map_err(|e| open_error(&state, &e))?;
        let genesis_bytes = store.genesis();
        let genesis: v1::Genesis = decode("genesis", &genesis_bytes)?;
        // The checks of a new realm hold for an old one: format and semantics must be ours.
        genesis_writes(&genesis_bytes, &[])?;
        let id = realm_id(&genesis_bytes);
        identity::check(dir, &id)?;
        let blobs = Arc::new(Blobs::open(dir.join("blobs")).map_err(Error::from)?);
        let images = Arc::new(NodeImages::new(Arc::clone(&blobs), engine(&options)?));
        let machine = Machine::new(id, Arc::clone(&images) as _, Vec::new());
        images.start(active_images(&machine, &store)?)?;
        let log = LogConfig {
            flush_wait_us: options.log_flush_wait_us,
            entries_keep: options.log_entries_keep,
            keep_bytes_max: options.log_bytes_keep,
            ..LogConfig::new(dir.join("log"), FIRST_NODE)
        };
        let (arrivals_in, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let (proposals_in, proposals) = mpsc::channel(GROUPS_MAX);
        let applied_index = store.view().applied().index;
        let core = Core {
            queue: Queue::new(options.queue_envelopes_max, options.queue_bytes_max),
            queries: Queries::new(images.engine().query_instances_max(), options.query_deadline_ms),
            genesis,
            id,
            machine,
            images,
            blobs,
            logs: Logs::default(),
            verified: Verified::default(),
            stop: Stop::default(),
            explaining: Arc::new(Semaphore::new(1)),
            counters: Counters::default(),
            flusher: FlusherHandle::default(),
            replayed_to: AtomicU64::new(u64::MAX),
            is_disk_low: AtomicBool::new(false),
            applied: watch::Sender::new(applied_index),
            flushed: watch::Sender::new(applied_index),
            arrivals: Gate::new(arrivals_in),
            proposals: Gate::new(proposals_in),
            store,
            options,
        };
        Ok(Self { core, arrivals, proposals, log })
    }

    async fn start(self) -> Result<Arc<Realm>> {
        let core = Arc::new(self.core);
        let (work_in, work) = std::sync::mpsc::channel();
        let flusher = core.store.flusher();
        let flusher = spawn("althing-flush", 2 << 20, &core, move |c| flusher::run(c, flusher))?;
        let apply =
            spawn("althing-apply", THREAD_STACK_BYTES, &core, move |c| apply::run(c, &work))?;
        let replica = Arc::new(LogReplica { core: Arc::clone(&core), work: Gate::new(work_in) });
        let log = open_log(self.log, Arc::clone(&replica)).await;
        let log = log.map_err(|e| core.stop.reason().map_or(e, crate::halt::stopped))?;
        core.replayed_to.store(log.last()?.unwrap_or(0), Ordering::Release);
        let proposals = core.proposals.get().ok_or_else(|| internal("closed at start"))?;
        let arrivals = self.arrivals;
        let door =
            spawn("althing-door", 8 << 20, &core, move |c| door::run(c, arrivals, &proposals))?;
        let proposer = tokio::spawn(proposer::run(log.clone(), self.proposals));
        let housekeeping = tokio::spawn(housekeeping::run(Arc::clone(&core), log.clone()));
        let queries = core.queries.start()?;
        let running = Running { door, apply, flusher, queries, proposer, housekeeping };
        Ok(Arc::new(Realm {
            core,
            log,
            authors: Authors::default(),
            replica,
            running: Mutex::new(Some(running)),
        }))
    }
}

/// The images that programs run as of the state on disk.
fn active_images(machine: &Machine, store: &Store) -> Result<BTreeSet<Hash>> {
    let programs = machine.programs(&store.view()).map_err(internal)?;
    let active = programs.into_iter().filter_map(|program| program.active);
    active.map(|image| Hash::try_from(image.image.as_slice())).collect()
}

/// The engine of guests, as this node has chosen and this system allows.
///
/// # Errors
/// `invalid` when there are too few instances for apply, for compiling and for one query.
fn engine(options: &Options) -> Result<Engine> {
    if options.guest_instances_max <= RESERVED_INSTANCES {
        return Err(Error::invalid(format!(
            "sandbox.instances_max {}: too few, {RESERVED_INSTANCES} are kept free for programs \
             that call each other in one instruction; use {} or more",
            options.guest_instances_max,
            RESERVED_INSTANCES + 1
        )));
    }
    let engine = Engine::new(&EngineOptions {
        backend: options.guest_backend,
        pooling: options.guest_pooling,
        reservation: options.guest_reservation,
        instances_max: options.guest_instances_max,
        cache_dir: Some(options.dir.join("cache")),
        ..EngineOptions::default()
    })
    .map_err(internal)?;
    tracing::info!(
        backend = %engine.backend(),
        memory = %engine.allocation(),
        query_instances = engine.query_instances_max(),
        "guests"
    );
    Ok(engine)
}

/// A realm that was never started has no log; one that was must have it.
async fn open_log(config: LogConfig, replica: Arc<LogReplica>) -> Result<RealmLog> {
    use althing_log::Replica;
    let begun = config.dir.join("wal").exists();
    let store = &replica.core.store;
    let restored =
        store.meta_get(snapshot::RESTORED).map_err(internal)?.is_some_and(|m| !m.is_empty());
    if restored {
        let core = Arc::clone(&replica.core);
        let log = RealmLog::restore(config, replica).await?;
        core.store.meta_put(snapshot::RESTORED, b"").map_err(internal)?;
        return Ok(log);
    }
    match replica.applied().is_start() && !begun {
        true => RealmLog::create(config, replica).await,
        false => RealmLog::open(config, replica).await,
    }
}

fn open_error(path: &Path, error: &althing_state::StateError) -> Error {
    Error::unavailable(format!("state in {}: {error}", path.display()))
}

pub(crate) fn state_path(dir: &Path) -> PathBuf {
    dir.join("state.redb")
}

fn spawn(
    name: &str,
    stack_bytes: usize,
    core: &Arc<Core>,
    run: impl FnOnce(&Core) + Send + 'static,
) -> Result<JoinHandle<()>> {
    let core = Arc::clone(core);
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(stack_bytes);
    let stop = core.stop.clone();
    let what = name.to_owned();
    let run = move || {
        // A panic is a defect of ours; the node must not go on half alive.
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&core)));
        if ran.is_err() {
            stop.set(format!("thread {what} panicked: a defect; see the node's log"));
            core.flusher.give_up();
        }
    };
    thread.spawn(run).map_err(|e| Error::unavailable(format!("thread {name}: {e}")))
}

async fn join(thread: JoinHandle<()>) -> Result<()> {
    let joined = tokio::task::spawn_blocking(move || thread.join()).await.map_err(internal)?;
    joined.map_err(|_| internal("a thread of the realm panicked"))
}
