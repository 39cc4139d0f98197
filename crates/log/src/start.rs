//! How a log comes to run: created, opened, or begun behind a snapshot.

use crate::fault::Fault;
use crate::machine::{Machine, parts};
use crate::network::{Alone, Peers};
use crate::replica::{Position, Replica};
use crate::store::{Dir, Id, Segments, State, Storage, Store, Vote};
use crate::{Log, LogConfig};
use althing_protocol::{Error, Result};
use openraft::errors::{InitializeError, RaftError};
use openraft::impls::BasicNode;
use openraft::{AsyncRuntime, Raft, RaftMetrics, ServerState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is expected of the storage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Nothing is there, or a log whose creation was cut short.
    Create,
    /// A log is there.
    Open,
    /// Nothing is there, and the replica stands where a snapshot put it.
    Restore,
}

impl<R: Replica> Log<R> {
    /// Begins the log of a realm, with this node as its only voter, and opens it.
    pub async fn create(config: LogConfig, replica: Arc<R>) -> Result<Self> {
        Self::start_in_dir(config, replica, Alone, Start::Create).await
    }

    /// Opens a log: replays what the replica has not applied, and waits until this node leads.
    pub async fn open(config: LogConfig, replica: Arc<R>) -> Result<Self> {
        Self::start_in_dir(config, replica, Alone, Start::Open).await
    }

    /// Begins a log behind the position of the replica, which was restored from a snapshot, and
    /// opens it. The membership of that position must have this node as its only voter.
    pub async fn restore(config: LogConfig, replica: Arc<R>) -> Result<Self> {
        Self::start_in_dir(config, replica, Alone, Start::Restore).await
    }
}

impl<R: Replica, T: AsyncRuntime> Log<R, T> {
    /// [`open`](Log::open), with peers and on any runtime.
    pub async fn open_with<N: Peers<R, T>>(
        config: LogConfig,
        replica: Arc<R>,
        peers: N,
    ) -> Result<Self> {
        Self::start_in_dir(config, replica, peers, Start::Open).await
    }

    /// Starts over a storage that the caller made, for simulators and tests: a log is begun where
    /// the storage is empty. The directory of `config` is not touched.
    pub async fn start_on<N: Peers<R, T>>(
        config: LogConfig,
        replica: Arc<R>,
        peers: N,
        storage: Box<dyn Storage>,
    ) -> Result<Self> {
        let start = if storage.state().last.is_none() { Start::Create } else { Start::Open };
        Self::start(config, replica, peers, storage, start).await
    }

    async fn start_in_dir<N: Peers<R, T>>(
        config: LogConfig,
        replica: Arc<R>,
        peers: N,
        start: Start,
    ) -> Result<Self> {
        let at = config.clone();
        let opening = T::spawn_blocking(move || {
            let dir = match start {
                Start::Open => Dir::open(&at.dir, at.node),
                Start::Create | Start::Restore => Dir::create(&at.dir, at.node),
            }?;
            Segments::open(dir, &at)
        });
        let segments = opening
            .await
            .map_err(|error| Error::internal(format!("opening the log: {error}")))??;
        Self::start(config, replica, peers, Box::new(segments), start).await
    }

    async fn start<N: Peers<R, T>>(
        config: LogConfig,
        replica: Arc<R>,
        peers: N,
        storage: Box<dyn Storage>,
        start: Start,
    ) -> Result<Self> {
        let engine_config = config.engine()?;
        let fault = Fault::default();
        let store = Store::new(storage, fault.clone());
        let applied = replica.applied();
        if start == Start::Restore {
            begin_behind(&store, &config, &applied, &fault).await?;
        }
        let state = store.state().map_err(|error| fault.error(error))?;
        check(&config, start, &state, &applied)?;
        let machine = Machine::new(replica.clone(), fault.clone());
        let engine = Raft::new(config.node, engine_config, peers, store.clone(), machine)
            .await
            .map_err(|fatal| fault.error(fatal))?;
        let log = Self {
            engine,
            store,
            replica,
            fault,
            config: Arc::new(config),
            compacting: Arc::default(),
            reading: Arc::default(),
        };
        if let Err(error) = log.come_up(start).await {
            // Nobody has a handle to it: let go of the directory here.
            if let Err(error) = log.shutdown().await {
                tracing::warn!(%error, "closing a log that did not start");
            }
            return Err(error);
        }
        Ok(log)
    }

    async fn come_up(&self, start: Start) -> Result<()> {
        if start == Start::Create && self.last()?.is_none() {
            let members = BTreeMap::from([(self.config.node, BasicNode::default())]);
            match self.engine.initialize(members).await {
                Ok(()) => {}
                Err(RaftError::APIError(InitializeError::NotAllowed(error))) => {
                    return Err(Error::conflict(format!(
                        "the log cannot be begun: {error}; remove its directory first"
                    )));
                }
                Err(error) => return Err(self.fault.error(error)),
            }
        }
        let wait = Some(Duration::from_millis(self.config.leader_wait_ms));
        let settled = |seen: &RaftMetrics<_>| {
            seen.running_state.is_err() || seen.state == ServerState::Leader
        };
        self.engine.wait(wait).metrics(settled, "leadership").await.map_err(|error| {
            self.fault
                .error(format_args!("node {} did not become leader: {error}", self.config.node))
        })?;
        // Replays all that was committed before.
        self.linearizable().await.map(|_| ())
    }
}

/// Records that the log was purged up to where the snapshot stands. The vote is of that term, so
/// that the next leader's entries come after it.
async fn begin_behind(
    store: &Store,
    config: &LogConfig,
    at: &Position,
    fault: &Fault,
) -> Result<()> {
    let state = store.state().map_err(|error| fault.error(error))?;
    // A vote alone is what a restore leaves that was cut short.
    if state.last.is_some() {
        return Err(begun(config));
    }
    let (_, membership) =
        parts(at).map_err(|error| Error::invalid(format!("the snapshot's {error}")))?;
    if at.is_start() || !membership.voter_ids().eq([config.node]) {
        let voters: Vec<_> = membership.voter_ids().collect();
        return Err(Error::invalid(format!(
            "the snapshot's voters are {voters:?}; a log begins with node {} as its only voter",
            config.node
        )));
    }
    let vote = Vote { term: at.term, node: at.node.max(config.node), committed: false };
    let upto = Id { term: at.term, node: at.node, index: at.index };
    let begin = store.durably(|storage| {
        storage.save_vote(vote)?;
        storage.purge(upto)
    });
    begin.await.map_err(|error| fault.error(error))
}

/// Log and state must fit: else one of them lost what was acknowledged.
fn check(config: &LogConfig, start: Start, state: &State, applied: &Position) -> Result<()> {
    let dir = config.dir.display();
    let Some(last) = state.last else {
        if start == Start::Open {
            return Err(Error::not_found(format!(
                "the log in {dir} was never begun; create the realm again"
            )));
        }
        if !applied.is_start() {
            return Err(Error::internal(format!(
                "the state has applied entry {}, but the log in {dir} is empty; restore the node from a snapshot",
                applied.index
            )));
        }
        return Ok(());
    };
    // A creation that was cut short has left the first entry, and nothing applied yet.
    if start == Start::Create && (last.index > 0 || state.purged.is_some()) {
        return Err(begun(config));
    }
    if !applied.is_start() && applied.index > last.index {
        return Err(Error::internal(format!(
            "the state has applied entry {}, but the log in {dir} ends with entry {}: acknowledged entries are gone; restore the node from a snapshot",
            applied.index, last.index
        )));
    }
    let next = if applied.is_start() { 0 } else { applied.index + 1 };
    match state.purged {
        Some(purged) if next <= purged.index => Err(Error::internal(format!(
            "the state needs entry {next}, but the log in {dir} begins with entry {}; restore the node from a snapshot",
            purged.index + 1
        ))),
        _ => Ok(()),
    }
}

fn begun(config: &LogConfig) -> Error {
    Error::conflict(format!(
        "{} holds a log already; open it, or choose another directory",
        config.dir.display()
    ))
}
