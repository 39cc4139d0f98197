//! Who the members are, and where: what the state says, looked up without reading it.

use super::message::Members;
use althing_peers::{Peer, Standing};
use althing_protocol::{Error, PublicKey, Result, v1};
use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry};

/// The members as of some entry.
#[derive(Debug, Default)]
pub(crate) struct Book {
    as_of: u64,
    members: BTreeMap<u64, v1::Member>,
    ids: HashMap<PublicKey, u64>,
    /// Those that the log has: without one that was removed it may not be possible to decide that it
    /// goes, so it is spoken to until it has gone.
    in_log: BTreeSet<u64>,
}

impl Book {
    /// From what the state says. While `told`, which another member said, is of a later entry, it adds
    /// who came since, and where members are by now. What they are remains what the state says.
    pub(crate) fn new(state: Members, told: Members, in_log: BTreeSet<u64>) -> Self {
        let as_of = state.as_of.max(told.as_of);
        let is_newer = told.as_of > state.as_of;
        let of_state = state.members.into_iter().map(|member| (member.id, member));
        let mut members: BTreeMap<_, _> = of_state.collect();
        for member in told.members.into_iter().filter(|_| is_newer) {
            match members.entry(member.id) {
                Entry::Vacant(unknown) => drop(unknown.insert(member)),
                Entry::Occupied(mut known) => known.get_mut().address = member.address,
            }
        }
        let key = |member: &v1::Member| PublicKey::try_from(member.key.as_slice()).ok();
        let ids = members.values().filter_map(|member| Some((key(member)?, member.id))).collect();
        Self { as_of, members, ids, in_log }
    }

    /// The entry that it is of.
    pub(crate) fn as_of(&self) -> u64 {
        self.as_of
    }

    /// Whether `told` has a member that is not here, or at another address.
    pub(crate) fn differs(&self, told: &Members) -> bool {
        told.members.iter().any(|member| {
            let known = self.members.get(&member.id);
            known.is_none_or(|known| known.is_current() && known.address != member.address)
        })
    }

    /// Where member `id` is.
    ///
    /// # Errors
    /// `unavailable` when there is no such member, or it cannot be dialled.
    pub(crate) fn peer(&self, id: u64) -> Result<Peer> {
        let member = self.members.get(&id).filter(|member| self.is_here(member));
        let member = member.ok_or_else(|| {
            Error::unavailable(format!("member {id}: is not known here, or was removed"))
        })?;
        let key = PublicKey::try_from(member.key.as_slice())?;
        Ok(Peer { key, address: member.address.clone() })
    }

    /// Which member has `key`.
    pub(crate) fn id(&self, key: &PublicKey) -> Option<u64> {
        let id = *self.ids.get(key)?;
        self.members.get(&id).filter(|member| self.is_here(member)).map(|member| member.id)
    }

    /// The entry that ended the membership of `id`, if one did.
    pub(crate) fn removed_at(&self, id: u64) -> Option<u64> {
        let member = self.members.get(&id).filter(|member| !member.is_current())?;
        Some(member.removed)
    }

    /// Whether `key` may connect.
    ///
    /// # Errors
    /// `denied` for one that was removed.
    pub(crate) fn standing(&self, key: &PublicKey) -> Result<Standing> {
        match self.ids.get(key).and_then(|id| self.members.get(id)) {
            None => Ok(Standing::Stranger),
            Some(member) if self.is_here(member) => Ok(Standing::Member),
            Some(member) => Err(Error::denied(format!(
                "key {key}: was member {} until entry {}, and a key that was removed never comes \
                 back; join with an empty data directory",
                member.id, member.removed
            ))),
        }
    }

    /// The members of now, by id.
    pub(crate) fn current(&self) -> impl Iterator<Item = &v1::Member> {
        self.members.values().filter(|member| member.is_current())
    }

    fn is_here(&self, member: &v1::Member) -> bool {
        member.is_current() || self.in_log.contains(&member.id)
    }

    /// Whether this book has those that are in the log.
    pub(crate) fn is_of(&self, in_log: &BTreeSet<u64>) -> bool {
        self.in_log == *in_log
    }

    /// Keys of those that were removed and have gone.
    pub(crate) fn gone(&self) -> impl Iterator<Item = PublicKey> {
        let removed = self.members.values().filter(|member| !self.is_here(member));
        removed.filter_map(|member| PublicKey::try_from(member.key.as_slice()).ok())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn member(id: u64, address: &str, removed: u64) -> v1::Member {
        v1::Member {
            id,
            key: vec![id as u8; 32],
            role: v1::MemberRole::Voter.into(),
            address: address.into(),
            removed,
            ..v1::Member::default()
        }
    }

    fn key(id: u8) -> PublicKey {
        PublicKey([id; 32])
    }

    fn of(as_of: u64, members: &[v1::Member]) -> Members {
        Members { as_of, members: members.to_vec() }
    }

    #[test]
    fn what_was_told_adds_to_an_older_state() {
        let told = of(50, &[member(1, "one:1", 0), member(2, "two:1", 0), member(3, "", 40)]);
        let genesis = of(0, &[member(1, "", 0)]);
        let book = Book::new(genesis, told.clone(), BTreeSet::new());
        assert_eq!(book.as_of(), 50);
        assert_eq!(book.peer(1).unwrap().address, "one:1");
        assert_eq!(book.peer(2).unwrap().address, "two:1");
        assert!(book.standing(&key(3)).is_err());
        assert_eq!([1, 2, 3].map(|id| book.removed_at(id)), [None, None, Some(40)]);
        // Nobody has an address for ever.
        let moved = of(80, &[member(1, "one:9", 0), member(2, "", 0), member(3, "", 40)]);
        let book = Book::new(moved, told.clone(), BTreeSet::new());
        assert_eq!(book.as_of(), 80);
        assert_eq!([1, 2].map(|id| book.peer(id).unwrap().address), ["one:9", ""]);
        let removed = of(80, &[member(1, "one:9", 0), member(2, "two:1", 77)]);
        let book = Book::new(removed, told, BTreeSet::from([1]));
        assert!(book.peer(2).is_err());
        assert_eq!(book.current().count(), 1);
        assert_eq!(book.gone().collect::<Vec<_>>(), [key(2)]);
        assert_eq!([1, 2, 3].map(|id| book.removed_at(id)), [None, Some(77), None]);
    }

    #[test]
    fn what_a_member_is_the_state_says() {
        let learner = v1::Member { role: v1::MemberRole::Learner.into(), ..member(2, "", 0) };
        let joined = of(50, &[member(1, "one:1", 0), learner.clone(), member(3, "three:1", 0)]);
        // Promoted since; nobody can dial it.
        let priority = 200;
        let promoted = v1::Member { priority, ..member(2, "", 0) };
        let state = [member(1, "one:1", 0), promoted.clone(), member(3, "three:1", 60)];
        for as_of in [60, 40] {
            let book = Book::new(of(as_of, &state), joined.clone(), BTreeSet::new());
            let current: Vec<_> = book.current().cloned().collect();
            assert_eq!(current, [member(1, "one:1", 0), promoted.clone()], "{as_of}");
            assert_eq!(book.removed_at(3), Some(60), "{as_of}");
        }
    }

    #[test]
    fn a_removed_key_is_refused_and_an_unknown_one_is_a_stranger() {
        let members = vec![member(1, "a:1", 0), member(2, "b:1", 9)];
        let book = Book::new(of(9, &members), Members::default(), BTreeSet::from([1]));
        assert_eq!(book.standing(&key(1)), Ok(Standing::Member));
        assert_eq!(book.standing(&key(3)), Ok(Standing::Stranger));
        let refused = book.standing(&key(2)).unwrap_err();
        assert!(refused.message.contains("until entry 9"), "{refused}");
        assert_eq!((book.id(&key(1)), book.id(&key(2))), (Some(1), None));
        let book = Book::new(of(9, &members), Members::default(), BTreeSet::from([1, 2]));
        assert_eq!(book.standing(&key(2)), Ok(Standing::Member), "the log has it still");
        assert_eq!((book.id(&key(2)), book.gone().count()), (Some(2), 0));
        assert_eq!(book.current().count(), 1);
    }
}
