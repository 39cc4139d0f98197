//! How the members are, as one of them sees it: best the one that leads, which hears of all.

use super::{health::Health, kind};
use crate::realm::Core;
use althing_log::Standing;
use althing_protocol::{Result, decode};
use bytes::Bytes;
use prost::Message;
use std::{collections::BTreeMap, time::Duration};

/// For the leader to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// A member that was not heard for longer is not there: each is asked every second.
pub(super) const SILENT_MS_MAX: u64 = 3_000;

/// All members, at one moment.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Live {
    /// Who saw it.
    #[prost(uint64, tag = "1")]
    pub(crate) by: u64,
    /// Who leads, if anybody does.
    #[prost(uint64, optional, tag = "2")]
    pub(crate) leader: Option<u64>,
    #[prost(uint64, tag = "3")]
    pub(crate) term: u64,
    #[prost(btree_map = "uint64, message", tag = "4")]
    pub(crate) members: BTreeMap<u64, LiveMember>,
}

/// One of them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LiveMember {
    #[prost(enumeration = "InLog", tag = "1")]
    pub(crate) in_log: i32,
    /// Entries that the leader has and it has not; none when nobody leads.
    #[prost(uint64, optional, tag = "2")]
    pub(crate) behind: Option<u64>,
    /// Since it was heard last; none when it never was.
    #[prost(uint64, optional, tag = "3")]
    pub(crate) heard_ms_ago: Option<u64>,
    /// What it said then.
    #[prost(message, optional, tag = "4")]
    pub(crate) health: Option<Health>,
    /// Its clock less that of the one who saw it, in microseconds.
    #[prost(sint64, optional, tag = "5")]
    pub(crate) clock_us: Option<i64>,
}

/// What a member is in the log now; the state says what it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum InLog {
    Not = 0,
    Learner = 1,
    Voter = 2,
}

impl Core {
    /// As the leader sees it; as this node does, when there is none or it does not answer.
    pub(crate) async fn live(&self) -> Result<Live> {
        let here = self.live_here()?;
        let Some(leader) = here.leader.filter(|id| *id != self.cluster.me) else {
            return Ok(here);
        };
        let asked = self.cluster.links.ask(leader, kind::LIVE, Bytes::new(), ANSWER_WAIT).await;
        match asked.and_then(|bytes| decode("how the members are", &bytes)) {
            Ok(live) => Ok(live),
            Err(error) => {
                tracing::debug!(leader, %error, "the leader does not say how the members are");
                Ok(here)
            }
        }
    }

    /// Who leads, where this node can tell: a leader that a majority of the voters answers, or which
    /// spoke lately and is connected. The log goes on naming one that has gone, or leads no more,
    /// until it hears of another.
    pub(crate) fn leader_in_reach(&self, standing: &Standing) -> Option<u64> {
        let leader = standing.leader?;
        let is_there = match standing.leads {
            true => {
                let progress = self.cluster.log().ok()?.progress();
                let answers = |id: &&u64| {
                    let heard = progress.get(id).and_then(|progress| progress.heard_ms_ago);
                    **id == self.cluster.me || heard.is_some_and(|ms| ms <= SILENT_MS_MAX)
                };
                let voters = &standing.members.voters;
                voters.iter().filter(answers).count() * 2 > voters.len()
            }
            false => {
                let lately = Duration::from_millis(SILENT_MS_MAX);
                self.cluster.pulse.spoke_within(leader, lately)
                    && self.cluster.links.is_connected(leader)
            }
        };
        is_there.then_some(leader)
    }

    /// As this node sees it.
    pub(crate) fn live_here(&self) -> Result<Live> {
        let log = self.cluster.log()?;
        let (standing, progress, last) = (log.standing(), log.progress(), log.last()?.unwrap_or(0));
        let heard = self.cluster.pulse.heard();
        let member = |id: u64| {
            let in_log = match &standing.members {
                members if members.voters.contains(&id) => InLog::Voter,
                members if members.learners.contains(&id) => InLog::Learner,
                _ => InLog::Not,
            };
            if id == self.cluster.me {
                return LiveMember {
                    in_log: in_log.into(),
                    behind: standing.leads.then_some(0),
                    heard_ms_ago: Some(0),
                    health: Some(self.health()),
                    clock_us: Some(0),
                };
            }
            let (said, progress) = (heard.get(&id), progress.get(&id));
            let times = [said.map(|said| said.ms_ago()), progress.and_then(|p| p.heard_ms_ago)];
            LiveMember {
                in_log: in_log.into(),
                behind: progress.map(|p| last.saturating_sub(p.matched.unwrap_or(0))),
                heard_ms_ago: times.into_iter().flatten().min(),
                health: said.map(|said| said.health.clone()),
                clock_us: said.map(|said| said.offset_us),
            }
        };
        let book = self.cluster.links.book();
        Ok(Live {
            by: self.cluster.me,
            leader: self.leader_in_reach(&standing),
            term: standing.term,
            members: book.current().map(|known| (known.id, member(known.id))).collect(),
        })
    }
}
