//! The log as one of several nodes: who they are, who leads, how far each is.

use crate::Log;
use crate::NODE_MAX;
use crate::config::LogConfig;
use crate::fault::Fault;
use crate::log::{LEASE_RETRIES, LEASE_RETRY, no_lease, refusal};
use crate::refusal::Refusal;
use crate::replica::Replica;
use crate::types::{StoredMembership, Types};
use crate::wire::Ask;
use althing_protocol::{Error, Result};
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::impls::BasicNode;
use openraft::metrics::RaftServerMetrics;
use openraft::{AsyncRuntime, ChangeMembers, Instant, ReadPolicy, ServerState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long one step of a change of members may take to be decided.
const CHANGE_WAIT: Duration = Duration::from_secs(10);
/// A node that is further behind does not get the leadership: nobody writes while it catches up.
const TRANSFER_LAG_MAX: u64 = 4_096;

type Config<R, T> = Types<<R as Replica>::Response, T>;

/// Who the nodes of a realm are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Those who decide. While they change, those of before and after.
    pub voters: BTreeSet<u64>,
    /// Those who follow.
    pub learners: BTreeSet<u64>,
    /// Whether the voters are being changed.
    pub is_joint: bool,
    /// Whether a quorum has it.
    pub is_decided: bool,
}

/// Who leads, and whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Current term.
    pub term: u64,
    /// The leader, when one is known.
    pub leader: Option<u64>,
    /// Whether this node leads.
    pub leads: bool,
    /// The nodes.
    pub members: Members,
}

/// How far another node is, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last entry that is durable there for certain.
    pub matched: Option<u64>,
    /// Since it last answered, in milliseconds.
    pub heard_ms_ago: Option<u64>,
}

/// Tells when the standing changes.
pub struct Watch<R: Replica, T: AsyncRuntime> {
    seen: Standing,
    fault: Fault,
    metrics: WatchReceiverOf<Config<R, T>, RaftServerMetrics<Config<R, T>>>,
}

impl<R: Replica, T: AsyncRuntime> Watch<R, T> {
    /// As it is now.
    pub fn now(&mut self) -> Standing {
        self.seen = standing(&self.metrics.borrow_watched(), &self.fault);
        self.seen.clone()
    }

    /// Waits until it is another than the last one told; none when the log has stopped.
    pub async fn changed(&mut self) -> Option<Standing> {
        loop {
            let before = self.seen.clone();
            if self.now() != before {
                return Some(self.seen.clone());
            }
            self.metrics.changed().await.ok()?;
        }
    }
}

impl<R: Replica, T: AsyncRuntime> Log<R, T> {
    /// Who the nodes are, by the last entry that says so, decided or not.
    pub fn membership(&self) -> Members {
        self.standing().members
    }

    /// Who leads, and whom. Once the log has stopped, nobody: what was known last grows old.
    pub fn standing(&self) -> Standing {
        standing(&self.engine.server_metrics().borrow_watched(), &self.fault)
    }

    /// Tells changes from now on.
    pub fn watch(&self) -> Watch<R, T> {
        let metrics = self.engine.server_metrics();
        let seen = standing(&metrics.borrow_watched(), &self.fault);
        Watch { seen, fault: self.fault.clone(), metrics }
    }

    /// Makes these the members, of whatever is the case: who is new is added, then the voters are
    /// exchanged, then who is left over goes. On the leader. Doing it again does nothing. It does
    /// not wait for anybody to catch up: make somebody a voter who is close behind.
    pub async fn change_members(
        &self,
        voters: BTreeSet<u64>,
        learners: BTreeSet<u64>,
    ) -> Result<(), Refusal> {
        let wanted: BTreeSet<u64> = voters.union(&learners).copied().collect();
        if voters.is_empty() || wanted.last().is_some_and(|&id| id > NODE_MAX) {
            return Err(Error::invalid(format!(
                "the voters {voters:?} and learners {learners:?} cannot be members: there is at least one voter, and raft ids are at most {NODE_MAX}"
            ))
            .into());
        }
        self.check_leads()?;
        let known = |members: &Members| members.voters.union(&members.learners).copied().collect();
        let members = self.membership();
        let known_now: BTreeSet<u64> = known(&members);
        let missing = wanted.difference(&known_now);
        let missing: BTreeMap<_, _> = missing.map(|id| (*id, BasicNode::default())).collect();
        if !missing.is_empty() {
            self.change(ChangeMembers::AddNodes(missing)).await?;
        }
        if members.is_joint || members.voters != voters {
            self.change(ChangeMembers::ReplaceAllVoters(voters)).await?;
        }
        let known_now: BTreeSet<u64> = known(&self.membership());
        let spare: BTreeSet<u64> = known_now.difference(&wanted).copied().collect();
        if !spare.is_empty() {
            self.change(ChangeMembers::RemoveNodes(spare)).await?;
        }
        Ok(())
    }

    async fn change(&self, change: ChangeMembers<u64, BasicNode>) -> Result<(), Refusal> {
        let changing = async {
            for _ in 0..LEASE_RETRIES {
                match self.engine.change_membership(change.clone(), true).await {
                    Ok(_) => return Ok(()),
                    Err(RaftError::Fatal(fatal)) => return Err(self.fault.error(fatal).into()),
                    Err(RaftError::APIError(error)) => match refusal(error) {
                        Some(refusal) => return Err(refusal),
                        None => T::sleep(LEASE_RETRY).await,
                    },
                }
            }
            Err(no_lease().into())
        };
        T::timeout(CHANGE_WAIT, changing).await.unwrap_or_else(|_| {
            Err(Error::unavailable(format!(
                "the change of members was not decided within {} s: no quorum answers; ask again",
                CHANGE_WAIT.as_secs()
            ))
            .into())
        })
    }

    /// Hands the leadership to another voter, and waits until it leads. It is refused while that
    /// one cannot take over at once.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), Refusal> {
        self.check_leads()?;
        if to == self.config.node {
            return Ok(());
        }
        self.check_can_lead(to).await?;
        self.engine.trigger().transfer_leader(to).await.map_err(|fatal| self.fault.error(fatal))?;
        let mut watch = self.watch();
        let done = async {
            let mut now = Some(watch.now());
            while let Some(Standing { leader, leads, .. }) = now {
                if !leads && leader.is_some_and(|leader| leader != self.config.node) {
                    return leader;
                }
                now = watch.changed().await;
            }
            None
        };
        // Should the message be lost, an election follows: twice its longest.
        let wait = self.config.lease() * 4;
        match T::timeout(wait, done).await {
            Ok(Some(leader)) if leader == to => Ok(()),
            Ok(Some(leader)) => Err(Error::conflict(format!(
                "node {to} was to lead, but node {leader} was elected; ask that one"
            ))
            .into()),
            _ => Err(Error::unavailable(format!(
                "node {to} was to lead, and nothing was heard of it; see who leads, ask again"
            ))
            .into()),
        }
    }

    async fn check_can_lead(&self, to: u64) -> Result<()> {
        let refuse = |why: String| {
            Err(Error::conflict(format!(
                "node {to} cannot lead now: {why}; choose another, or wait"
            )))
        };
        let members = self.membership();
        if !members.voters.contains(&to) {
            return refuse(format!("the voters are {:?}", members.voters));
        }
        if !members.is_decided || members.is_joint {
            return refuse("the members are being changed".into());
        }
        let progress = self.progress().remove(&to);
        let heard = progress.and_then(|progress| progress.heard_ms_ago);
        if heard.is_none_or(|ago_ms| ago_ms > self.config.election_ms) {
            return refuse("it does not answer".into());
        }
        let last = self.last()?.unwrap_or(0);
        let behind = last.saturating_sub(progress.and_then(|p| p.matched).unwrap_or(0));
        if behind > TRANSFER_LAG_MAX {
            return refuse(format!("it is {behind} entries behind"));
        }
        // A leader that hands over to one who does not want it would lead no more, and nobody else.
        let wait = Duration::from_millis(self.config.election_ms);
        match (self.call)(to, Ask::<R::Response, T>::Willing.encode(), wait).await {
            Ok(_) => Ok(()),
            Err(error) => refuse(error.to_string()),
        }
    }

    /// Whether this node stands for election when it hears of no leader, and takes over when it is
    /// asked to. It does from the start. A leader goes on leading: hand the leadership over.
    pub fn set_campaigns(&self, on: bool) {
        self.campaigns.store(on, Ordering::Relaxed);
        self.engine.runtime_config().elect(on);
    }

    /// The index up to which a state must have come to show everything that was acknowledged
    /// before this call. On the leader: it waits until a quorum says, after the question was asked,
    /// that it still leads, and not for the state here. No clock is trusted.
    pub async fn read_index(&self) -> Result<u64, Refusal> {
        let read = self.engine.get_read_linearizer(ReadPolicy::ReadIndex).await;
        read.map(|read| read.read_log_id().index()).map_err(|error| self.read_refusal(error))
    }

    /// The other members, as the leader sees them; empty elsewhere.
    pub fn progress(&self) -> BTreeMap<u64, Progress> {
        let seen = self.raft_metrics();
        let (Some(replication), Some(heartbeat)) = (seen.replication, seen.heartbeat) else {
            return BTreeMap::new();
        };
        let heard = |id: u64| {
            let at = heartbeat.get(&id).copied().flatten()?;
            u64::try_from(at.elapsed().as_millis()).ok()
        };
        replication
            .into_iter()
            .filter(|(id, _)| *id != self.config.node)
            .map(|(id, matched)| {
                let matched = matched.map(|id| id.index);
                (id, Progress { matched, heard_ms_ago: heard(id) })
            })
            .collect()
    }

    pub(crate) fn read_refusal(
        &self,
        error: RaftError<Config<R, T>, LinearizableReadError<Config<R, T>>>,
    ) -> Refusal {
        match error {
            RaftError::Fatal(fatal) => self.fault.error(fatal).into(),
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                Refusal::Elsewhere { leader: forward.leader_id }
            }
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(error)) => {
                Error::unavailable(format!(
                    "no quorum answers: {error}; ask again, or read locally"
                ))
                .retry_after_ms(100)
                .into()
            }
        }
    }

    fn check_leads(&self) -> Result<(), Refusal> {
        let Standing { leads, leader, .. } = self.standing();
        if leads { Ok(()) } else { Err(Refusal::Elsewhere { leader }) }
    }
}

fn standing<A: Send + Sync + 'static, T: AsyncRuntime>(
    seen: &RaftServerMetrics<Types<A, T>>,
    fault: &Fault,
) -> Standing {
    let decided = seen.membership_config == seen.committed_membership_config;
    let runs = fault.get().is_none();
    Standing {
        term: seen.vote.leader_id.term,
        leader: seen.current_leader.filter(|_| runs),
        leads: runs && seen.state == ServerState::Leader,
        members: members(&seen.membership_config, decided),
    }
}

fn members(stored: &StoredMembership, is_decided: bool) -> Members {
    let membership = stored.membership();
    Members {
        voters: membership.voter_ids().collect(),
        learners: membership.learner_ids().collect(),
        is_joint: membership.get_joint_config().len() > 1,
        is_decided,
    }
}

impl LogConfig {
    /// How long a leader that a quorum has answered can be sure that nobody else is elected.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.election_max_ms())
    }
}
