//! Checkpoints: the three values at an index, in the log for all to compare.
//!
//! Each node computes them. A voter vouches for its own with a signature; once more than half of the
//! voters have vouched for the same values, these are an entry of the log. A node that found other
//! values is wrong, whether it leads or not, and stops. Values that fewer vouch for stop nobody. A
//! realm's only voter needs no signature: the log is its own.

use crate::{halt::internal, realm::Core};
use althing_machine::Halt;
use althing_protocol::{CheckpointValues, Error, PublicKey, RealmId, Result, SecretKey, v1};
use althing_state::View;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::atomic::Ordering,
};

/// Key of the store's local table: the entry whose values came with another node's state, 8 bytes
/// little endian. This node did not find them, so it does not vouch for them.
pub(crate) const COPIED: &str = "copied";

impl Core {
    /// The keys of those who vote, in the state of `view`.
    pub(crate) fn voters(&self, view: &View) -> Result<BTreeSet<PublicKey>, Halt> {
        let members = self.machine.members(view)?;
        let keys = members.iter().filter(|member| member.is_voter());
        let keys = keys.map(|member| PublicKey::try_from(member.key.as_slice()));
        keys.collect::<Result<_>>().map_err(|error| Halt::new(format!("state: {error}")))
    }

    /// Tells what this node found to whoever holds the ballot. While the log replays there is nobody
    /// to tell, and the entry is in the log already.
    pub(crate) fn checkpoint_found(&self, values: CheckpointValues) {
        if values.index > self.replayed_to.load(Ordering::Acquire) {
            self.checkpoint.send_replace(Some(values));
        }
    }

    /// Whether the values at `index` are another node's.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn is_copied(&self, index: u64) -> Result<bool> {
        let copied = self.store.meta_get(COPIED).map_err(internal)?;
        Ok(copied.is_some_and(|copied| copied == index.to_le_bytes()))
    }

    /// What this node found at `index`, signed with its key; none when it is not there yet, does not
    /// keep it any more, or has it from another.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn vouch(
        &self,
        index: u64,
        node: &SecretKey,
    ) -> Result<Option<(CheckpointValues, v1::CheckpointSignature)>> {
        if self.is_copied(index)? {
            return Ok(None);
        }
        let values = self.store.checkpoint_get(index).map_err(internal)?;
        Ok(values.map(|values| (values, values.sign(&self.id, node))))
    }

    /// A ballot on the checkpoint at `index` among those who vote now.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn ballot(&self, index: u64) -> Result<Ballot> {
        let voters = self.voters(&self.store.view()).map_err(internal)?;
        Ok(Ballot { realm: self.id, index, voters, votes: BTreeMap::new() })
    }
}

/// What voters found at an index, one vote each.
#[derive(Debug)]
pub(crate) struct Ballot {
    realm: RealmId,
    index: u64,
    voters: BTreeSet<PublicKey>,
    votes: BTreeMap<PublicKey, (CheckpointValues, v1::CheckpointSignature)>,
}

impl Ballot {
    /// The checkpoint's.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// Whether there is one voter at most.
    pub(crate) fn is_of_one(&self) -> bool {
        self.voters.len() <= 1
    }

    /// Counts a vote. The checkpoint, with its signatures, once more than half of the voters agree:
    /// then this node may be the one that is wrong.
    ///
    /// # Errors
    /// `invalid` or `denied` for a vote that does not count.
    pub(crate) fn add(
        &mut self,
        values: CheckpointValues,
        signature: v1::CheckpointSignature,
    ) -> Result<Option<v1::Checkpoint>> {
        if values.index != self.index {
            return Err(Error::invalid(format!(
                "vote on checkpoint {}: it is about checkpoint {}",
                self.index, values.index
            )));
        }
        let node = values.verify(&self.realm, &signature)?;
        check_voter(self.index, &node, &self.voters)?;
        self.votes.insert(node, (values, signature));
        let agreeing = self.votes.values().filter(|(theirs, _)| *theirs == values);
        let signatures: Vec<_> = agreeing.map(|(_, signature)| signature.clone()).collect();
        let decides = signatures.len() >= quorum(&self.voters);
        Ok(decides.then(|| values.with(signatures)))
    }

    /// The voters who have not voted.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &PublicKey> {
        self.voters.iter().filter(|voter| !self.votes.contains_key(voter))
    }
}

/// Who found what.
impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (node, (values, _))) in self.votes.iter().enumerate() {
            let CheckpointValues { result_chain, state_hash, .. } = values;
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}node {node} results {result_chain} state {state_hash}")?;
        }
        Ok(())
    }
}

/// Its values, and who vouches for them.
///
/// # Errors
/// Why it counts for nothing: malformed, a signature that is no voter's or not good, or too few.
pub(crate) fn vouched(
    realm: &RealmId,
    checkpoint: &v1::Checkpoint,
    voters: &BTreeSet<PublicKey>,
) -> Result<(CheckpointValues, BTreeSet<PublicKey>)> {
    let values = CheckpointValues::try_from(checkpoint)?;
    // More signatures than voters need not be looked at.
    let signatures = checkpoint.signatures.iter().take(voters.len() + 1);
    let mut signers = BTreeSet::new();
    for signature in signatures {
        let node = values.verify(realm, signature)?;
        check_voter(values.index, &node, voters)?;
        if !signers.insert(node) {
            return Err(Error::invalid(format!(
                "checkpoint {}: node {node} signed it twice",
                values.index
            )));
        }
    }
    if signers.len() < quorum(voters) && voters.len() > 1 {
        return Err(Error::denied(format!(
            "checkpoint {}: {} of {} voters vouch for it, {} must",
            values.index,
            signers.len(),
            voters.len(),
            quorum(voters)
        )));
    }
    Ok((values, signers))
}

fn quorum(voters: &BTreeSet<PublicKey>) -> usize {
    voters.len() / 2 + 1
}

fn check_voter(index: u64, node: &PublicKey, voters: &BTreeSet<PublicKey>) -> Result<()> {
    match voters.contains(node) {
        true => Ok(()),
        false => Err(Error::denied(format!(
            "checkpoint {index}: {node} signed it and is no voter of the realm"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use althing_protocol::{Hash, Kind};

    const REALM: RealmId = RealmId([9; 32]);

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed(&[n; 32])
    }

    fn voters(count: u8) -> BTreeSet<PublicKey> {
        (1..=count).map(|n| key(n).public()).collect()
    }

    fn values(state: u8) -> CheckpointValues {
        CheckpointValues {
            index: 32_768,
            entry_chain: Hash([1; 32]),
            result_chain: Hash([2; 32]),
            state_hash: Hash([state; 32]),
        }
    }

    fn signed(by: &[u8]) -> v1::Checkpoint {
        values(3).with(by.iter().map(|n| values(3).sign(&REALM, &key(*n))).collect())
    }

    /// Of so many voters, these signed: does it count?
    #[test]
    fn more_than_half_of_the_voters_must_vouch() {
        for (count, signers, counts) in [
            (0, &[][..], true),
            (1, &[], true),
            (1, &[1], true),
            (2, &[1], false),
            (2, &[1, 2], true),
            (3, &[1], false),
            (3, &[3, 1], true),
            (4, &[1, 2], false),
            (5, &[1, 2, 5], true),
            (3, &[1, 4], false),
            (3, &[1, 1], false),
            (1, &[2], false),
        ] {
            let verdict = vouched(&REALM, &signed(signers), &voters(count));
            assert_eq!(verdict.is_ok(), counts, "{signers:?} of {count}: {verdict:?}");
        }
    }

    #[test]
    fn what_is_not_signed_counts_for_nothing() {
        let good = signed(&[1, 2]);
        assert!(vouched(&REALM, &good, &voters(3)).is_ok());
        let other = v1::Checkpoint { state_hash: vec![4; 32], ..good.clone() };
        let later = v1::Checkpoint { index: 65_536, ..good.clone() };
        let short = v1::Checkpoint { entry_chain: vec![1; 31], ..good.clone() };
        for (checkpoint, kind) in
            [(other, Kind::Denied), (later, Kind::Denied), (short, Kind::Invalid)]
        {
            assert_eq!(vouched(&REALM, &checkpoint, &voters(3)).unwrap_err().kind, kind);
        }
        let elsewhere = vouched(&RealmId([8; 32]), &good, &voters(3)).unwrap_err();
        assert_eq!(elsewhere.kind, Kind::Denied);
    }

    #[test]
    fn a_ballot_ends_with_the_values_of_most() {
        let vote = |ballot: &mut Ballot, n: u8, state: u8| {
            ballot.add(values(state), values(state).sign(&REALM, &key(n)))
        };
        let votes = BTreeMap::new();
        let mut ballot = Ballot { realm: REALM, index: 32_768, voters: voters(5), votes };
        assert_eq!(vote(&mut ballot, 1, 7), Ok(None), "the one that is wrong");
        assert_eq!(vote(&mut ballot, 2, 3), Ok(None));
        assert_eq!(vote(&mut ballot, 2, 3), Ok(None), "the same vote counts once");
        assert_eq!(vote(&mut ballot, 3, 3), Ok(None));
        assert_eq!(vote(&mut ballot, 6, 3).unwrap_err().kind, Kind::Denied, "no voter");
        let forged = ballot.add(values(3), values(7).sign(&REALM, &key(4)));
        assert_eq!(forged.unwrap_err().kind, Kind::Denied);
        assert_eq!(ballot.missing().count(), 2);
        let checkpoint = vote(&mut ballot, 4, 3).unwrap().expect("three of five");
        let (found, signers) = vouched(&REALM, &checkpoint, &voters(5)).unwrap();
        assert_eq!((found, signers.len()), (values(3), 3));
        let old = CheckpointValues { index: 1, ..values(3) };
        let old = ballot.add(old, old.sign(&REALM, &key(5)));
        assert_eq!(old.unwrap_err().kind, Kind::Invalid);
    }
}
