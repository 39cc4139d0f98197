//! Nodes compare their chains: one that differs from the others finds out where that begins, and what
//! a snapshot says of itself is confirmed by those who ran the same entries.

use super::kind;
use crate::{
    Realm,
    divergence::Divergence,
    fingerprint::{Difference, first_difference},
    halt::internal,
    realm::Core,
};
use althing_protocol::{Error, Hash, PublicKey, Result, decode};
use althing_state::{Applied, Fingerprint};
use bytes::Bytes;
use futures::future::join_all;
use prost::Message;
use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::sleep;

/// For a node to say its chains.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Until the others are asked again where this node differs.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A node's chains after an entry; empty when it does not know them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Chains {
    #[prost(bytes = "vec", tag = "1")]
    entry: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    result: Vec<u8>,
    /// It knows that it differs from what the voters vouch for.
    #[prost(bool, tag = "3")]
    is_wrong: bool,
}

impl Chains {
    fn known(&self) -> Result<Option<Fingerprint>> {
        if self.entry.is_empty() {
            return Ok(None);
        }
        let hash = |bytes: &[u8]| Hash::try_from(bytes);
        Ok(Some(Fingerprint { entry_chain: hash(&self.entry)?, result_chain: hash(&self.result)? }))
    }
}

/// Answers what this node's chains are after an entry. One whose realm stopped answers too.
pub(super) fn chains(core: &Core, body: &[u8]) -> Result<Bytes> {
    let index = super::number("question for chains", body)?;
    let known = core.fingerprint(index)?;
    let chain = |of: fn(&Fingerprint) -> Hash| known.as_ref().map(|k| of(k).0.to_vec());
    let chains = Chains {
        entry: chain(|known| known.entry_chain).unwrap_or_default(),
        result: chain(|known| known.result_chain).unwrap_or_default(),
        is_wrong: core.cluster.diverged.borrow().is_some(),
    };
    Ok(chains.encode_to_vec().into())
}

/// What the chains after a snapshot's entry are worth, given what other nodes say theirs are there.
///
/// # Errors
/// `conflict`, naming who differs, when the sender is not with most of those who know.
pub(crate) fn judge(
    applied: &Applied,
    sender: u64,
    answers: impl IntoIterator<Item = (u64, Result<Chains>)>,
) -> Result<()> {
    let (mut agree, mut differ) = (vec![sender], Vec::new());
    for (id, answer) in answers {
        let known = answer.and_then(|chains| match chains.is_wrong {
            true => Ok(None),
            false => chains.known(),
        });
        match known {
            Ok(Some(known)) if known == applied.into() => agree.push(id),
            Ok(Some(_)) => differ.push(id),
            Ok(None) => {}
            Err(error) => tracing::debug!(id, %error, "asking for chains"),
        }
    }
    if differ.len() < agree.len() {
        return Ok(());
    }
    let list = |ids: &[u64]| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    Err(Error::conflict(format!(
        "snapshot of entry {}: the chains of member {} say otherwise than those of member {}, so \
         some of them have diverged; the next checkpoint tells which",
        applied.index,
        list(&agree),
        list(&differ)
    )))
}

/// Asks the voters but the sender whether they have the chains that a snapshot says.
///
/// # Errors
/// As [`judge`].
pub(super) async fn confirm(core: &Core, sender: u64, applied: &Applied) -> Result<()> {
    let others: Vec<u64> = {
        let book = core.cluster.links.book();
        let voters = book.current().filter(|member| member.is_voter()).map(|member| member.id);
        voters.filter(|id| *id != sender && *id != core.cluster.me).collect()
    };
    let asked =
        others.into_iter().map(|id| async move { (id, core.ask_chains(id, applied.index).await) });
    judge(applied, sender, join_all(asked).await)
}

/// Question for the chains after an entry.
pub(crate) fn question(index: u64) -> Bytes {
    Bytes::copy_from_slice(&index.to_le_bytes())
}

/// The answer to it.
pub(crate) fn answer(bytes: &[u8]) -> Result<Chains> {
    decode("chains of a node", bytes)
}

impl Core {
    /// Why the realm stopped on this node, with all that is known by now.
    pub(crate) fn why_stopped(&self) -> Option<String> {
        let diverged = self.cluster.diverged.borrow();
        let found = diverged.as_ref().map(|found| found.reason(&self.options.dir));
        found.or_else(|| self.stop.reason().map(str::to_owned))
    }

    async fn ask_chains(&self, id: u64, index: u64) -> Result<Chains> {
        let asked = self.cluster.links.ask(id, kind::FINGERPRINT, question(index), ANSWER_WAIT);
        answer(&asked.await?)
    }

    /// Whom to ask where this node differs: those who vouched, then the other voters.
    fn witnesses(&self, found: &Divergence) -> Vec<u64> {
        let book = self.cluster.links.book();
        let key = |signer: &String| signer.parse::<PublicKey>().ok();
        let signers: BTreeSet<u64> =
            found.signers.iter().filter_map(|signer| book.id(&key(signer)?)).collect();
        let voters = book.current().filter(|member| member.is_voter()).map(|member| member.id);
        let others = voters.filter(|id| !signers.contains(id));
        signers.iter().copied().chain(others).filter(|id| *id != self.cluster.me).collect()
    }

    /// The first entry after which this node differs from member `id`; none when they agree up to
    /// the checkpoint.
    ///
    /// # Errors
    /// When that node does not answer, is wrong itself, or one of both does not know.
    async fn compare_with(&self, id: u64, checkpoint: u64) -> Result<Option<Difference>> {
        let unknown = || Error::not_found(format!("entry {checkpoint}: its chains are not kept"));
        let chains = self.ask_chains(id, checkpoint).await?;
        if chains.is_wrong {
            return Err(Error::conflict("it differs from the voters itself"));
        }
        let theirs = chains.known()?.ok_or_else(unknown)?;
        let own = self.fingerprint(checkpoint)?.ok_or_else(unknown)?;
        if own == theirs {
            return Ok(None);
        }
        let ask = |index| async move { self.ask_chains(id, index).await?.known() };
        first_difference(0..=checkpoint, |index| self.fingerprint(index), ask).await
    }
}

/// When the realm stops because this node differs, finds out where that begins. Runs until that is
/// known, it is aborted, or the realm is gone.
pub(crate) async fn run(realm: Weak<Realm>) {
    let Some(mut diverged) = realm.upgrade().map(|realm| realm.core.cluster.diverged.subscribe())
    else {
        return;
    };
    if diverged.wait_for(Option::is_some).await.is_err() {
        return;
    }
    while let Some(realm) = realm.upgrade() {
        match find(&realm).await {
            Ok(true) => return,
            Ok(false) => tracing::warn!("no other node says yet where this one differs"),
            Err(error) => tracing::error!(%error, "what is known about the divergence is not kept"),
        }
        drop(realm);
        sleep(ASK_AGAIN).await;
    }
}

/// Whether another node could say.
async fn find(realm: &Arc<Realm>) -> Result<bool> {
    let core = &realm.core;
    let Some(found) = core.cluster.diverged.borrow().clone() else { return Ok(false) };
    for id in core.witnesses(&found) {
        let peer = format!("member {id}");
        let kept = match core.compare_with(id, found.checkpoint).await {
            Ok(Some(difference)) => Arc::clone(realm).keep_difference(&difference, peer).await?,
            Ok(None) => {
                let (kept, dir) = (found.agreeing(peer), core.options.dir.clone());
                let keep = kept.clone();
                let keep = tokio::task::spawn_blocking(move || keep.keep(&dir));
                keep.await.map_err(internal)??;
                kept
            }
            Err(error) => {
                tracing::warn!(id, %error, "asking where this node differs");
                continue;
            }
        };
        tracing::error!(
            reason = kept.reason(&core.options.dir),
            "where this node differs is known"
        );
        core.cluster.diverged.send_replace(Some(kept));
        return Ok(true);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn chains(n: u8, is_wrong: bool) -> Result<Chains> {
        Ok(Chains { entry: vec![1; 32], result: vec![n; 32], is_wrong })
    }

    /// Member 1 sends a snapshot whose chain of results is 1. With these answers of others, it is
    /// believed, or refused with these words.
    #[test]
    fn a_snapshot_is_what_most_of_those_who_know_have() {
        let silent = || Err(Error::unavailable("member: not reached"));
        let unknown = || Ok(Chains::default());
        let cases = [
            (vec![], None),
            (vec![(2, silent()), (3, unknown())], None),
            (vec![(2, chains(1, false))], None),
            (vec![(2, chains(9, false))], Some("member 1 say otherwise than those of member 2")),
            // It knows that it is wrong.
            (vec![(2, chains(9, true))], None),
            (vec![(2, chains(1, false)), (3, chains(9, false))], None),
            (
                vec![(2, chains(1, false)), (3, chains(9, false)), (4, chains(9, false))],
                Some("member 1, 2 say otherwise than those of member 3, 4"),
            ),
            (vec![(2, Ok(Chains { entry: vec![1; 31], ..chains(1, false).unwrap() }))], None),
        ];
        let applied = Applied {
            index: 7,
            entry_chain: Hash([1; 32]),
            result_chain: Hash([1; 32]),
            ..Applied::at_genesis(b"genesis")
        };
        for (answers, refused) in cases {
            let judged = judge(&applied, 1, answers.clone());
            match refused {
                None => assert_eq!(judged, Ok(()), "{answers:?}"),
                Some(words) => {
                    let error = judged.unwrap_err();
                    assert!(error.message.contains(words), "{error}");
                }
            }
        }
    }
}
