//! The end of this node's membership: it leaves, or was removed.

use super::kind;
use crate::{Realm, halt::internal, realm::Core};
use althing_protocol::{Error, Kind, Result, sys, v1};
use althing_state::Store;
use bytes::Bytes;
use futures::future::join_all;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::timeout;

/// Key of the store's local table: the entry that ended the membership, 8 bytes little endian.
const ENDED: &str = "member ended";
/// For the others to say whether this node is a member.
const ASK_WAIT: Duration = Duration::from_secs(2);
/// For the log to do without this node.
const LET_GO_WAIT: Duration = Duration::from_secs(10);

impl Realm {
    /// Ends the membership of this node, which is the last thing that it signs; once the others can
    /// do without it, the realm stops here. Returns the index of the entry that ended it, when that
    /// could still be heard.
    ///
    /// # Errors
    /// `conflict` when the realm could decide nothing without it; `unavailable` when nobody leads.
    pub async fn leave(&self) -> Result<Option<u64>> {
        let core = &self.core;
        let identity = core.cluster.identity.as_ref();
        let identity = identity.ok_or_else(|| {
            Error::conflict("member: this node runs alone, and there is nobody to leave")
        })?;
        core.check_votes_without(&BTreeSet::from([core.cluster.me]))?;
        let standing = core.cluster.standing()?;
        // Else nobody leads for the time of an election.
        if standing.leads
            && standing.members.voters.len() > 1
            && let Err(error) = core.hand_over(None).await
        {
            tracing::warn!(%error, "leaving as the leader");
        }
        let left = core.authors.submit(core, &identity.key, vec![sys::member_leave()]).await;
        let outcome = match left {
            Ok(mut outcomes) => outcomes.pop(),
            // Who was removed is told nothing any more, that it has left neither.
            Err(_) if core.is_refused().await => {
                core.end(0)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let outcome = outcome.ok_or_else(|| internal("a member left without an outcome"))?;
        if let Some(v1::outcome::Result::Failure(failure)) = &outcome.result {
            return Err(failure.into());
        }
        let mut ended = core.cluster.ended.subscribe();
        // It has left in any case; when a quorum is slow to let it go, it takes part a little longer.
        let _ = timeout(LET_GO_WAIT, ended.wait_for(Option::is_some)).await;
        Ok(Some(outcome.index))
    }

    /// Whether this node is a member no more, so that its realm has stopped here for good.
    pub fn has_departed(&self) -> bool {
        self.core.cluster.ended.borrow().is_some()
    }
}

impl Core {
    /// This node's membership was ended by entry `index`; 0 when that is not known.
    fn end(&self, index: u64) -> Result<()> {
        if self.cluster.ended.borrow().is_some() {
            return Ok(());
        }
        self.store.meta_put(ENDED, &index.to_le_bytes()).map_err(internal)?;
        self.stop.end(words(self.cluster.me, index));
        self.cluster.ended.send_replace(Some(index));
        Ok(())
    }

    /// Ends it if the state says so, once the log does without this node. Until then the others may
    /// need it to decide that it goes.
    pub(super) fn end_if_removed(&self) -> Result<()> {
        let Some(index) = self.cluster.links.book().removed_at(self.cluster.me) else {
            return Ok(());
        };
        let standing = self.cluster.standing()?;
        let votes = standing.members.voters.contains(&self.cluster.me);
        let is_needed = standing.leads || (votes && self.cluster.pulse.refusal().is_none());
        if is_needed { Ok(()) } else { self.end(index) }
    }

    /// Whether another member says that this node was removed: nothing else is `denied` to a key. One
    /// that does not know this node says `unavailable`, for it may be behind.
    async fn is_refused(&self) -> bool {
        let asked = self
            .cluster
            .others()
            .into_iter()
            .map(|id| self.cluster.links.ask(id, kind::HEALTH, Bytes::new(), ASK_WAIT));
        let denied = |answer: Result<Bytes>| answer.is_err_and(|e| e.kind == Kind::Denied);
        join_all(asked).await.into_iter().any(denied)
    }
}

/// # Errors
/// `conflict` when this node's membership has ended: it must not vote again.
pub(crate) fn check(store: &Store, me: u64) -> Result<()> {
    let ended = store.meta_get(ENDED).map_err(internal)?;
    let ended = ended.and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok());
    match ended.map(u64::from_le_bytes) {
        None => Ok(()),
        Some(index) => Err(Error::conflict(words(me, index))),
    }
}

fn words(id: u64, index: u64) -> String {
    let entry = if index > 0 { format!(", by entry {index}") } else { String::new() };
    format!(
        "this node was member {id} and is none any more{entry}; to come back it joins with an empty \
         data directory, as another member"
    )
}
