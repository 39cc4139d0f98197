//! Hands entries to the log in the order of the door, without waiting for one to be applied before
//! the next is proposed.

use crate::{
    door::{Answer, entry, reply},
    realm::Core,
    replica::{Ran, RealmLog},
};
use althing_protocol::{Error, Result, v1};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// An entry to propose.
pub(crate) struct Proposal {
    pub(crate) entry: Vec<u8>,
    /// None when nobody waits.
    pub(crate) answer: Option<Answer>,
    /// Given back when the outcome is known.
    pub(crate) _permits: Option<[OwnedSemaphorePermit; 2]>,
}

impl Core {
    /// Proposes an entry of the realm's own.
    ///
    /// # Errors
    /// `unavailable` when the realm ends on this node.
    pub(crate) async fn propose(
        &self,
        kind: v1::entry::Kind,
        answer: Option<Answer>,
    ) -> Result<()> {
        let proposal = Proposal { entry: entry(kind), answer, _permits: None };
        let closed = || Error::unavailable("realm: is shutting down on this node");
        let proposals = self.proposals.get().ok_or_else(closed)?;
        proposals.send(vec![proposal]).await.map_err(|_| closed())
    }
}

/// Runs until the door is gone and all proposals are answered.
pub(crate) async fn run(log: RealmLog, mut groups: mpsc::Receiver<Vec<Proposal>>) {
    let mut running: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            group = groups.recv() => {
                let Some(group) = group else { break };
                let mut proposing = propose(log.clone(), group).boxed();
                // The first poll hands the group to the log's queue, which keeps the order.
                if (&mut proposing).now_or_never().is_none() {
                    running.push(proposing);
                }
            }
            Some(()) = running.next() => {}
        }
    }
    while running.next().await.is_some() {}
}

async fn propose(log: RealmLog, group: Vec<Proposal>) {
    let mut entries = Vec::with_capacity(group.len());
    let mut waiting = Vec::with_capacity(group.len());
    for Proposal { entry, answer, _permits } in group {
        entries.push(entry.into());
        waiting.push((answer, _permits));
    }
    let mut results = match log.propose_all(entries).await {
        Ok(results) => results,
        Err(refusal) => waiting.iter().map(|_| Err(refusal.clone())).collect(),
    }
    .into_iter();
    for (answer, permits) in waiting {
        let result = results.next().unwrap_or_else(|| Err(unanswered().into()));
        if let Some(answer) = answer {
            reply(answer, outcomes(result.map_err(Error::from)));
        }
        drop(permits);
    }
}

fn outcomes(result: Result<(u64, Arc<Ran>)>) -> Result<Vec<althing_protocol::v1::Outcome>> {
    result.map(|(_, ran)| ran.outcomes.clone())
}

fn unanswered() -> Error {
    Error::unavailable("the log gave no answer; send the same envelope again, it takes effect once")
}
