//! Keeps the book: as the state and the log say, and as other members tell.
//!
//! A node that was away, or has just come, may not know the member that leads, and so does not let in
//! what would teach it. It asks those that it knows: while it hears of no leader, and after somebody
//! unknown has spoken to it as the log of a member does.

use super::{book, kind, members, message::Members, number};
use crate::{halt::internal, realm::Core};
use althing_log::Standing;
use althing_protocol::{Error, Result, decode, limits::MEMBERS_MAX};
use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use prost::Message;
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

/// How often the book is compared with the log, when nothing tells to.
const TICK: Duration = Duration::from_millis(500);
/// Between two questions to those that are known.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// For a member to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// Has the book follow the state and the log. Runs until the log ends.
pub(crate) async fn keep(core: Arc<Core>) {
    let Ok(mut standing) = core.cluster.log().map(|log| log.watch()) else { return };
    let mut changed = core.cluster.members_changed.subscribe();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_old = true;
    loop {
        let now = standing.now();
        core.cluster.leads.store(now.leads, Ordering::Relaxed);
        is_old |= !core.cluster.links.book().is_of(&all(&now));
        if std::mem::take(&mut is_old)
            && let Err(error) = core.look_up_members(all(&now))
        {
            tracing::error!(%error, "reading who is a member");
        }
        if let Err(error) = core.end_if_removed() {
            tracing::error!(%error, "noting that this node is no member any more");
        }
        tokio::select! {
            _ = ticks.tick() => {}
            told = changed.changed() => is_old = told.is_ok(),
            now = standing.changed() => if now.is_none() { break },
        }
    }
    core.cluster.leads.store(false, Ordering::Relaxed);
}

/// Learns of members from those that are known. Runs until it is aborted.
pub(crate) async fn learn(core: Arc<Core>) {
    let mut ticks = interval(ASK_AGAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(standing) = core.cluster.standing() else { continue };
        let has_knocked = core.cluster.knocked.swap(false, Ordering::Relaxed);
        // One that leads knows the most.
        let is_lost = core.leader_in_reach(&standing).is_none() || (has_knocked && !standing.leads);
        if is_lost {
            core.ask_for_members().await;
        }
    }
}

/// Answers who the members are; nothing when the one that asks knows as much.
pub(super) fn tell(core: &Core, body: &[u8]) -> Result<Bytes> {
    let known = number("question for members", body)?;
    let here = core.members_here()?;
    let is_news = here.as_of > known;
    Ok(if is_news { here.encode_to_vec().into() } else { Bytes::new() })
}

/// Whoever is in the log.
fn all(standing: &Standing) -> BTreeSet<u64> {
    let members = &standing.members;
    members.voters.union(&members.learners).copied().collect()
}

impl Core {
    /// All members there ever were, as of now.
    pub(super) fn members_here(&self) -> Result<Members> {
        members(&self.store, &self.machine)
    }

    /// Reads again who is a member.
    fn look_up_members(&self, in_log: BTreeSet<u64>) -> Result<()> {
        self.cluster.links.members_are(book(&self.store, &self.machine, in_log)?);
        Ok(())
    }

    /// The last entry as of which this node knows the members.
    fn members_known(&self) -> u64 {
        self.cluster.links.book().as_of().max(self.store.view().applied().index)
    }

    async fn ask_for_members(self: &Arc<Self>) {
        let asked = self.cluster.others().into_iter().map(|id| async move {
            let known = Bytes::copy_from_slice(&self.members_known().to_le_bytes());
            let answer = self.cluster.links.ask(id, kind::MEMBERS, known, ANSWER_WAIT).await;
            (id, answer.and_then(|bytes| decode("members, as another says", &bytes)))
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        while let Some((id, answer)) = asked.next().await {
            let heard = match answer {
                Ok(told) => self.hear_of_members(told).await,
                Err(error) => Err(error),
            };
            if let Err(error) = heard {
                tracing::debug!(id, %error, "asking who the members are");
            }
        }
    }

    /// Keeps what another member told, if that is news: after a restart it may be all that leads to
    /// the others.
    pub(super) async fn hear_of_members(self: &Arc<Self>, told: Members) -> Result<()> {
        if told.members.len() > MEMBERS_MAX {
            return Err(Error::invalid(format!(
                "{} members, at most {MEMBERS_MAX}",
                told.members.len()
            )));
        }
        if told.as_of <= self.members_known() || !self.cluster.links.book().differs(&told) {
            return Ok(());
        }
        let core = Arc::clone(self);
        let keep = move || core.store.meta_put(super::TOLD, &told.encode_to_vec());
        tokio::task::spawn_blocking(keep).await.map_err(internal)?.map_err(internal)?;
        self.cluster.members_changed.send_replace(());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{Follower, key, put, realm};
    use althing_protocol::v1;

    fn member(id: u64) -> v1::Member {
        let key = key(id as u8).public().0.to_vec();
        v1::Member { id, key, address: format!("{id}:1"), ..v1::Member::default() }
    }

    fn knows(core: &Core, id: u64) -> bool {
        core.look_up_members(BTreeSet::new()).unwrap();
        core.cluster.links.book().id(&key(id as u8).public()) == Some(id)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_told_is_kept_when_it_is_news() {
        let dir = tempfile::tempdir().unwrap();
        let realm = realm(dir.path()).await;
        put(&realm, "some", 5).await;
        realm.shutdown().await.unwrap();
        drop(realm);
        let follower = Follower::open(dir.path());
        let core = &follower.core;
        let known = core.members_known();
        let of = |as_of, id| Members { as_of, members: vec![member(id)] };

        let ask = |known: u64| Members::decode(tell(core, &known.to_le_bytes()).unwrap()).unwrap();
        let told = ask(known - 1);
        assert_eq!((told.as_of, told.members.len()), (known, 1));
        assert_eq!(ask(known), Members::default());
        assert!(tell(core, &[1]).is_err());

        // As old as the state.
        core.hear_of_members(of(known, 7)).await.unwrap();
        assert!(!knows(core, 7));
        let mut changed = core.cluster.members_changed.subscribe();
        core.hear_of_members(of(known + 9, 8)).await.unwrap();
        assert!(changed.has_changed().unwrap(), "the book is told");
        changed.mark_unchanged();
        assert!(knows(core, 8));
        core.hear_of_members(of(known + 8, 7)).await.unwrap();
        core.hear_of_members(of(known + 10, 8)).await.unwrap();
        assert!(!changed.has_changed().unwrap(), "both say nothing that is not known");
        let many = Members { as_of: known + 99, members: vec![member(9); MEMBERS_MAX + 1] };
        assert!(core.hear_of_members(many).await.is_err());
        assert!(!knows(core, 7) && !knows(core, 9));
        follower.close();

        let follower = Follower::open(dir.path());
        assert!(knows(&follower.core, 8), "it is known after a restart");
        follower.close();
    }
}
