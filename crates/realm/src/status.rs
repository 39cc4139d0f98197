//! What an operator sees of a realm.

use crate::Realm;
use althing_log::Standing;
use althing_protocol::{Result, v1};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counted since the node started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    instructions: AtomicU64,
    failures: AtomicU64,
    fuel: AtomicU64,
}

impl crate::realm::Core {
    pub(crate) fn count(&self, outcomes: &[v1::Outcome]) {
        let failed = |o: &&v1::Outcome| matches!(o.result, Some(v1::outcome::Result::Failure(_)));
        let counters = &self.counters;
        counters.instructions.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
        let failures = outcomes.iter().filter(failed).count() as u64;
        counters.failures.fetch_add(failures, Ordering::Relaxed);
        counters.fuel.fetch_add(outcomes.iter().map(|o| o.fuel).sum(), Ordering::Relaxed);
    }
}

impl crate::realm::Core {
    fn role(&self, standing: &Standing) -> &'static str {
        match &standing.members {
            members if members.voters.contains(&self.cluster.me) => "voter",
            members if members.learners.contains(&self.cluster.me) => "learner",
            _ => "none",
        }
    }

    fn waits_for(&self, standing: &Standing) -> Option<String> {
        if let Some((have, all)) = *self.cluster.received.borrow() {
            return Some(format!("a snapshot, {have} of {all} bytes are here"));
        }
        if self.leader_in_reach(standing).is_none() {
            return Some(match self.cluster.pulse.refusal() {
                Some(refusal) => format!("a leader; another member says: {refusal}"),
                None if self.role(standing) == "none" => "the leader to add it".into(),
                None => "a leader; too few voters reach each other".into(),
            });
        }
        self.unfit().map(|why| format!("being fit to lead: {why}"))
    }

    fn guests(&self) -> Guests {
        let engine = self.images.engine();
        let (ready, preparing) = self.images.counts();
        Guests {
            backend: engine.backend().to_string(),
            memory: engine.allocation().to_string(),
            images_ready: ready as u64,
            images_preparing: preparing as u64,
            query_threads: self.queries.threads() as u64,
            queries_waiting: self.queries.waiting() as u64,
        }
    }
}

/// A realm on this node, at one moment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Status {
    /// The realm's id.
    pub realm: String,
    /// Its name.
    pub name: String,
    /// Public key of its founder.
    pub founder: String,
    /// Number of the semantics it runs.
    pub semantics: u32,
    /// Why it stopped on this node, if it did.
    pub stopped: Option<String>,
    /// What this node waits for before it can do all that it is there for, if it does.
    pub waits_for: Option<String>,
    /// This node's number among the members.
    pub member: u64,
    /// What it is in the log: `voter` or `learner`, or `none` before it is added.
    pub role: String,
    /// Whether this node leads.
    pub leads: bool,
    /// The member that leads, as far as this node knows.
    pub leader: Option<u64>,
    /// Members that vote.
    pub voters: u64,
    /// Members that follow without a vote.
    pub learners: u64,
    /// Current term.
    pub term: u64,
    /// Index of the last entry applied.
    pub index: u64,
    /// Index up to which the state is on disk.
    pub durable_index: u64,
    /// First entry kept in the log.
    pub first_kept: u64,
    /// The log's clock, in microseconds since the Unix epoch.
    pub timestamp_us: u64,
    /// Chain over entries at `index`.
    pub entry_chain: String,
    /// Chain over results at `index`.
    pub result_chain: String,
    /// Hash of the state at `durable_index`.
    pub state_hash: String,
    /// Envelopes between the door and their outcome.
    pub queued: u64,
    /// Instructions run since the node started.
    pub instructions: u64,
    /// Those that failed.
    pub failures: u64,
    /// Fuel used since the node started.
    pub fuel: u64,
    /// Flushes of the log.
    pub log_flushes: u64,
    /// Free space of the file system, in bytes.
    pub disk_free_bytes: Option<u64>,
    /// Whether writes are refused because too little of it is free.
    pub is_disk_low: bool,
    /// Guests on this node.
    pub guests: Guests,
    /// The actors of the realm; absent when this node cannot read its state any more.
    pub actors: Option<Actors>,
}

/// What there is of actors, and what waits to be done.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Actors {
    /// All of them, stopped ones as well.
    pub total: u64,
    /// Messages that wait.
    pub waiting: u64,
    /// The same, in bytes.
    pub waiting_bytes: u64,
    /// Actors that get one as soon as may be: those whose program is disabled or being upgraded do not.
    pub ready: u64,
    /// Dead letters that are kept.
    pub letters: u64,
    /// Timers.
    pub timers: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Programs whose actors are migrated or looked after.
    pub upgrading: u64,
}

impl From<v1::ActorQueue> for Actors {
    fn from(queue: v1::ActorQueue) -> Self {
        Self {
            total: queue.actors,
            waiting: queue.waiting,
            waiting_bytes: queue.waiting_bytes,
            ready: queue.ready,
            letters: queue.letters,
            timers: queue.timers,
            subscriptions: queue.subscriptions,
            upgrading: queue.upgrading,
        }
    }
}

/// How a node runs guests.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Guests {
    /// What runs their code: `native` or `portable`.
    pub backend: String,
    /// How their memory is reserved: `full`, `small` or `on-demand`.
    pub memory: String,
    /// Images that can be called at once.
    pub images_ready: u64,
    /// Images that are compiled, or wait for it.
    pub images_preparing: u64,
    /// Queries that can run at a time.
    pub query_threads: u64,
    /// Queries that wait.
    pub queries_waiting: u64,
}

impl Realm {
    /// What there is to see now. Some of it is read from the disk.
    ///
    /// # Errors
    /// `unavailable` when the log is closed.
    pub fn status(&self) -> Result<Status> {
        let core = &self.core;
        let (log, standing) = (self.log.metrics(), self.log.standing());
        let view = core.store.view();
        let applied = view.applied();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(Status {
            realm: core.id.to_string(),
            name: core.genesis.name.clone(),
            founder: data_encoding::HEXLOWER.encode(&core.genesis.founder),
            semantics: core.genesis.semantics,
            stopped: self.stopped(),
            waits_for: core.waits_for(&standing),
            member: core.cluster.me,
            role: core.role(&standing).to_owned(),
            leads: standing.leads,
            leader: core.leader_in_reach(&standing),
            voters: standing.members.voters.len() as u64,
            learners: standing.members.learners.len() as u64,
            term: standing.term,
            index: applied.index,
            durable_index: core.store.durable().index,
            first_kept: log.first_kept.unwrap_or(applied.index + 1),
            timestamp_us: applied.timestamp_us,
            entry_chain: applied.entry_chain.to_string(),
            result_chain: applied.result_chain.to_string(),
            state_hash: core.store.state_hash_durable().to_string(),
            queued: core.queue.waiting() as u64,
            instructions: count(&core.counters.instructions),
            failures: count(&core.counters.failures),
            fuel: count(&core.counters.fuel),
            log_flushes: log.flush.flushes,
            disk_free_bytes: core.disk_free_bytes(),
            is_disk_low: core.is_disk_low.load(Ordering::Relaxed),
            guests: core.guests(),
            actors: core.machine.actor_queue(&view).ok().map(Actors::from),
        })
    }

    /// Images of active programs that are not ready since the realm was opened.
    pub fn images_unprepared(&self) -> usize {
        self.core.images.unprepared()
    }
}
