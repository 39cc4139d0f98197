//! One run of a node: the real log, and what the realm does around it.

use crate::bug::Bug;
use crate::net::{Connection, PORT, Purpose, Wire, host};
use crate::power::Power;
use crate::replica::{Replica, halt};
use crate::request::{Answer, Request};
use crate::runtime::Runtime;
use crate::world::World;
use althing_log::{Begin, Halt, Log, LogConfig, Refusal};
use althing_machine::Admission;
use althing_protocol::{Batch, Error, v1};
use bytes::Bytes;
use futures::StreamExt;
use openraft_rt::AsyncRuntime;
use prost::Message;
use rand::Rng;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use turmoil::net::{TcpListener, TcpStream};

const HEARTBEAT_MS: u64 = 100;
const ELECTION_MS: u64 = 400;
/// A proposal that is not decided within this is given up; it may take effect later.
const DECIDE_WAIT_MS: u64 = 3_000;
/// How often the leader compares the log's members with those that are wanted.
const RECONCILE: Duration = Duration::from_millis(150);
/// How often a node purges its log.
const COMPACT: Duration = Duration::from_millis(700);
/// How often a read looks whether its entry is applied. The client gives up in the end.
const APPLIED: Duration = Duration::from_millis(5);
/// A leader that does not say within this up to where a read must see is asked no longer.
const INDEX: Duration = Duration::from_millis(500);
/// Entries that it keeps.
const ENTRIES_KEEP: u64 = 8;
/// A learner that is at most so far behind is caught up.
const BEHIND_MAX: u64 = 16;

/// A node that is up.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) log: Log<Replica, Runtime>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) power: Power,
    pub(crate) id: u64,
}

impl Running {
    /// Waits until the state here has all that was acknowledged before: the leader says up to where
    /// that is.
    async fn reach(&self, world: &World) -> Result<(), Refusal> {
        let index = match self.log.read_index().await {
            Err(Refusal::Elsewhere { leader: Some(leader) }) if leader != self.id => {
                let asked = Runtime::timeout(INDEX, self.index_of(world, leader)).await;
                let asked = asked.map_err(|_| Error::unavailable("the leader says nothing"))?;
                asked.map_err(|error| Error::unavailable(error.to_string()))?
            }
            index => index?,
        };
        while self.replica.store.view().applied().index < index {
            Runtime::sleep(APPLIED).await;
        }
        Ok(())
    }

    async fn index_of(&self, world: &World, leader: u64) -> io::Result<u64> {
        let unknown = || io::Error::other(format!("node {leader} has no address"));
        let machine = world.book.machine(leader).ok_or_else(unknown)?;
        let power = Some(self.power.clone());
        let names = (self.id, leader);
        let mut connection = Connection::open(machine, Purpose::Index, names, power).await?;
        let answer = connection.ask(Bytes::new()).await?;
        <[u8; 8]>::try_from(&answer[..]).map(u64::from_le_bytes).map_err(io::Error::other)
    }
}

/// The life of a node, until the machine goes down. A machine without a member does nothing.
pub(crate) async fn run(world: Arc<World>, machine: usize) {
    let power = world.machines[machine].supply.start();
    let Some(id) = world.machines[machine].member() else { return };
    world.trace.note(host(machine), format_args!("starts as node {id}"));
    let started = start(&world, machine, id, &power).await;
    let result = match started {
        Ok(running) => serve(&world, machine, running).await,
        Err(halt) => Err(io::Error::other(halt.0)),
    };
    // Only without power may a node fail.
    if let Err(error) = result
        && power.is_on()
    {
        world.ledger.fail(format!("node {id} does not run: {error}"));
    }
    std::future::pending().await
}

async fn start(world: &World, machine: usize, id: u64, power: &Power) -> Result<Running, Halt> {
    let this = &world.machines[machine];
    let bug = world.settings.bug;
    let replica = Replica::open(
        id,
        &this.state_disk,
        power.clone(),
        world.ledger.clone(),
        world.verified.clone(),
        bug,
    )?;
    let replica = Arc::new(replica);
    let chance = world.chance(0x1_0000 + (machine as u64) * 0x1_000 + power.run());
    let storage = this.log_disk.open(id, power, &world.ledger, chance);
    let config = LogConfig {
        heartbeat_ms: HEARTBEAT_MS,
        election_ms: ELECTION_MS,
        decide_wait_ms: DECIDE_WAIT_MS,
        entries_keep: ENTRIES_KEEP,
        leader_wait_ms: u64::from(u32::MAX),
        ..LogConfig::new("simulated", id)
    };
    let book = world.book.clone();
    let (power_here, trace) = (power.clone(), world.trace.clone());
    let wire = Wire { from: id, book, power: power_here, replica: replica.clone(), trace };
    let founds = id == 1 && !world.is_founded.load(SeqCst);
    let begin = if founds { Begin::Found } else { Begin::Join };
    let log = Log::start_on(config, replica.clone(), wire, storage, begin).await.map_err(halt)?;
    world.is_founded.store(true, SeqCst);
    Ok(Running { log, replica, power: power.clone(), id })
}

async fn serve(world: &Arc<World>, machine: usize, node: Running) -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    world.machines[machine].set_running(Some(node.clone()));
    Runtime::spawn(reconcile(world.clone(), node.clone()));
    if world.settings.compacts {
        Runtime::spawn(compact(node.clone()));
    }
    loop {
        let (stream, _) = listener.accept().await?;
        let (world, node) = (world.clone(), node.clone());
        // A connection that breaks is the other side's to notice.
        Runtime::spawn(async move { drop(answer(&world, machine, node, stream).await) });
    }
}

async fn answer(world: &World, machine: usize, node: Running, stream: TcpStream) -> io::Result<()> {
    let mut connection = Connection::new(stream, Some(node.power.clone()));
    let (purpose, from, to) = connection.greeted().await?;
    if purpose != Purpose::Client && to != node.id {
        // The machine has another member now. In a realm, keys tell.
        return Err(io::Error::other(format!("node {to} does not live here")));
    }
    match purpose {
        Purpose::Call => {
            let message = connection.receive().await?;
            let answer = node.log.handle_call(from, message).await.map_err(io::Error::other)?;
            connection.send(answer).await
        }
        Purpose::Index => {
            connection.receive().await?;
            let index = node.log.read_index().await.map_err(io::Error::other)?;
            connection.send(Bytes::copy_from_slice(&index.to_le_bytes())).await
        }
        Purpose::Exchange => {
            let (mut outgoing, requests) = connection.split();
            let requests = requests.scan((), |(), frame| std::future::ready(frame.ok())).boxed();
            let mut answers = node.log.handle_exchange(from, requests);
            while let Some(answer) = answers.next().await {
                outgoing.send(answer).await?;
            }
            Ok(())
        }
        Purpose::Snapshot => {
            let offer = connection.receive().await?;
            let mut bytes = Vec::new();
            loop {
                let piece = connection.receive().await?;
                if piece.is_empty() {
                    break;
                }
                bytes.extend_from_slice(&piece);
            }
            let file = node.replica.receive(bytes)?;
            let at = file.position.index;
            let answer =
                node.log.handle_snapshot(from, offer, file).await.map_err(io::Error::other)?;
            world.trace.note(host(machine), format!("has the snapshot of entry {at}"));
            connection.send(answer).await
        }
        Purpose::Client => {
            let request = Request::decode(connection.receive().await?)?;
            let answer = match serve_client(world, machine, &node, request).await {
                Ok(answer) => answer,
                Err(refusal) => refused(refusal),
            };
            let answer = Answer { node: node.id, ..answer };
            connection.send(answer.encode_to_vec().into()).await
        }
    }
}

fn refused(refusal: Refusal) -> Answer {
    let leader = match &refusal {
        Refusal::Elsewhere { leader } => *leader,
        Refusal::Failed(_) => None,
    };
    Answer { error: Some(refusal.to_string()), leader, ..Answer::default() }
}

async fn serve_client(
    world: &World,
    machine: usize,
    node: &Running,
    request: Request,
) -> Result<Answer, Refusal> {
    if let Some(key) = request.read {
        if !world.has(Bug::StaleRead) {
            node.reach(world).await?;
        }
        let view = node.replica.store.view();
        let stored = node.replica.machine.kv_get(&view, &key).map_err(internal)?;
        return Ok(Answer {
            stored: Some(stored.unwrap_or_default().to_vec()),
            ..Answer::default()
        });
    }
    let envelope = request.submit.unwrap_or_default();
    world.verified.check(&envelope)?;
    let batch = Batch::decode(&envelope)?;
    let outcomes = match admit(world, machine, node, &batch)? {
        Admission::Decided(outcomes) => outcomes,
        Admission::Propose => {
            let bytes = entry(world.clock_us(machine), envelope);
            node.log.propose(bytes).await?.1.outcomes
        }
    };
    let result = Some(v1::Result { outcomes, writes: Vec::new() });
    Ok(Answer { result, ..Answer::default() })
}

fn admit(
    world: &World,
    machine: usize,
    node: &Running,
    batch: &Batch,
) -> althing_protocol::Result<Admission> {
    let view = node.replica.store.view();
    let now_us = world.clock_us(machine).max(view.applied().timestamp_us);
    node.replica.machine.admit(&view, batch, now_us).map_err(internal)?
}

fn entry(timestamp_us: u64, envelope: v1::Envelope) -> Bytes {
    let mut seed = vec![0; 16];
    Runtime::thread_rng().fill_bytes(&mut seed);
    let kind = Some(v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope) }));
    v1::Entry { timestamp_us, seed, kind }.encode_to_vec().into()
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal(error.to_string())
}

/// Brings the log's members to those that the state wants, while this node leads; hands over when
/// it is asked to.
async fn reconcile(world: Arc<World>, node: Running) {
    loop {
        Runtime::sleep(RECONCILE).await;
        if !node.power.is_on() || !node.log.standing().leads {
            continue;
        }
        // Whatever fails is tried again, or not: somebody leads in any case.
        if let Some(to) = world.take_transfer() {
            drop(node.log.transfer_leader(to).await);
        }
        let Some((voters, learners)) = next_members(&node) else { continue };
        let _ = node.log.change_members(voters, learners).await;
    }
}

type Ids = BTreeSet<u64>;

/// The next step: new members learn first, those that have caught up vote, the others go.
fn next_members(node: &Running) -> Option<(Ids, Ids)> {
    let members = node.replica.machine.members(&node.replica.store.view()).ok()?;
    let current: Vec<_> = members.iter().filter(|member| member.is_current()).collect();
    let wanted: Ids = current.iter().map(|member| member.id).collect();
    let wanted_voters: Ids =
        current.iter().filter(|member| member.is_voter()).map(|member| member.id).collect();
    let now = node.log.membership();
    let all: Ids = now.voters.union(&now.learners).copied().collect();
    let progress = node.log.progress();
    let last = node.log.metrics().last?;
    let caught_up = |id: &u64| {
        let matched = progress.get(id).and_then(|progress| progress.matched);
        *id == node.id || matched.is_some_and(|matched| matched + BEHIND_MAX >= last)
    };
    let voters = if wanted.is_subset(&all) {
        let may = |id: &u64| now.voters.contains(id) || caught_up(id);
        wanted_voters.into_iter().filter(may).collect()
    } else {
        now.voters.clone()
    };
    let everyone: Ids =
        if wanted.is_subset(&all) { wanted } else { all.union(&wanted).copied().collect() };
    let learners: Ids = everyone.difference(&voters).copied().collect();
    // A leader that went away in the middle of a change has left two sets of voters.
    let is_there = !now.is_joint && voters == now.voters && learners == now.learners;
    (!is_there && !voters.is_empty()).then_some((voters, learners))
}

/// Purges what the state has on disk.
async fn compact(node: Running) {
    loop {
        Runtime::sleep(COMPACT).await;
        if node.power.is_on() {
            // A log that is busy with something else is compacted the next time.
            let _ = node.log.compact(node.replica.store.durable().index).await;
        }
    }
}
