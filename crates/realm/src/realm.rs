//! The handle of a running realm, and what its threads share.

use crate::{
    Founding, Options,
    authors::Authors,
    cluster::Cluster,
    door::{self, Arrival},
    flusher::FlusherHandle,
    halt::{Stop, internal},
    housekeeping::Queue,
    identity,
    images::NodeImages,
    logs::Logs,
    proposer::Proposal,
    queries::Queries,
    replica::{LogReplica, RealmLog},
    start::Parts,
    status::Counters,
    transfer::Outbox,
    verifier::Verified,
};
use althing_blobs::Blobs;
use althing_machine::{Machine, genesis_writes};
use althing_protocol::{
    CheckpointValues, Error, FORMAT, RealmId, Result, SEMANTICS, SecretKey, realm_id, v1,
};
use althing_state::Store;
use prost::Message;
use rand::Rng;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::timeout,
};

/// For the others to decide what was proposed here, when this node stops.
const DECIDE_WAIT: Duration = Duration::from_secs(5);

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
    /// The last index that is replayed: nobody waits for those entries one by one. While the log
    /// opens, all are.
    pub(crate) replayed_to: AtomicU64,
    /// Entries up to this index need no check of their signatures: this node was the only voter, so
    /// it checked them before they came into its log. It goes down only.
    pub(crate) checked_to: AtomicU64,
    pub(crate) is_disk_low: AtomicBool,
    pub(crate) applied: watch::Sender<u64>,
    pub(crate) flushed: watch::Sender<u64>,
    /// The newest checkpoint that this node found while it ran.
    pub(crate) checkpoint: watch::Sender<Option<CheckpointValues>>,
    /// Snapshots in files for other nodes.
    pub(crate) outbox: Arc<Outbox>,
    /// The other nodes.
    pub(crate) cluster: Cluster,
    pub(crate) authors: Authors,
    pub(crate) arrivals: Gate<mpsc::Sender<Arrival>>,
    pub(crate) proposals: Gate<mpsc::Sender<Vec<Proposal>>>,
}

/// A running realm. It runs until [`shutdown`](Self::shutdown).
pub struct Realm {
    pub(crate) core: Arc<Core>,
    pub(crate) log: RealmLog,
    pub(crate) replica: Arc<LogReplica>,
    pub(crate) running: Mutex<Option<Running>>,
}

/// What ends one after the other at shutdown.
pub(crate) struct Running {
    pub(crate) door: JoinHandle<()>,
    pub(crate) apply: JoinHandle<()>,
    pub(crate) verifier: JoinHandle<()>,
    pub(crate) flusher: JoinHandle<()>,
    pub(crate) queries: Vec<JoinHandle<()>>,
    pub(crate) proposer: tokio::task::JoinHandle<()>,
    pub(crate) housekeeping: tokio::task::JoinHandle<()>,
    pub(crate) cluster: [tokio::task::JoinHandle<()>; 9],
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
            node: founding.node.0.to_vec(),
            grants: founding.grants,
        }
        .encode_to_vec();
        let writes = genesis_writes(&genesis)?;
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
        Store::create(&path, &genesis, writes).map_err(internal)?;
        Ok(id)
    }

    /// The realm that a directory holds, if it holds one to open.
    ///
    /// # Errors
    /// `unavailable` when the directory does not say which it is.
    pub fn found_in(dir: &Path) -> Result<Option<RealmId>> {
        state_path(dir).exists().then(|| identity::read(dir)).transpose()
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
        self.core.submit(envelope, false).await
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
        self.core.authors.submit(&self.core, key, instructions).await
    }

    /// Content-addressed files of this node.
    pub fn blobs(&self) -> &Arc<Blobs> {
        &self.core.blobs
    }

    /// Why the realm stopped on this node, if it did.
    pub fn stopped(&self) -> Option<String> {
        self.core.why_stopped().or_else(|| self.log.fault())
    }

    /// Takes nothing more in, answers what waits, makes everything durable and ends.
    ///
    /// # Errors
    /// When the last flush failed; nothing acknowledged is lost by that, the log has it.
    pub async fn shutdown(&self) -> Result<()> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut running) = running else { return Ok(()) };
        self.core.step_aside().await;
        for task in running.cluster {
            task.abort();
            // It holds the core until it is gone.
            let _ = task.await;
        }
        self.core.arrivals.close();
        self.core.queries.close();
        // Apply and queries may wait for an image that is nowhere; nothing else would wake them. What
        // apply does not run any more is in the log.
        self.core.images.close();
        join(running.door).await?;
        for query in running.queries {
            join(query).await?;
        }
        self.core.proposals.close();
        match timeout(DECIDE_WAIT, &mut running.proposer).await {
            Ok(ended) => ended.map_err(internal)?,
            // Too few others answer. Who waits is told that the outcome is unknown.
            Err(_) => {
                running.proposer.abort();
                let _ = running.proposer.await;
            }
        }
        // Not before: what was proposed takes the others to be decided.
        self.core.cluster.close().await;
        running.housekeeping.abort();
        // It holds the log and the store until it is gone.
        let _ = running.housekeeping.await;
        let log = self.log.shutdown().await;
        self.replica.appended.close();
        join(running.verifier).await?;
        self.replica.work.close();
        join(running.apply).await?;
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

pub(crate) fn state_path(dir: &Path) -> PathBuf {
    dir.join("state.redb")
}

async fn join(thread: JoinHandle<()>) -> Result<()> {
    let joined = tokio::task::spawn_blocking(move || thread.join()).await.map_err(internal)?;
    joined.map_err(|_| internal("a thread of the realm panicked"))
}
