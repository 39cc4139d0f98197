//! Who may go. When too few of the voters that are left answer, nothing can be decided any more, nor
//! can that be undone: so the leader asks before it proposes.

use super::live::{InLog, Live, SILENT_MS_MAX};
use crate::{halt::internal, realm::Core};
use althing_protocol::{Batch, Error, Result, SYS, decode, v1};
use std::collections::BTreeSet;

impl Core {
    /// # Errors
    /// `conflict` when `batch` takes the vote of members without whom no quorum answers.
    pub(crate) fn check_quorum_left(&self, batch: &Batch) -> Result<()> {
        if !batch.instructions.iter().any(may_take_a_vote) {
            return Ok(());
        }
        let members = self.machine.members(&self.store.view()).map_err(internal)?;
        self.check_votes_without(&without_vote(batch, &members)?)
    }

    /// # Errors
    /// `conflict` when without the votes of `gone` no quorum answers.
    pub(super) fn check_votes_without(&self, gone: &BTreeSet<u64>) -> Result<()> {
        if !self.cluster.standing()?.leads {
            // The log refuses it, and the leader looks.
            return Ok(());
        }
        let live = self.live_here()?;
        let members = self.machine.members(&self.store.view()).map_err(internal)?;
        let voters = members.iter().filter(|member| member.is_voter()).map(|member| member.id);
        let voters: BTreeSet<u64> = voters.collect();
        check(&voters, gone, &live)
    }
}

fn may_take_a_vote(instruction: &v1::Instruction) -> bool {
    instruction.program_id == SYS
        && matches!(instruction.method.as_str(), "member_remove" | "member_set" | "member_leave")
}

/// Members that would not vote any more, those included that do not vote now.
fn without_vote(batch: &Batch, members: &[v1::Member]) -> Result<BTreeSet<u64>> {
    let mut gone = BTreeSet::new();
    for v1::Instruction { method, args, .. } in
        batch.instructions.iter().filter(|instruction| may_take_a_vote(instruction))
    {
        match method.as_str() {
            "member_remove" => {
                gone.insert(decode::<v1::MemberId>("args of sys/member_remove", args)?.id);
            }
            "member_set" => {
                let set: v1::MemberSet = decode("args of sys/member_set", args)?;
                let demotes = set.role.is_some() && set.role() == v1::MemberRole::Learner;
                gone.extend(demotes.then_some(set.id));
            }
            _ => {
                let own = members.iter().find(|member| member.key == batch.author.0);
                gone.extend(own.map(|member| member.id));
            }
        }
    }
    Ok(gone)
}

/// Whether more than half of the voters that are left answer. One that is to vote and does not yet
/// counts neither way: it is not made a voter before it is level.
fn check(voters: &BTreeSet<u64>, gone: &BTreeSet<u64>, live: &Live) -> Result<()> {
    let left: BTreeSet<u64> = voters.difference(gone).copied().collect();
    // Without any voter the state refuses it, and says so better. One that has no vote may go.
    if left.is_empty() || left.len() == voters.len() {
        return Ok(());
    }
    let of = |id: &u64| live.members.get(id);
    let votes = |id: &&u64| of(id).is_some_and(|member| member.in_log() == InLog::Voter);
    let answers = |id: &&u64| {
        of(id).is_some_and(|member| member.heard_ms_ago.is_some_and(|ms| ms <= SILENT_MS_MAX))
    };
    let voting: BTreeSet<u64> = left.iter().filter(votes).copied().collect();
    let answering = voting.iter().filter(answers).count();
    if answering * 2 > voting.len() {
        return Ok(());
    }
    let gone = list(gone.intersection(voters));
    Err(Error::conflict(match voting.is_empty() {
        true => format!(
            "member {gone}: the voters that would be left, {}, have not caught up yet; wait until \
             `althing members` shows one that votes",
            list(&left)
        ),
        false => format!(
            "member {gone}: of the voters that would be left, {}, these do not answer: {}; without \
             a majority nothing could be decided any more; start their nodes, or take away their \
             votes first",
            list(&voting),
            list(voting.iter().filter(|id| !answers(id)))
        ),
    }))
}

fn list<'a>(ids: impl IntoIterator<Item = &'a u64>) -> String {
    ids.into_iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{super::live::LiveMember, *};
    use althing_protocol::{PublicKey, RealmId, sys};

    fn set<const N: usize>(ids: [u64; N]) -> BTreeSet<u64> {
        ids.into()
    }

    /// Member 1 leads; of each other, what it is in the log and when it was heard.
    fn live(others: &[(u64, InLog, Option<u64>)]) -> Live {
        let member = |in_log: InLog, heard_ms_ago| LiveMember {
            in_log: in_log.into(),
            heard_ms_ago,
            ..LiveMember::default()
        };
        let others = others.iter().map(|(id, in_log, heard)| (*id, member(*in_log, *heard)));
        let members = others.chain([(1, member(InLog::Voter, Some(0)))]).collect();
        Live { by: 1, leader: Some(1), term: 1, members }
    }

    #[test]
    fn a_quorum_of_those_that_are_left_answers() {
        use InLog::{Learner, Voter};
        let (up, down) = (Some(10), Some(60_000));
        let three = [(2, Voter, up), (3, Voter, down)];
        let cases = [
            (set([1, 2, 3]), set([3]), &three[..], None),
            (set([1, 2, 3]), set([2]), &three, Some("these do not answer: 3")),
            (set([1, 2, 3]), set([2, 3]), &three, None),
            // Never heard at all.
            (set([1, 2]), set([1]), &[(2, Voter, None)], Some("these do not answer: 2")),
            // It has no vote to lose.
            (set([1, 2]), set([4]), &[(2, Voter, down)], None),
            // The machine refuses that.
            (set([1]), set([1]), &[], None),
            (set([1, 2]), set([1]), &[(2, Learner, up)], Some("have not caught up")),
            (set([1, 2, 3]), set([2]), &[(2, Voter, up), (3, Learner, up)], None),
        ];
        for (voters, gone, others, refused) in cases {
            let checked = check(&voters, &gone, &live(others));
            match refused {
                None => assert_eq!(checked, Ok(()), "{voters:?} {gone:?} {others:?}"),
                Some(words) => {
                    let error = checked.unwrap_err();
                    assert!(error.message.contains(words), "{error}");
                }
            }
        }
    }

    #[test]
    fn what_takes_a_vote() {
        let demote = |id, role: v1::MemberRole| {
            let role = Some(role.into());
            sys::member_set(&v1::MemberSet { id, role, ..v1::MemberSet::default() })
        };
        let instructions = vec![
            sys::put("/a", "b"),
            sys::member_remove(2),
            demote(3, v1::MemberRole::Learner),
            demote(4, v1::MemberRole::Voter),
            sys::member_leave(),
        ];
        let batch = Batch {
            realm: RealmId([0; 32]),
            author: PublicKey([9; 32]),
            session: 1,
            sequence: 1,
            instructions,
        };
        let own = v1::Member { id: 9, key: vec![9; 32], ..v1::Member::default() };
        assert_eq!(without_vote(&batch, &[own]).unwrap(), set([2, 3, 9]));
    }
}
