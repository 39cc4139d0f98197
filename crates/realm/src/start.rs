//! How a realm comes to run: its parts are opened, then its threads and tasks are started.

use crate::{
    Options, apply,
    authors::Authors,
    cluster::{self, Cluster},
    divergence::Divergence,
    door::{self, Arrival},
    flusher::{self, FlusherHandle},
    halt::{Stop, internal},
    housekeeping::{self, Queue, images_in_use},
    identity,
    images::{KeptImages, NodeImages},
    logs::Logs,
    proposer::{self, Proposal},
    queries::Queries,
    realm::{Core, Gate, Realm, Running, state_path},
    replica::{LogReplica, RealmLog},
    snapshot,
    status::Counters,
    transfer::Outbox,
    verifier::{self, Verified},
};
use althing_blobs::Blobs;
use althing_log::LogConfig;
use althing_machine::{Machine, check_genesis};
use althing_protocol::{Error, Hash, Result, realm_id};
use althing_sandbox::{
    Engine, EngineOptions,
    limits::{RESERVED_INSTANCES, THREAD_STACK_BYTES},
};
use althing_state::Store;
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};
use tokio::sync::{Semaphore, mpsc, watch};

/// Envelopes between the queue's permits and the door.
const ARRIVALS_MAX: usize = 1_024;
/// Groups between the door and the proposer: what waits here has its signatures checked.
const GROUPS_MAX: usize = 8;

/// What a realm is made of before anything runs.
pub(crate) struct Parts {
    pub(crate) core: Core,
    arrivals: mpsc::Receiver<Arrival>,
    proposals: mpsc::Receiver<Vec<Proposal>>,
    log: LogConfig,
}

impl Parts {
    pub(crate) fn open(options: Options) -> Result<Self> {
        let dir = &options.dir;
        let state = state_path(dir);
        if !state.exists() {
            return Err(Error::not_found(format!(
                "realm in {}: there is none; `althing init` makes one, and `althing join` that was cut \
                 short goes on when it is run again",
                dir.display()
            )));
        }
        let state_options =
            althing_state::Options { cache_bytes: options.state_cache_bytes, ..Default::default() };
        let store = Store::open_with(&state, &state_options).map_err(|e| open_error(&state, &e))?;
        let genesis_bytes = store.genesis();
        // The checks of a new realm hold for an old one: format and semantics must be ours.
        let genesis = check_genesis(&genesis_bytes)?;
        let id = realm_id(&genesis_bytes);
        identity::check(dir, &id)?;
        let blobs = Arc::new(Blobs::open(dir.join("blobs")).map_err(Error::from)?);
        let kept = KeptImages::open(&store, Arc::clone(&blobs))?;
        let images = Arc::new(NodeImages::new(Arc::clone(&blobs), engine(&options)?, kept));
        let machine = Machine::new(id, Arc::clone(&images) as _, Vec::new());
        let view = store.view();
        images.kept.look(view.applied().index, &images_in_use(&machine, &view)?, 0);
        images.start(images_to_run(&machine, &store)?)?;
        let outbox = Arc::new(Outbox::open(dir)?);
        let cluster =
            Cluster::open(id, &store, &machine, options.identity.clone(), Arc::clone(&outbox))?;
        let log = LogConfig {
            flush_wait_us: options.log_flush_wait_us,
            entries_keep: options.log_entries_keep,
            keep_bytes_max: options.log_bytes_keep,
            ..LogConfig::new(dir.join("log"), cluster.me)
        };
        let (arrivals_in, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let (proposals_in, proposals) = mpsc::channel(GROUPS_MAX);
        let (applied_index, membership) = {
            let applied = store.view().applied().clone();
            (applied.index, applied.membership)
        };
        // What others sent may lie in the log unchecked.
        let checked_to = match cluster.votes_alone(&membership)? {
            true => u64::MAX,
            false => applied_index,
        };
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
            checked_to: AtomicU64::new(checked_to),
            is_disk_low: AtomicBool::new(false),
            applied: watch::Sender::new(applied_index),
            flushed: watch::Sender::new(applied_index),
            checkpoint: watch::Sender::new(None),
            cluster,
            authors: Authors::default(),
            outbox,
            arrivals: Gate::new(arrivals_in),
            proposals: Gate::new(proposals_in),
            store,
            options,
        };
        Ok(Self { core, arrivals, proposals, log })
    }

    pub(crate) async fn start(self) -> Result<Arc<Realm>> {
        cluster::check_is_member(&self.core.store, self.core.cluster.me)?;
        // What it differs in is in its state: it shows it to nobody, and decides nothing on it.
        if let Some(found) = Divergence::read(&self.core.options.dir)? {
            return Err(crate::halt::stopped(&found.reason(&self.core.options.dir)));
        }
        let core = Arc::new(self.core);
        let (work_in, work) = std::sync::mpsc::channel();
        let flusher = core.store.flusher();
        let flusher = spawn("althing-flush", 2 << 20, &core, move |c| flusher::run(c, flusher))?;
        let apply =
            spawn("althing-apply", THREAD_STACK_BYTES, &core, move |c| apply::run(c, &work))?;
        let (staged_in, staged) = mpsc::channel(cluster::APPENDED_MAX);
        let (appended, waiting) = verifier::channel();
        let verifier =
            spawn("althing-verify", 2 << 20, &core, move |c| verifier::run(c, &waiting))?;
        let replica = Arc::new(LogReplica {
            core: Arc::clone(&core),
            work: Gate::new(work_in),
            staged: staged_in,
            appended: Gate::new(appended),
        });
        core.meet().await?;
        core.fetch_images();
        let log = open_log(self.log, Arc::clone(&replica)).await;
        let log = log.map_err(|e| core.stop.reason().map_or(e, crate::halt::stopped))?;
        let replayed = match log.membership().voters.len() {
            0 | 1 => log.last()?.unwrap_or(0),
            _ => core.store.durable().index,
        };
        core.replayed_to.store(replayed, Ordering::Release);
        core.checked_to.fetch_min(log.last()?.unwrap_or(0), Ordering::AcqRel);
        core.cluster.log_is(log.clone());
        let proposals = core.proposals.get().ok_or_else(|| internal("closed at start"))?;
        let arrivals = self.arrivals;
        let door =
            spawn("althing-door", 8 << 20, &core, move |c| door::run(c, arrivals, &proposals))?;
        let proposer = tokio::spawn(proposer::run(log.clone(), self.proposals));
        let housekeeping = tokio::spawn(housekeeping::run(Arc::clone(&core), log.clone()));
        let queries = core.queries.start()?;
        let realm = Arc::new(Realm { core, log, replica, running: Mutex::default() });
        let core = &realm.core;
        let cluster = [
            tokio::spawn(cluster::compare(Arc::downgrade(&realm))),
            tokio::spawn(cluster::hold_ballots(Arc::clone(core))),
            tokio::spawn(cluster::keep_book(Arc::clone(core))),
            tokio::spawn(cluster::learn_members(Arc::clone(core))),
            tokio::spawn(cluster::report(Arc::clone(core))),
            tokio::spawn(cluster::reconcile(Arc::clone(core))),
            tokio::spawn(cluster::watch_health(Arc::clone(core))),
            tokio::spawn(cluster::prefetch(Arc::clone(core), staged)),
            tokio::spawn(cluster::tick(Arc::clone(core))),
        ];
        let running =
            Running { door, apply, verifier, flusher, queries, proposer, housekeeping, cluster };
        *realm.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(realm)
    }
}

/// The images that entries to come may call, as of the state on disk.
pub(crate) fn images_to_run(machine: &Machine, store: &Store) -> Result<BTreeSet<Hash>> {
    let images = machine.images_to_run(&store.view()).map_err(internal)?;
    images.iter().map(|image| Hash::try_from(image.as_slice())).collect()
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
    let links = replica.core.cluster.links.clone();
    if restored {
        let core = Arc::clone(&replica.core);
        let log = RealmLog::restore(config, replica, links).await?;
        core.store.meta_put(snapshot::RESTORED, b"").map_err(internal)?;
        return Ok(log);
    }
    if !replica.core.cluster.is_founder() {
        return RealmLog::join(config, replica, links).await;
    }
    match replica.applied().is_start() && !begun {
        true => RealmLog::create(config, replica, links).await,
        false => RealmLog::open(config, replica, links).await,
    }
}

fn open_error(path: &Path, error: &althing_state::StateError) -> Error {
    Error::unavailable(format!("state in {}: {error}", path.display()))
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
