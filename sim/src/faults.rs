//! What goes wrong, drawn from the seed. Each seed has a few kinds of faults, so that some runs see
//! one kind alone, and some all of them.

use crate::bug::Bug;
use crate::chance::Chance;
use crate::operator::Job;
use crate::power::{Crash, Fuse};
use crate::world::World;
use althing_protocol::v1::MemberRole;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A machine crashes.
    Crash,
    /// A machine crashes at a sync to come.
    CrashAtSync,
    /// All machines lose power at once.
    Outage,
    /// The machines are split in two groups.
    Partition,
    /// Messages from one machine to others are lost; the other way they arrive.
    OneWay,
    /// The leader hears nobody, or nobody hears it.
    IsolateLeader,
    /// Messages take long.
    Slow,
    /// Links fail for moments.
    Lossy,
    /// A clock jumps.
    Clock,
    /// A machine joins, a member's role changes, or a member goes.
    Members,
    /// A machine loses its disk, and comes back as a new member.
    LoseDisk,
    /// The leader hands over.
    Transfer,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Crash,
        Self::CrashAtSync,
        Self::Outage,
        Self::Partition,
        Self::OneWay,
        Self::IsolateLeader,
        Self::Slow,
        Self::Lossy,
        Self::Clock,
        Self::Members,
        Self::LoseDisk,
        Self::Transfer,
    ];
}

/// Machines are down for so long.
const DOWN_MS: (u64, u64) = (50, 2_500);
/// The network is as it is for so long.
const NETWORK_MS: (u64, u64) = (200, 3_000);
/// Between two faults.
const PAUSE_MS: (u64, u64) = (20, 900);
/// A clock jumps by up to so much, in microseconds: an hour.
const CLOCK_US: u64 = 3_600_000_000;
/// Fewer voters than these are never left on purpose.
const VOTERS_MIN: usize = 3;

/// What the driver is to do with machines and network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Crash {
        machine: usize,
        crash: Crash,
        down: Duration,
    },
    /// The disks of a machine that is down are gone.
    Wipe {
        machine: usize,
    },
    /// These pairs lose what goes from the first to the second; all others are whole.
    Block(BTreeSet<(usize, usize)>),
    /// The longest that a message takes.
    Latency(Duration),
    /// How often a message breaks its link, in percent.
    Loss(u64),
}

/// Draws faults and says what to do.
pub(crate) struct Faults {
    kinds: Vec<Kind>,
    chance: Chance,
    next: Duration,
    /// When the network is whole again.
    whole: Option<Duration>,
    /// A machine that lost its disk, until it is a member again.
    lost: Option<usize>,
}

/// Messages take up to so long when nothing is wrong.
pub(crate) const LATENCY: Duration = Duration::from_millis(20);

impl Faults {
    pub(crate) fn new(mut chance: Chance) -> Self {
        let often = chance.within(15, 90);
        let kinds = Kind::ALL.into_iter().filter(|_| chance.percent(often)).collect();
        Self { kinds, chance, next: Duration::ZERO, whole: None, lost: None }
    }

    pub(crate) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// What goes wrong, or is whole again, at `now`.
    pub(crate) fn due(&mut self, world: &Arc<World>, now: Duration) -> Vec<Act> {
        let mut acts = Vec::new();
        if self.whole.is_some_and(|at| at <= now) {
            self.whole = None;
            acts.extend([Act::Block(BTreeSet::new()), Act::Latency(LATENCY), Act::Loss(0)]);
        }
        if self.next <= now {
            self.next = now + self.span(PAUSE_MS);
            if let Some(kind) = self.chance.pick(&self.kinds).copied() {
                let done = self.fault(world, now, kind);
                if let Some(more) = done {
                    world.trace.note("fault", format_args!("{kind:?} {more:?}"));
                    acts.extend(more);
                }
            }
        }
        acts
    }

    fn span(&mut self, (low, high): (u64, u64)) -> Duration {
        Duration::from_millis(self.chance.within(low, high))
    }

    fn crash(&mut self) -> Crash {
        if self.chance.percent(40) { Crash::Kill } else { Crash::Power }
    }

    /// Machines that are up.
    fn up(world: &World) -> Vec<usize> {
        world.running().into_iter().map(|(machine, _)| machine).collect()
    }

    fn fault(&mut self, world: &Arc<World>, now: Duration, kind: Kind) -> Option<Vec<Act>> {
        match kind {
            Kind::Crash => {
                let machine = *self.chance.pick(&Self::up(world))?;
                let (crash, down) = (self.crash(), self.span(DOWN_MS));
                Some(vec![Act::Crash { machine, crash, down }])
            }
            Kind::CrashAtSync => {
                let machine = *self.chance.pick(&Self::up(world))?;
                let syncs = self.chance.below(12);
                let after = self.chance.percent(50);
                world.machines[machine].supply.arm(Fuse { syncs, after, crash: self.crash() });
                Some(Vec::new())
            }
            Kind::Outage => {
                let crash = self.crash();
                let down = |machine| Act::Crash { machine, crash, down: self.span(DOWN_MS) };
                Some(Self::up(world).into_iter().map(down).collect())
            }
            Kind::Partition | Kind::OneWay | Kind::IsolateLeader | Kind::Slow | Kind::Lossy => {
                self.whole = Some(now + self.span(NETWORK_MS));
                self.network(world, kind)
            }
            Kind::Clock => {
                let machine = self.chance.below(world.machines.len() as u64) as usize;
                let by = self.chance.below(2 * CLOCK_US) as i64 - CLOCK_US as i64;
                world.machines[machine].clock_us.store(by, SeqCst);
                Some(Vec::new())
            }
            Kind::Members => self.members(world),
            Kind::LoseDisk => self.lose_disk(world),
            Kind::Transfer => {
                let (_, leader) = world.leader()?;
                let voters: Vec<_> = leader.log.membership().voters.into_iter().collect();
                let to = *self.chance.pick(&voters).filter(|to| **to != leader.id)?;
                world.transfer(to);
                Some(Vec::new())
            }
        }
    }

    fn network(&mut self, world: &World, kind: Kind) -> Option<Vec<Act>> {
        let machines = 0..world.machines.len();
        let pairs = |from: BTreeSet<usize>, to: BTreeSet<usize>| -> BTreeSet<(usize, usize)> {
            from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))).collect()
        };
        match kind {
            Kind::Slow => {
                return Some(vec![Act::Latency(Duration::from_millis(
                    self.chance.within(50, 400),
                ))]);
            }
            Kind::Lossy => return Some(vec![Act::Loss(self.chance.within(1, 5))]),
            _ => {}
        }
        let (one, way) = if kind == Kind::IsolateLeader {
            (BTreeSet::from([world.leader()?.0]), self.chance.below(4))
        } else {
            let one = machines.clone().filter(|_| self.chance.percent(40)).collect();
            (one, if kind == Kind::OneWay { self.chance.below(2) } else { 2 })
        };
        let others: BTreeSet<_> = machines.filter(|machine| !one.contains(machine)).collect();
        let blocked = match way {
            0 => pairs(one, others),
            1 => pairs(others, one),
            _ => pairs(one.clone(), others.clone()).union(&pairs(others, one)).copied().collect(),
        };
        Some(vec![Act::Block(blocked)])
    }

    fn members(&mut self, world: &World) -> Option<Vec<Act>> {
        if !world.jobs.is_idle() {
            return None;
        }
        let (_, leader) = world.leader()?;
        let members = leader.log.membership();
        let spare: Vec<_> = (0..world.machines.len())
            .filter(|machine| world.machines[*machine].member().is_none())
            .collect();
        let voters: Vec<_> = members.voters.iter().copied().collect();
        let learners: Vec<_> = members.learners.iter().copied().collect();
        let may_shrink = voters.len() > VOTERS_MIN;
        let job = match self.chance.below(4) {
            0 => {
                let role =
                    if self.chance.percent(50) { MemberRole::Voter } else { MemberRole::Learner };
                Job::Join { machine: *self.chance.pick(&spare)?, role }
            }
            1 => Job::Role { node: *self.chance.pick(&learners)?, role: MemberRole::Voter },
            2 if may_shrink => {
                Job::Role { node: *self.chance.pick(&voters)?, role: MemberRole::Learner }
            }
            3 if may_shrink => Job::Remove { node: *self.chance.pick(&voters)? },
            _ => Job::Remove { node: *self.chance.pick(&learners)? },
        };
        world.jobs.add(job);
        Some(Vec::new())
    }

    /// Only while all that was lost before is made good: else a quorum would be gone, and with it
    /// what was acknowledged.
    fn lose_disk(&mut self, world: &World) -> Option<Vec<Act>> {
        if !world.jobs.is_idle() || self.lost.is_some_and(|lost| !is_voter(world, lost)) {
            return None;
        }
        let (_, leader) = world.leader()?;
        let members = leader.log.membership();
        if members.voters.len() < VOTERS_MIN || members.is_joint || !members.is_decided {
            return None;
        }
        let voters: Vec<_> = members.voters.into_iter().collect();
        let node = *self.chance.pick(&voters)?;
        let machine = world.book.machine(node)?;
        let down = self.span(DOWN_MS);
        if !world.has(Bug::ReusedId) {
            self.lost = Some(machine);
            world.machines[machine].set_member(None);
            world.jobs.add(Job::Remove { node });
            world.jobs.add(Job::Join { machine, role: MemberRole::Voter });
        }
        Some(vec![Act::Crash { machine, crash: Crash::Power, down }, Act::Wipe { machine }])
    }
}

fn is_voter(world: &World, machine: usize) -> bool {
    let member = world.machines[machine].member();
    let leader = world.leader();
    member
        .zip(leader)
        .is_some_and(|(node, (_, leader))| leader.log.membership().voters.contains(&node))
}
