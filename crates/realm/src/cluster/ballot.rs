//! Ballots on checkpoints. The leader asks each voter what it found, and brings before all what most
//! of them found, with their signatures.
//!
//! A ballot ends when an entry with its checkpoint is applied here. One that was cut short because
//! the leadership moved is held again by the next leader. Whoever leads after a restart holds that on
//! its newest checkpoint once more: two entries about one checkpoint say the same.

use super::kind;
use crate::{checkpoint::Ballot, halt::internal, realm::Core};
use althing_protocol::{
    CheckpointValues, Error, PublicKey, Result, decode, limits::CHECKPOINT_INTERVAL, v1,
};
use bytes::Bytes;
use futures::{StreamExt, future::pending, stream::FuturesUnordered};
use prost::Message;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// For a voter to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Until the voters are asked again that are not there yet.
const PAUSE: Duration = Duration::from_millis(200);
/// For an entry with a checkpoint to be applied.
const DECIDE_WAIT: Duration = Duration::from_secs(10);
/// A ballot that has taken so long is left to the next leader, or the next checkpoint.
const BALLOT_WAIT: Duration = Duration::from_secs(120);

/// Runs until it is aborted, or the log ends.
pub(crate) async fn run(core: Arc<Core>) {
    let Ok(log) = core.cluster.log() else { return };
    let mut standing = log.watch();
    let mut found = core.checkpoint.subscribe();
    loop {
        let undecided = if standing.now().leads { core.undecided() } else { None };
        let ballot = async {
            if let Some(index) = undecided {
                match timeout(BALLOT_WAIT, core.hold_ballot(index)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!(index, %error, "ballot on a checkpoint"),
                    Err(_) => tracing::warn!(index, "too few voters found the checkpoint in time"),
                }
            }
            pending::<()>().await;
        };
        // A newer checkpoint takes the place of the one that is voted on.
        tokio::select! {
            () = ballot => {}
            changed = standing.changed() => if changed.is_none() { return },
            changed = found.changed() => if changed.is_err() { return },
        }
    }
}

impl Core {
    /// The newest checkpoint of which this node has seen no entry.
    fn undecided(&self) -> Option<u64> {
        let found = self.checkpoint.borrow().map(|values| values.index);
        let newest = found.or_else(|| self.found_before())?;
        (newest > *self.cluster.decided.borrow()).then_some(newest)
    }

    /// The newest that an earlier process found. A realm's only voter needs no second word on it.
    fn found_before(&self) -> Option<u64> {
        if self.voters(&self.store.view()).ok()?.len() <= 1 {
            return None;
        }
        let kept = self.store.checkpoint_last().ok()??.index;
        let is_own = kept.is_multiple_of(CHECKPOINT_INTERVAL) && !self.is_copied(kept).ok()?;
        is_own.then_some(kept)
    }

    /// Returns when the checkpoint is decided.
    async fn hold_ballot(self: &Arc<Self>, index: u64) -> Result<()> {
        let mut decided = self.cluster.decided.subscribe();
        loop {
            // An entry of the leader's own has its time, like all others.
            if let Err(error) = self.take_office().await {
                tracing::debug!(index, %error, "a ballot waits");
                sleep(PAUSE).await;
                continue;
            }
            let checkpoint = self.collect(index).await?;
            self.propose(v1::entry::Kind::Checkpoint(checkpoint), None).await?;
            // It counts for nothing when the voters have changed since, and is lost when the queue
            // of the log is.
            if timeout(DECIDE_WAIT, decided.wait_for(|decided| *decided >= index)).await.is_ok() {
                return Ok(());
            }
        }
    }

    /// Asks until most voters agree.
    async fn collect(&self, index: u64) -> Result<v1::Checkpoint> {
        let mut ballot = self.ballot(index)?;
        if ballot.is_of_one() {
            let values = self.store.checkpoint_get(index).map_err(internal)?;
            let values = values.ok_or_else(|| internal("a checkpoint is not kept any more"))?;
            return Ok(values.with(Vec::new()));
        }
        loop {
            if let Some(decided) = self.ask_voters(&mut ballot).await {
                return Ok(decided);
            }
            if ballot.missing().next().is_none() {
                return Err(Error::internal(format!(
                    "checkpoint {index}: no majority of the voters found the same, and which nodes \
                     are wrong is not known: {ballot}; compare them with `althing status`"
                )));
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks those who have not voted.
    async fn ask_voters(&self, ballot: &mut Ballot) -> Option<v1::Checkpoint> {
        let index = ballot.index();
        let asked = ballot.missing().map(|voter| self.ask_voter(*voter, index));
        let mut asked: FuturesUnordered<_> = asked.collect();
        while let Some((voter, answer)) = asked.next().await {
            let counted = match answer {
                Ok(Some((values, signature))) => ballot.add(values, signature),
                Ok(None) => continue,
                Err(error) => {
                    tracing::debug!(index, %voter, %error, "asking a voter for a checkpoint");
                    continue;
                }
            };
            match counted {
                Ok(Some(decided)) => return Some(decided),
                Ok(None) => {}
                Err(error) => tracing::warn!(index, %voter, %error, "a vote counts for nothing"),
            }
        }
        None
    }

    async fn ask_voter(&self, voter: PublicKey, index: u64) -> (PublicKey, Result<Option<Vote>>) {
        let own = self.cluster.identity.as_ref().filter(|own| own.key.public() == voter);
        let answer = match own {
            Some(own) => self.vouch(index, &own.key),
            None => self.ask_for_vote(voter, index).await,
        };
        (voter, answer)
    }

    async fn ask_for_vote(&self, voter: PublicKey, index: u64) -> Result<Option<Vote>> {
        let id = self.cluster.links.book().id(&voter);
        let id = id.ok_or_else(|| Error::unavailable("its address is not known here yet"))?;
        let body = Bytes::copy_from_slice(&index.to_le_bytes());
        let answer = self.cluster.links.ask(id, kind::VOUCH, body, ANSWER_WAIT).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let vote: v1::Checkpoint = decode("vote on a checkpoint", &answer)?;
        let values = CheckpointValues::try_from(&vote)?;
        let signature = vote.signatures.into_iter().next();
        let signature = signature.ok_or_else(|| Error::invalid("a vote without a signature"))?;
        Ok(Some((values, signature)))
    }
}

type Vote = (CheckpointValues, v1::CheckpointSignature);

/// Answers what this node found at a checkpoint, signed; nothing while it is not there. Only voters
/// ask that of voters.
pub(super) fn vote(core: &Core, from: &PublicKey, body: &[u8]) -> Result<Bytes> {
    let identity = core.cluster.identity.as_ref();
    let identity = identity.ok_or_else(|| internal("a node without a key was asked"))?;
    let index = super::number("question for a vote", body)?;
    let voters = core.voters(&core.store.view()).map_err(internal)?;
    for node in [*from, identity.key.public()] {
        if !voters.contains(&node) {
            return Err(Error::denied(format!(
                "checkpoint {index}: node {node} is no voter as far as this node knows"
            )));
        }
    }
    let vote = core.vouch(index, &identity.key)?;
    let vote = vote.map(|(values, signature)| values.with(vec![signature]).encode_to_vec());
    Ok(vote.unwrap_or_default().into())
}
