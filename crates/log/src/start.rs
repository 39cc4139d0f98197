//! How a log comes to run: created, opened, joined to a realm, or begun behind a snapshot.

use crate::fault::{Fault, REMEDY, follow};
use crate::log::Call;
use crate::machine::{Machine, parts};
use crate::remote::Remotes;
use crate::replica::{Position, Replica};
use crate::store::{Dir, Id, Segments, State, Storage, Store, Vote, go_on_behind};
use crate::transport::Transport;
use crate::types::Types;
use crate::{Log, LogConfig};
use althing_protocol::{Error, Result};
use futures::FutureExt;
use openraft::errors::{InitializeError, RaftError};
use openraft::impls::BasicNode;
use openraft::{AsyncRuntime, Raft, RaftMetrics, ReadPolicy, ServerState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How a log begins where a storage holds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// This node is the first voter.
    Found,
    /// This node waits until a leader adds it.
    Join,
}

/// What is expected of the storage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Nothing is there, or a log whose creation was cut short.
    Create,
    /// Nothing is there, or a log that other nodes have begun.
    Join,
    /// A log is there.
    Open,
    /// Nothing is there, and the replica stands where a snapshot put it.
    Restore,
}

impl<R: Replica, T: AsyncRuntime> Log<R, T> {
    /// Begins the log of a realm, with this node as its only voter, and opens it.
    pub async fn create<X: Transport>(
        config: LogConfig,
        replica: Arc<R>,
        transport: X,
    ) -> Result<Self> {
        Self::start_in_dir(config, replica, transport, Start::Create).await
    }

    /// Begins a log that waits to be added to a realm by its leader; opens what is there already
    /// of one that waited or was added.
    pub async fn join<X: Transport>(
        config: LogConfig,
        replica: Arc<R>,
        transport: X,
    ) -> Result<Self> {
        Self::start_in_dir(config, replica, transport, Start::Join).await
    }

    /// Opens a log of one node or of several. With other voters it waits for no leader: only what
    /// this node knew to be committed is replayed when it returns. What the replica held may lie
    /// beyond what the log held, when a crash came between.
    pub async fn open<X: Transport>(
        config: LogConfig,
        replica: Arc<R>,
        transport: X,
    ) -> Result<Self> {
        Self::start_in_dir(config, replica, transport, Start::Open).await
    }

    /// Begins a log behind the position of the replica, which was restored from a snapshot, and
    /// opens it. The membership of that position must have this node as its only voter.
    pub async fn restore<X: Transport>(
        config: LogConfig,
        replica: Arc<R>,
        transport: X,
    ) -> Result<Self> {
        Self::start_in_dir(config, replica, transport, Start::Restore).await
    }

    /// Starts over a storage that the caller made, for simulators and tests: a log is begun where
    /// the storage is empty. The directory of `config` is not touched.
    pub async fn start_on<X: Transport>(
        config: LogConfig,
        replica: Arc<R>,
        transport: X,
        storage: Box<dyn Storage>,
        begin: Begin,
    ) -> Result<Self> {
        let start = match begin {
            Begin::Join => Start::Join,
            Begin::Found if storage.state().last.is_none() => Start::Create,
            Begin::Found => Start::Open,
        };
        Self::start(config, replica, transport, storage, start).await
    }

    async fn start_in_dir<X: Transport>(
        config: LogConfig,
        replica: Arc<R>,
        transport: X,
        start: Start,
    ) -> Result<Self> {
        let at = config.clone();
        let opening = T::spawn_blocking(move || {
            let dir = match start {
                Start::Open => Dir::open(&at.dir, at.node),
                Start::Create | Start::Join | Start::Restore => Dir::create(&at.dir, at.node),
            }?;
            Segments::open(dir, &at)
        });
        let segments = opening
            .await
            .map_err(|error| Error::internal(format!("opening the log: {error}")))??;
        Self::start(config, replica, transport, Box::new(segments), start).await
    }

    async fn start<X: Transport>(
        config: LogConfig,
        replica: Arc<R>,
        transport: X,
        storage: Box<dyn Storage>,
        start: Start,
    ) -> Result<Self> {
        let engine_config = config.engine()?;
        let fault = Fault::default();
        let showing = replica.clone();
        let appended = Arc::new(move |index, bytes: &_| showing.appended(index, bytes));
        let store = Store::new(storage, fault.clone(), appended);
        let applied = replica.applied();
        if start == Start::Restore {
            begin_behind(&store, &config, &applied, &fault).await?;
        }
        let state = store.state().map_err(|error| fault.error(error))?;
        check(&config, start, &state, &applied)?;
        if !applied.is_start() && !is_alone(&config, &applied) {
            let at = Id { term: applied.term, node: applied.node, index: applied.index };
            let fitted = store.durably(|storage| go_on_behind(storage, at)).await;
            fitted.map_err(|error| {
                let dir = config.dir.display();
                Error::internal(format!("the log in {dir} and the state: {error}; {REMEDY}"))
            })?;
        }
        // What this node promised to another leader it has forgotten: its vote counts, for itself
        // or for others, when that lease is over for certain.
        if state.vote.is_some_and(|vote| vote.node != config.node) {
            T::sleep(config.lease()).await;
        }
        let machine = Machine::new(replica.clone(), fault.clone());
        let caller = transport.clone();
        let call: Call = Arc::new(move |to, message, deadline| {
            let caller = caller.clone();
            async move { caller.call(to, message, deadline).await }.boxed()
        });
        let remotes =
            Remotes { replica: replica.clone(), transport, acknowledged: BTreeMap::new() };
        let engine = Raft::new(config.node, engine_config, remotes, store.clone(), machine)
            .await
            .map_err(|fatal| fault.error(fatal))?;
        drop(T::spawn(follow::<Types<R::Response, T>>(engine.metrics(), fault.clone())));
        let log = Self {
            engine,
            store,
            replica,
            fault,
            config: Arc::new(config),
            compacting: Arc::default(),
            reading: Arc::default(),
            campaigns: Arc::new(AtomicBool::new(true)),
            call,
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
        let me = self.config.node;
        let voters = self
            .engine
            .with_raft_state(move |state| state.membership_state.effective().voter_ids().eq([me]));
        // With other voters they decide who leads, and when.
        if !voters.await.map_err(|fatal| self.fault.error(fatal))? {
            return Ok(());
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
        let replayed = self.engine.ensure_linearizable(ReadPolicy::ReadIndex).await;
        replayed.map(|_| ()).map_err(|error| self.read_refusal(error).into())
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
        // (A joining node's state may be a snapshot whose position did not reach the log yet.)
        if !applied.is_start() && (start != Start::Join || state.vote.is_none()) {
            return Err(Error::internal(format!(
                "the state has applied entry {}, but the log in {dir} is empty; {REMEDY}",
                applied.index
            )));
        }
        return Ok(());
    };
    // A creation that was cut short has left the first entry, and nothing applied yet.
    if start == Start::Create && (last.index > 0 || state.purged.is_some()) {
        return Err(begun(config));
    }
    // Where others vote, both a leader's own flush and the cut behind a snapshot may come after the
    // state is durable. All of the state is decided, so the log goes on behind it.
    if !applied.is_start() && applied.index > last.index && is_alone(config, applied) {
        return Err(Error::internal(format!(
            "the state has applied entry {}, but the log in {dir} ends with entry {}: acknowledged entries are gone; restore the node from a snapshot",
            applied.index, last.index
        )));
    }
    let next = if applied.is_start() { 0 } else { applied.index + 1 };
    match state.purged {
        Some(purged) if next <= purged.index => Err(Error::internal(format!(
            "the state needs entry {next}, but the log in {dir} begins with entry {}; {REMEDY}",
            purged.index + 1
        ))),
        _ => Ok(()),
    }
}

/// Whether the state knows no other voter.
fn is_alone(config: &LogConfig, applied: &Position) -> bool {
    parts(applied).is_ok_and(|(_, stored)| stored.voter_ids().eq([config.node]))
}

fn begun(config: &LogConfig) -> Error {
    Error::conflict(format!(
        "{} holds a log already; open it, or choose another directory",
        config.dir.display()
    ))
}
