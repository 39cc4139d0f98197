//! One run: a seed, simulated machines, and what became of them.

use crate::bug::Bug;
use crate::client::{self, Client, count};
use crate::faults::{Act, Faults, LATENCY};
use crate::keys;
use crate::ledger::Counts;
use crate::net::host;
use crate::node;
use crate::operator::{self, Job};
use crate::panics;
use crate::power::Crash;
use crate::runtime::Runtime;
use crate::trace::{Line, Trace};
use crate::world::{Settings, World};
use althing_protocol::v1::MemberRole;
use openraft_rt::AsyncRuntime;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Simulated time that one step takes.
const STEP: Duration = Duration::from_millis(10);
/// Machines, used or spare.
const MACHINES: usize = 6;
/// The first members are there within this.
const BEGIN_MAX: Duration = Duration::from_secs(20);
/// Faults happen for so long, in milliseconds.
const FAULTS_MS: (u64, u64) = (4_000, 12_000);
/// When nothing is wrong any more, all is done within this.
const HEAL_MAX: Duration = Duration::from_secs(30);

/// What to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A bug to switch on.
    pub bug: Option<Bug>,
    /// Whether to keep the trace.
    pub trace: bool,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What did not hold, if anything.
    pub breach: Option<String>,
    /// A hash of all that happened: two runs of a seed have the same.
    pub hash: String,
    /// What happened, if it was asked for.
    pub trace: Vec<Line>,
    /// What was done.
    pub counts: Counts,
    /// How long it took, in simulated time.
    pub simulated: Duration,
}

/// Runs one seed, on this thread.
pub fn run(seed: u64, options: Options) -> Report {
    panics::catch();
    let mut run = Run::new(seed, options);
    let breach = run.play().err();
    let Run { world, sim, now, .. } = run;
    // Nodes end before the report: what they say on the way is no part of it.
    let hash = world.trace.hash();
    let (trace, counts) = (world.trace.take_lines(), world.ledger.counts());
    for machine in &world.machines {
        machine.supply.cut(Crash::Kill);
        machine.set_running(None);
    }
    drop(sim);
    panics::release();
    Report { seed, breach, hash, trace, counts, simulated: now }
}

struct Run {
    world: Arc<World>,
    sim: turmoil::Sim<'static>,
    now: Duration,
    faults: Faults,
    faults_for: Duration,
    first_voters: usize,
    /// When machines that are down start again.
    down: BTreeMap<usize, Duration>,
    blocked: BTreeSet<(usize, usize)>,
}

impl Run {
    fn new(seed: u64, options: Options) -> Self {
        let mut chance = crate::chance::Chance::new(seed, 1);
        let settings = Settings {
            seed,
            bug: options.bug,
            compacts: chance.percent(70),
            clients: chance.within(2, 4),
        };
        let first_voters = if chance.percent(70) { 3 } else { 5 };
        let faults_for = Duration::from_millis(chance.within(FAULTS_MS.0, FAULTS_MS.1));
        let faults = Faults::new(crate::chance::Chance::new(seed, 2));
        let world = World::new(settings, MACHINES, Trace::keeping(options.trace));
        world.trace.note("seed", format_args!("{settings:?} {:?}", faults.kinds()));
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .epoch(std::time::SystemTime::UNIX_EPOCH)
            .tick_duration(STEP)
            .simulation_duration(Duration::from_secs(3_600))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(LATENCY)
            .repair_rate(0.3)
            .build();
        world.machines[0].set_member(Some(1));
        world.book.set(1, 0);
        for machine in 0..MACHINES {
            let world = world.clone();
            sim.host(host(machine), move || {
                let world = world.clone();
                async move {
                    let run = world.trace.now().as_nanos() as u64;
                    let seed = world.chance(100 + machine as u64).next() ^ run;
                    Runtime::scope(seed, node::run(world, machine)).await;
                    Ok(())
                }
            });
        }
        sim.client("clients", Runtime::scope(seed, clients(world.clone())));
        let (now, down, blocked) = (Duration::ZERO, BTreeMap::new(), BTreeSet::new());
        Self { world, sim, now, faults, faults_for, first_voters, down, blocked }
    }

    fn play(&mut self) -> Result<(), String> {
        for machine in 1..self.first_voters {
            self.world.jobs.add(Job::Join { machine, role: MemberRole::Voter });
        }
        let world = self.world.clone();
        self.until(BEGIN_MAX, "the first members have not joined", || world.jobs.is_idle())?;
        self.world.trace.note("driver", "faults begin");
        let end = self.now + self.faults_for;
        while self.now < end {
            for act in self.faults.due(&self.world, self.now) {
                self.act(act);
            }
            self.step()?;
        }
        self.heal();
        let world = self.world.clone();
        let ended = move || world.jobs.is_idle() && has_converged(&world);
        let waiting = "nothing is wrong any more, but not all that was asked for is done";
        self.until_finished(HEAL_MAX, waiting, ended)?;
        self.compare()
    }

    fn until(
        &mut self,
        within: Duration,
        otherwise: &str,
        done: impl Fn() -> bool,
    ) -> Result<(), String> {
        let end = self.now + within;
        while !done() {
            if self.now > end {
                let state = self.world.summary();
                return Err(format!("liveness: {otherwise} after {} s: {state}", within.as_secs()));
            }
            self.step()?;
        }
        Ok(())
    }

    /// As `until`, and all clients have ended.
    fn until_finished(
        &mut self,
        within: Duration,
        otherwise: &str,
        done: impl Fn() -> bool,
    ) -> Result<(), String> {
        let end = self.now + within;
        loop {
            let finished = self.step()?;
            if finished && done() {
                return Ok(());
            }
            if self.now > end {
                let state = self.world.summary();
                let clients = if finished { "have ended" } else { "wait" };
                return Err(format!(
                    "liveness: {otherwise} after {} s: clients {clients}; {state}",
                    within.as_secs()
                ));
            }
        }
    }

    /// One step of simulated time, and all that must hold behind it.
    fn step(&mut self) -> Result<bool, String> {
        self.world.set_time(self.now);
        self.restart();
        let stepped = self.sim.step();
        self.now += STEP;
        if let Some(panic) = panics::take() {
            self.world.ledger.fail(format!("panic: {panic}"));
        }
        self.observe();
        match self.world.ledger.breach() {
            Some(breach) => Err(breach),
            None => stepped.map_err(|error| error.to_string()),
        }
    }

    fn observe(&mut self) {
        for (machine, node) in self.world.running() {
            if let Some(fault) = node.log.fault() {
                self.world.ledger.fail(format!("node {} stopped: {fault}", node.id));
            }
            let seen = node.log.standing();
            if seen.leads {
                self.world.ledger.leads(seen.term, node.id, machine, node.power.run());
            }
        }
    }

    /// Takes down what lost its power by itself, and starts what is due.
    fn restart(&mut self) {
        for machine in 0..MACHINES {
            let off = self.world.machines[machine].supply.off();
            if let Some(crash) = off
                && !self.down.contains_key(&machine)
            {
                self.crash(machine, crash, Duration::from_millis(300));
            }
        }
        let to_retire = mem::take(&mut *lock(&self.world.to_retire));
        for machine in to_retire {
            self.crash(machine, Crash::Kill, Duration::ZERO);
            self.wipe(machine);
            self.world.machines[machine].set_member(None);
        }
        let mut due: BTreeSet<_> = mem::take(&mut *lock(&self.world.to_start));
        due.extend(self.down.iter().filter(|(_, at)| **at <= self.now).map(|(machine, _)| machine));
        for machine in due {
            self.down.remove(&machine);
            self.sim.bounce(host(machine));
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Crash { machine, crash, down } => self.crash(machine, crash, down),
            Act::Wipe { machine } => self.wipe(machine),
            Act::Block(blocked) => {
                self.blocked = blocked;
                self.connect();
            }
            Act::Latency(latency) => self.sim.set_max_message_latency(latency),
            Act::Loss(percent) => self.sim.set_fail_rate(percent as f64 / 100.0),
        }
    }

    /// Makes the links what they are to be.
    fn connect(&mut self) {
        for from in 0..MACHINES {
            for to in from + 1..MACHINES {
                self.sim.repair(host(from), host(to));
            }
            self.sim.repair(host(from), "clients");
        }
        for (from, to) in &self.blocked {
            self.sim.partition_oneway(host(*from), host(*to));
        }
    }

    fn crash(&mut self, machine: usize, crash: Crash, down: Duration) {
        let this = &self.world.machines[machine];
        this.supply.cut(crash);
        this.set_running(None);
        if crash == Crash::Power {
            // Nobody is told: connections do not end, they fall silent.
            for other in (0..MACHINES).filter(|other| *other != machine) {
                self.sim.partition(host(machine), host(other));
            }
            self.sim.partition(host(machine), "clients");
        }
        self.sim.crash(host(machine));
        if crash == Crash::Power {
            self.connect();
        }
        let mut chance = self.world.chance(0x8000_0000 + self.now.as_millis() as u64);
        let this = &self.world.machines[machine];
        this.log_disk.crash(&mut chance);
        this.state_disk.crash(crash, &mut chance);
        self.down.insert(machine, self.now + down);
        self.world.ledger.crashed();
        self.world.trace.note(host(machine), format_args!("crashes: {crash:?}"));
    }

    fn wipe(&mut self, machine: usize) {
        self.world.machines[machine].log_disk.wipe(self.world.settings.bug);
        self.world.machines[machine].state_disk.replace(&[]);
        self.world.trace.note(host(machine), "lost its disk");
    }

    fn heal(&mut self) {
        self.world.trace.note("driver", "nothing is wrong any more");
        self.act(Act::Latency(LATENCY));
        self.act(Act::Loss(0));
        self.act(Act::Block(BTreeSet::new()));
        for at in self.down.values_mut() {
            *at = self.now;
        }
        self.world.is_ending.store(true, SeqCst);
    }

    /// In the end all nodes hold the same, and it is what clients were told.
    fn compare(&mut self) -> Result<(), String> {
        for (_, node) in self.world.running() {
            let (index, hash) = node.replica.state_hash().map_err(|halt| halt.0)?;
            self.world.ledger.state(node.id, index, hash);
            let view = node.replica.store.view();
            let stored = node.replica.machine.kv_get(&view, client::COUNTER.as_bytes());
            let stored = stored.map_err(|halt| halt.to_string())?.unwrap_or_default();
            let counted = count(&stored).map_or(0, |(_, counted)| counted);
            let increments = self.world.increments.load(SeqCst);
            if counted != increments {
                self.world.ledger.fail(format!(
                    "exactly once: node {} counted {counted}, clients {increments}",
                    node.id
                ));
            }
        }
        self.world.ledger.breach().map_or(Ok(()), Err)
    }
}

/// All members run, and have applied the same, with all that clients know.
fn has_converged(world: &World) -> bool {
    let Some((_, leader)) = world.leader() else { return false };
    let members = leader.log.membership();
    let running = world.running();
    let applied = |id: &u64| {
        let node = running.iter().find(|(_, node)| node.id == *id)?;
        Some(node.1.replica.store.view().applied().index)
    };
    let last = leader.log.metrics().last;
    let all = members.voters.iter().chain(&members.learners);
    last >= Some(world.ledger.acknowledged_to()) && all.into_iter().all(|id| applied(id) == last)
}

/// All clients, and the operator, as one host.
async fn clients(world: Arc<World>) -> turmoil::Result {
    let mut tasks = Vec::new();
    let founder = Client::open(world.clone(), keys::founder(), world.chance(10)).await;
    tasks.push(Runtime::spawn(operator::run(world.clone(), founder)));
    for number in 0..world.settings.clients {
        let (world, chance) = (world.clone(), world.chance(11 + number));
        tasks.push(Runtime::spawn(async move {
            Client::open(world, keys::client(number), chance).await.run().await;
        }));
    }
    for task in tasks {
        task.await?;
    }
    Ok(())
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
