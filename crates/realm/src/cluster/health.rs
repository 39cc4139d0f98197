//! How the nodes are: asked every second by the one that leads, and by one that hears of no leader.
//!
//! To ask is also how a node that nobody can dial comes to be reached: over the connection that it
//! made.
//!
//! A node that cannot lead well hands over, and does not stand for election until it can again: one
//! whose clock the majority does not share, since the log's clock is the leader's; one whose apply
//! waits for an image; one without disk.

use super::{clock, kind};
use crate::{door::now_us, realm::Core};
use althing_protocol::{Error, Kind, Result, SEMANTICS, decode, v1};
use bytes::Bytes;
use futures::future::join_all;
use prost::Message;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

/// How often the others are asked.
const TICK: Duration = Duration::from_secs(1);
/// How long they may take for the answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// An answer is good for so long.
const FRESH: Duration = Duration::from_secs(5);
/// Between two complaints about the same thing.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What a node says of itself.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Health {
    /// Its clock, in microseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub(crate) now_us: u64,
    /// The last entry that it has applied.
    #[prost(uint64, tag = "2")]
    pub(crate) applied: u64,
    /// Why it cannot lead; empty when it can.
    #[prost(string, tag = "3")]
    pub(crate) unfit: String,
    /// Number of the semantics that it runs.
    #[prost(uint32, tag = "4")]
    pub(crate) semantics: u32,
    /// Version of its binary.
    #[prost(string, tag = "5")]
    pub(crate) version: String,
}

/// What a node said, and when.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) health: Health,
    /// Its clock less this node's, give or take half of the time that the answer took.
    pub(crate) offset_us: i64,
    at: Instant,
}

impl Heard {
    pub(crate) fn ms_ago(&self) -> u64 {
        u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What was heard last of each node.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    heard: Mutex<BTreeMap<u64, Heard>>,
    /// When the log of each spoke last to the one here.
    spoke: Mutex<BTreeMap<u64, Instant>>,
    /// What keeps this node from leading beside what it can see by itself.
    clock: Mutex<Option<String>>,
    /// What another member says when it does not let this node in.
    refusal: Mutex<Option<String>>,
}

impl Pulse {
    /// Answers that are fresh, by member.
    pub(crate) fn fresh(&self) -> BTreeMap<u64, Heard> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = heard.iter().filter(|(_, heard)| heard.at.elapsed() <= FRESH);
        fresh.map(|(id, heard)| (*id, heard.clone())).collect()
    }

    /// The last answers, by member, however old.
    pub(crate) fn heard(&self) -> BTreeMap<u64, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The log of member `id` speaks to the one here: a leader's does all the time.
    pub(super) fn speaks(&self, id: u64) {
        self.spoke.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Instant::now());
    }

    /// Whether it did lately.
    pub(super) fn spoke_within(&self, id: u64, wait: Duration) -> bool {
        let spoke = self.spoke.lock().unwrap_or_else(PoisonError::into_inner);
        spoke.get(&id).is_some_and(|at| at.elapsed() <= wait)
    }

    /// Why others do not let this node in, if they do not.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refusal_is(&self, refusal: Option<String>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    fn note(&self, id: u64, heard: Heard) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(id, heard);
    }

    pub(super) fn clock(&self) -> Option<String> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn clock_is(&self, verdict: Option<String>) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
    }
}

impl Core {
    /// Why this node should not lead, if there is a reason.
    pub(crate) fn unfit(&self) -> Option<String> {
        let fault = || self.cluster.log().ok()?.fault();
        if let Some(reason) = self.why_stopped().or_else(fault) {
            return Some(format!("its realm stopped: {reason}"));
        }
        if self.is_disk_low.load(Ordering::Relaxed) {
            return Some("too little of its disk is free".into());
        }
        self.images.waits_for().or_else(|| self.cluster.pulse.clock())
    }

    /// What this node says of itself.
    pub(crate) fn health(&self) -> Health {
        Health {
            now_us: now_us(),
            applied: *self.applied.borrow(),
            unfit: self.unfit().unwrap_or_default(),
            semantics: SEMANTICS,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// Runs until it is aborted.
pub(crate) async fn run(core: Arc<Core>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said: Option<(String, Instant)> = None;
    let mut campaigns = true;
    loop {
        ticks.tick().await;
        let Ok(log) = core.cluster.log() else { continue };
        let standing = log.standing();
        if standing.leads || core.leader_in_reach(&standing).is_none() || !campaigns {
            ask_all(&core).await;
            let verdict = clock::judge(&core, &standing.members.voters);
            core.cluster.pulse.clock_is(verdict);
        } else {
            // Who hears of a leader is let in.
            core.cluster.pulse.refusal_is(None);
        }
        let unfit = core.unfit();
        // Alone there is nobody to hand over to.
        let may = unfit.is_none() || standing.members.voters.len() <= 1;
        if may != campaigns {
            campaigns = may;
            log.set_campaigns(may);
        }
        let Some(why) = unfit.filter(|_| !may) else { continue };
        if said.as_ref().is_none_or(|(last, at)| *last != why || at.elapsed() >= SAY_AGAIN) {
            tracing::warn!(why, "this node does not lead, and hands over if it does");
            said = Some((why, Instant::now()));
        }
        if standing.leads
            && let Err(error) = core.hand_over(None).await
        {
            tracing::warn!(%error, "handing over the leadership");
        }
    }
}

async fn ask_all(core: &Core) {
    let asked = core.cluster.others().into_iter().map(|id| ask(core, id));
    let refusals = join_all(asked).await.into_iter().flatten();
    core.cluster.pulse.refusal_is(refusals.last());
}

/// Asks one; gives why it does not let this node in, if so.
async fn ask(core: &Core, id: u64) -> Option<String> {
    let refused = |error: Error| (error.kind == Kind::Denied).then_some(error.message);
    hear(core, id).await.err().and_then(refused)
}

/// Asks one how it is; gives its clock less this node's.
pub(super) async fn hear(core: &Core, id: u64) -> Result<i64> {
    let (begun, before_us) = (Instant::now(), now_us());
    let answer = core.cluster.links.ask(id, kind::HEALTH, Bytes::new(), ANSWER_WAIT).await?;
    let health: Health = decode("health", &answer)?;
    let half_us = u64::try_from(begun.elapsed().as_micros() / 2).unwrap_or(0);
    let (theirs, ours) = (health.now_us, before_us.saturating_add(half_us));
    let offset_us = i64::try_from(i128::from(theirs) - i128::from(ours)).unwrap_or(i64::MAX);
    core.cluster.pulse.note(id, Heard { health, offset_us, at: Instant::now() });
    Ok(offset_us)
}

impl Core {
    /// The other voters that can lead, by what they say and by their clocks, the fittest first.
    pub(crate) fn heirs(&self) -> Vec<u64> {
        let fresh = self.cluster.pulse.fresh();
        let book = self.cluster.links.book();
        let voters: Vec<&v1::Member> = book.current().filter(|member| member.is_voter()).collect();
        let offset = |member: &&v1::Member| Some((member.id, fresh.get(&member.id)?.offset_us));
        let mut clocks: BTreeMap<u64, i64> = voters.iter().filter_map(offset).collect();
        clocks.insert(self.cluster.me, 0);
        let quorum = voters.len() / 2 + 1;
        let is_fit = |member: &&v1::Member| {
            fresh.get(&member.id).is_some_and(|heard| heard.health.unfit.is_empty())
                && !clock::is_off(member.id, &clocks, quorum)
        };
        let mut heirs: Vec<&v1::Member> = voters.into_iter().filter(is_fit).collect();
        heirs.sort_by_key(|member| (std::cmp::Reverse(member.priority), member.id));
        heirs.into_iter().map(|member| member.id).collect()
    }
}
