//! Who runs the realm: invites machines, changes roles, removes members, with signed instructions.

use crate::client::Client;
use crate::keys;
use crate::replica::BIRTH;
use crate::runtime::Runtime;
use crate::world::World;
use althing_protocol::v1::MemberRole;
use althing_protocol::{JoinToken, sys, v1};
use openraft_rt::AsyncRuntime;
use prost::Message;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the operator looks.
const LOOK: Duration = Duration::from_millis(50);

/// What the operator is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// A machine joins.
    Join { machine: usize, role: MemberRole },
    /// A member's role changes.
    Role { node: u64, role: MemberRole },
    /// A membership ends. The machine may join again, as another member.
    Remove { node: u64 },
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    is_busy: bool,
}

/// Jobs, done one after another.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<Queue>);

impl Jobs {
    pub(crate) fn add(&self, job: Job) {
        self.lock().waiting.push_back(job);
    }

    /// Whether all are done, in the log's membership too.
    pub(crate) fn is_idle(&self) -> bool {
        let queue = self.lock();
        queue.waiting.is_empty() && !queue.is_busy
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        let job = queue.waiting.pop_front();
        queue.is_busy = job.is_some();
        job
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works until the driver says that no more is to begin and nothing is left to do.
pub(crate) async fn run(world: Arc<World>, mut client: Client) {
    let mut invited = 0;
    while !(world.is_ending.load(SeqCst) && world.jobs.is_idle()) {
        if let Some(job) = world.jobs.next() {
            world.trace.note("operator", format_args!("{job:?}"));
            perform(&world, &mut client, &mut invited, job).await;
            settle(&world, job).await;
        }
        Runtime::sleep(LOOK).await;
    }
}

async fn perform(world: &World, client: &mut Client, invited: &mut u64, job: Job) {
    match job {
        Job::Join { machine, role } => {
            *invited += 1;
            let token = JoinToken {
                realm: BIRTH.realm,
                secret: keys::invite(*invited),
                contacts: Vec::new(),
            };
            let invite = v1::MemberInvite {
                invite: token.invite().0.to_vec(),
                role: role.into(),
                expires_us: u64::MAX,
            };
            client.submit(vec![sys::member_invite(&invite)]).await;
            let node = keys::node(1 + *invited).public();
            let join = token.join(&node, "", Vec::new());
            let outcomes = client.submit(vec![sys::member_join(&join)]).await;
            match joined(&outcomes) {
                Some(id) => start(world, machine, id),
                None => world.ledger.fail(format!("{job:?} failed: {outcomes:?}")),
            }
        }
        Job::Role { node, role } => {
            let role = Some(role.into());
            let set = v1::MemberSet { id: node, role, ..v1::MemberSet::default() };
            client.submit(vec![sys::member_set(&set)]).await;
        }
        Job::Remove { node } => {
            client.submit(vec![sys::member_remove(node)]).await;
        }
    }
}

fn joined(outcomes: &[v1::Outcome]) -> Option<u64> {
    match outcomes.first()?.result.as_ref()? {
        v1::outcome::Result::Output(output) => Some(v1::Member::decode(output.as_slice()).ok()?.id),
        v1::outcome::Result::Failure(_) => None,
    }
}

fn start(world: &World, machine: usize, node: u64) {
    world.book.set(node, machine);
    world.machines[machine].set_member(Some(node));
    world.to_start.lock().unwrap_or_else(PoisonError::into_inner).insert(machine);
}

/// Waits until the log's membership is what the job wants.
async fn settle(world: &World, job: Job) {
    loop {
        if let Some((_, leader)) = world.leader() {
            let members = leader.log.membership();
            let has = |node: u64, role: MemberRole| match role {
                MemberRole::Voter => members.voters.contains(&node),
                _ => members.learners.contains(&node),
            };
            let done = match job {
                Job::Join { machine, role } => {
                    world.machines[machine].member().is_some_and(|node| has(node, role))
                }
                Job::Role { node, role } => has(node, role),
                Job::Remove { node } => {
                    !members.voters.contains(&node) && !members.learners.contains(&node)
                }
            };
            if done && members.is_decided && !members.is_joint {
                break;
            }
        }
        Runtime::sleep(LOOK).await;
    }
    if let Job::Remove { node } = job
        && let Some(machine) = world.book.machine(node)
        && world.machines[machine].member() == Some(node)
    {
        world.to_retire.lock().unwrap_or_else(PoisonError::into_inner).insert(machine);
    }
}
