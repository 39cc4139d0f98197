//! What nodes, clients and the driver of one run share.

use crate::bug::Bug;
use crate::chance::Chance;
use crate::ledger::Ledger;
use crate::log_disk::LogDisk;
use crate::net::AddressBook;
use crate::node::Running;
use crate::operator::Jobs;
use crate::power::Supply;
use crate::replica::Verified;
use crate::state_disk::StateDisk;
use crate::trace::Trace;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When all clocks are right: microseconds since the Unix epoch at the start.
const EPOCH_US: u64 = 1_700_000_000_000_000;

/// A simulated machine: what survives the runs of the node on it.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) supply: Supply,
    pub(crate) log_disk: LogDisk,
    pub(crate) state_disk: StateDisk,
    /// What its clock is wrong by, in microseconds.
    pub(crate) clock_us: AtomicI64,
    /// The Raft id of the node on it; none while it is spare.
    member: Mutex<Option<u64>>,
    running: Mutex<Option<Running>>,
}

impl Machine {
    fn new(bug: Option<Bug>) -> Self {
        Self { log_disk: LogDisk::new(bug), ..Self::default() }
    }

    pub(crate) fn member(&self) -> Option<u64> {
        *self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_member(&self, member: Option<u64>) {
        *self.member.lock().unwrap_or_else(PoisonError::into_inner) = member;
    }

    /// The node that runs on it, once it is up.
    pub(crate) fn running(&self) -> Option<Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_running(&self, running: Option<Running>) {
        // What a run held goes outside of the lock.
        let _old = std::mem::replace(
            &mut *self.running.lock().unwrap_or_else(PoisonError::into_inner),
            running,
        );
    }
}

/// What is the same for all nodes of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    /// Whether nodes purge their logs, so that those who lag need snapshots.
    pub(crate) compacts: bool,
    /// How many clients there are.
    pub(crate) clients: u64,
}

pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) machines: Vec<Machine>,
    pub(crate) book: AddressBook,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) verified: Verified,
    pub(crate) jobs: Jobs,
    /// Machines that the driver is to start.
    pub(crate) to_start: Mutex<BTreeSet<usize>>,
    /// Machines whose node is no member any more.
    pub(crate) to_retire: Mutex<BTreeSet<usize>>,
    /// The first node has begun the realm's log.
    pub(crate) is_founded: AtomicBool,
    /// Clients begin nothing more.
    pub(crate) is_ending: AtomicBool,
    transfer_to: Mutex<Option<u64>>,
    /// Increments of the counter that were acknowledged.
    pub(crate) increments: AtomicU64,
}

impl World {
    pub(crate) fn new(settings: Settings, machines: usize, trace: Trace) -> Arc<Self> {
        Arc::new(Self {
            settings,
            machines: (0..machines).map(|_| Machine::new(settings.bug)).collect(),
            book: AddressBook::default(),
            ledger: Ledger::new(trace.clone()),
            trace,
            verified: Verified::default(),
            jobs: Jobs::default(),
            to_start: Mutex::default(),
            to_retire: Mutex::default(),
            is_founded: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            transfer_to: Mutex::default(),
            increments: AtomicU64::new(0),
        })
    }

    /// A sequence of numbers for one purpose.
    pub(crate) fn chance(&self, purpose: u64) -> Chance {
        Chance::new(self.settings.seed, purpose)
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.settings.bug == Some(bug)
    }

    /// What the clock of a machine shows.
    pub(crate) fn clock_us(&self, machine: usize) -> u64 {
        let now = EPOCH_US + self.trace.now().as_micros() as u64;
        now.saturating_add_signed(self.machines[machine].clock_us.load(SeqCst))
    }

    pub(crate) fn set_time(&self, now: Duration) {
        self.trace.set_time(now);
    }

    /// Nodes that run, with the machine they are on. Those without power do not.
    pub(crate) fn running(&self) -> Vec<(usize, Running)> {
        let on = |(_, machine): &(usize, &Machine)| machine.supply.off().is_none();
        let machines = self.machines.iter().enumerate().filter(on);
        machines.filter_map(|(n, machine)| Some((n, machine.running()?))).collect()
    }

    /// Asks the leader to hand over to a voter.
    pub(crate) fn transfer(&self, to: u64) {
        *self.transfer_to.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
    }

    /// Who the leader is to hand over to, if it was asked.
    pub(crate) fn take_transfer(&self) -> Option<u64> {
        self.transfer_to.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What to say of a run that does not come to its end.
    pub(crate) fn summary(&self) -> String {
        let of = |(machine, node): (usize, Running)| {
            let seen = node.log.metrics();
            format!(
                "m{machine} is node {}: term {}, leads {}, last {:?}, applied {:?}, {:?}",
                node.id,
                seen.term,
                seen.leads,
                seen.last,
                seen.applied,
                node.log.membership()
            )
        };
        let nodes: Vec<_> = self.running().into_iter().map(of).collect();
        format!(
            "jobs {:?}; known to {}; {}",
            self.jobs,
            self.ledger.acknowledged_to(),
            nodes.join("; ")
        )
    }

    /// The node that leads in the highest term.
    pub(crate) fn leader(&self) -> Option<(usize, Running)> {
        let running = self.running().into_iter().map(|(n, node)| (node.log.standing(), n, node));
        let leaders = running.filter(|(standing, ..)| standing.leads);
        leaders.max_by_key(|(standing, ..)| standing.term).map(|(_, n, node)| (n, node))
    }
}
