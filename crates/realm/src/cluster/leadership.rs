//! Handing the leadership over, because somebody asks for it.

use super::{
    forward::{Leader, no_leader},
    kind, number,
};
use crate::{Realm, realm::Core};
use althing_protocol::{Error, Result};
use bytes::Bytes;
use std::time::Duration;

/// For the leader to hand over: the next one is elected, or not.
const HAND_OVER_WAIT: Duration = Duration::from_secs(15);
/// What is in a message.
const WHO: &str = "who is to lead";
/// Stands for "the fittest" in a message; no member has it.
const ANY: u64 = 0;

impl Realm {
    /// Has the leader, whichever node that is, hand over to voter `to`, or else to the fittest other
    /// one. Returns who leads then.
    ///
    /// # Errors
    /// `conflict` when that one cannot lead now; `unavailable` when nobody leads.
    pub async fn transfer_leader(&self, to: Option<u64>) -> Result<u64> {
        self.core.stop.check()?;
        match self.core.leader()? {
            Leader::Here => self.core.hand_over(to).await,
            Leader::At(id) => {
                let body = Bytes::copy_from_slice(&to.unwrap_or(ANY).to_le_bytes());
                let ask = self.core.cluster.links.ask(id, kind::TRANSFER, body, HAND_OVER_WAIT);
                number(WHO, &ask.await?)
            }
            Leader::Nowhere => Err(no_leader()),
        }
    }
}

impl Core {
    /// What another member asks of this one, which leads.
    pub(super) async fn hand_over_for(&self, body: &[u8]) -> Result<Bytes> {
        let to = Some(number(WHO, body)?).filter(|id| *id != ANY);
        let leader = self.hand_over(to).await?;
        Ok(Bytes::copy_from_slice(&leader.to_le_bytes()))
    }

    /// Before this node stops: it does not stand for election any more, and hands over if it leads.
    /// Else nobody would lead until the others have noticed.
    pub(crate) async fn step_aside(&self) {
        let Ok(log) = self.cluster.log() else { return };
        let standing = log.standing();
        if standing.members.voters.len() <= 1 {
            return;
        }
        log.set_campaigns(false);
        if standing.leads
            && let Err(error) = self.hand_over(None).await
        {
            tracing::warn!(%error, "stopping while this node leads");
        }
    }

    /// Gives the leadership to voter `to`, or else to the fittest that takes it.
    pub(super) async fn hand_over(&self, to: Option<u64>) -> Result<u64> {
        let log = self.cluster.log()?;
        if let Some(to) = to {
            log.transfer_leader(to).await?;
            return Ok(to);
        }
        let mut failed =
            Error::conflict("leadership: no other voter is fit to take it; see `althing members`");
        for heir in self.heirs() {
            match log.transfer_leader(heir).await {
                Ok(()) => return Ok(heir),
                Err(error) => failed = error.into(),
            }
        }
        Err(failed)
    }
}
