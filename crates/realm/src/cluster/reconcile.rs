//! The leader makes the log's own membership that of the state, one step at a time, and hands the
//! leadership to the voter that is to have it.
//!
//! Every step can be done again, by whoever leads next.

use super::live::SILENT_MS_MAX;
use crate::{halt::internal, realm::Core};
use althing_log::{Progress, Standing};
use althing_protocol::{Result, v1};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

/// How often a leader looks, when nothing tells it to.
const TICK: Duration = Duration::from_millis(500);
/// A node that is to vote may be this many entries behind, at most: until it is level, it counts for
/// the quorum and does not help.
const VOTER_LAG_MAX: u64 = 1_024;
/// A voter of higher priority is healthy for so long before it gets the leadership: a node that comes
/// and goes does not take it along each time.
const STEADY: Duration = Duration::from_secs(10);

/// Runs until the realm ends.
pub(crate) async fn run(core: Arc<Core>) {
    let mut changed = core.cluster.members_changed.subscribe();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heir = Heir::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            told = changed.changed() => if told.is_err() { return },
        }
        if let Err(error) = step(&core, &mut heir).await {
            tracing::warn!(%error, "members of the log");
        }
    }
}

async fn step(core: &Arc<Core>, heir: &mut Heir) -> Result<()> {
    let Ok(log) = core.cluster.log() else { return Ok(()) };
    let standing = log.standing();
    if !standing.leads {
        *heir = Heir::default();
        return Ok(());
    }
    // Before, the state may be an old one.
    if let Err(error) = core.take_office().await {
        tracing::debug!(%error, "members of the log wait");
        return Ok(());
    }
    let mut members = core.machine.members(&core.store.view()).map_err(internal)?;
    members.retain(v1::Member::is_current);
    let (progress, me) = (log.progress(), core.cluster.me);
    let last = log.last()?.unwrap_or(0);
    if let Some(wanted) = wanted(&standing, &members, &progress, last, me) {
        log.change_members(wanted.voters, wanted.learners).await?;
        return Ok(());
    }
    if let Some(to) = heir.after(&standing, &members, &progress, last, me, &core.heirs()) {
        tracing::info!(to, "handing the leadership to a voter of higher priority");
        log.transfer_leader(to).await?;
    }
    Ok(())
}

/// What the log's members are to become.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    voters: BTreeSet<u64>,
    learners: BTreeSet<u64>,
}

fn is_near(progress: &BTreeMap<u64, Progress>, id: u64, last: u64) -> bool {
    progress.get(&id).is_some_and(|at| {
        let matched = at.matched.unwrap_or(0);
        matched.saturating_add(VOTER_LAG_MAX) >= last && is_heard(at)
    })
}

/// One that is silent is not made a voter, and gets no leadership.
fn is_heard(progress: &Progress) -> bool {
    progress.heard_ms_ago.is_some_and(|ms| ms <= SILENT_MS_MAX)
}

/// The next step towards the members of the state; none when there is nothing to do. Who is to vote
/// learns until it is near. The voters stay as they are while too few of the next ones answer: those
/// could decide nothing, nor undo that. Others may come meanwhile, to help them out.
fn wanted(
    standing: &Standing,
    members: &[v1::Member],
    progress: &BTreeMap<u64, Progress>,
    last: u64,
    me: u64,
) -> Option<Wanted> {
    let now = &standing.members;
    if !now.is_decided {
        return None;
    }
    let is_ready = |id: &u64| now.voters.contains(id) || is_near(progress, *id, last);
    let all: BTreeSet<u64> = members.iter().map(|member| member.id).collect();
    let voters = members.iter().filter(|member| member.is_voter()).map(|member| member.id);
    let voters: BTreeSet<u64> = voters.filter(is_ready).collect();
    let answers = |id: &&u64| **id == me || progress.get(id).is_some_and(is_heard);
    let can_decide =
        |voters: &BTreeSet<u64>| voters.iter().filter(answers).count() * 2 > voters.len();
    // Half way from some voters to others there is no staying.
    let today = (!now.is_joint).then(|| now.voters.clone());
    let voters = [Some(voters), today].into_iter().flatten().find(can_decide)?;
    let learners: BTreeSet<u64> = all.difference(&voters).copied().collect();
    let is_done = !now.is_joint && now.voters == voters && now.learners == learners;
    (!is_done).then_some(Wanted { voters, learners })
}

/// The voter that is to lead, and since when it could.
#[derive(Debug, Default)]
struct Heir(Option<(u64, Instant)>);

impl Heir {
    /// The voter to hand over to now: of the highest priority, above this node's, steady, and one of
    /// those that are `fit` to lead.
    fn after(
        &mut self,
        standing: &Standing,
        members: &[v1::Member],
        progress: &BTreeMap<u64, Progress>,
        last: u64,
        me: u64,
        fit: &[u64],
    ) -> Option<u64> {
        let priority = |id: u64| {
            members.iter().find(|member| member.id == id).map_or(0, |member| member.priority)
        };
        let candidates = members.iter().filter(|member| {
            member.is_voter()
                && standing.members.voters.contains(&member.id)
                && member.priority > priority(me)
                && fit.contains(&member.id)
                && is_near(progress, member.id, last)
        });
        // Of several, the first.
        let best = candidates.max_by_key(|member| (member.priority, u64::MAX - member.id));
        let Some(best) = best else {
            self.0 = None;
            return None;
        };
        match self.0 {
            Some((id, since)) if id == best.id => (since.elapsed() >= STEADY).then(|| {
                self.0 = None;
                id
            }),
            _ => {
                self.0 = Some((best.id, Instant::now()));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_log::Members;

    fn member(id: u64, role: v1::MemberRole) -> v1::Member {
        v1::Member { id, role: role.into(), priority: 100, ..v1::Member::default() }
    }

    fn standing(voters: &[u64], learners: &[u64]) -> Standing {
        Standing {
            term: 1,
            leader: Some(1),
            leads: true,
            members: Members {
                voters: voters.iter().copied().collect(),
                learners: learners.iter().copied().collect(),
                is_joint: false,
                is_decided: true,
            },
        }
    }

    fn at(matched: u64, heard_ms_ago: u64) -> Progress {
        Progress { matched: Some(matched), heard_ms_ago: Some(heard_ms_ago) }
    }

    /// From these voters and learners, with these members in the state and this progress, the next
    /// step is to those.
    #[test]
    fn one_step_at_a_time() {
        use v1::MemberRole::{Learner, Voter};
        let far = 1_000_000;
        type Ids<'a> = &'a [u64];
        type Case<'a> = (
            Ids<'a>,
            Ids<'a>,
            &'a [(u64, v1::MemberRole)],
            &'a [(u64, Progress)],
            Option<(Vec<u64>, Vec<u64>)>,
        );
        let (voter, down) = (|id| (id, Voter), |id| (id, at(far, 9_000)));
        let up = |id| (id, at(far, 1));
        let cases: [Case<'_>; 11] = [
            (&[1], &[], &[(1, Voter)], &[], None),
            // Who is to vote learns first.
            (&[1], &[], &[(1, Voter), (2, Voter)], &[], Some((vec![1], vec![2]))),
            (&[1], &[2], &[(1, Voter), (2, Voter)], &[(2, at(5, 1))], None),
            (&[1], &[2], &[(1, Voter), (2, Voter)], &[(2, at(far, 9_000))], None),
            (&[1], &[2], &[(1, Voter), (2, Voter)], &[(2, at(far, 1))], Some((vec![1, 2], vec![]))),
            // Demoted, and removed.
            (&[1, 2, 3], &[], &[(1, Voter), (2, Learner)], &[], Some((vec![1], vec![2]))),
            // All voters of tomorrow are too far behind to take over.
            (&[1], &[2], &[(2, Voter)], &[(2, at(5, 1))], None),
            // Two were removed at once, each while three of four answered: the other two could decide
            // nothing, until one comes to help them.
            (&[1, 2, 3, 4], &[], &[voter(3), voter(4)], &[up(2), up(3), down(4)], None),
            (
                &[1, 2, 3, 4],
                &[],
                &[voter(3), voter(4), voter(5)],
                &[up(2), up(3), down(4)],
                Some((vec![1, 2, 3, 4], vec![5])),
            ),
            (
                &[1, 2, 3, 4],
                &[5],
                &[voter(3), voter(4), voter(5)],
                &[up(2), up(3), down(4), up(5)],
                Some((vec![3, 4, 5], vec![])),
            ),
            (&[1, 2, 3], &[], &[voter(1), voter(2)], &[up(2), down(3)], Some((vec![1, 2], vec![]))),
        ];
        for (voters, learners, members, progress, expected) in cases {
            let members: Vec<_> = members.iter().map(|(id, role)| member(*id, *role)).collect();
            let progress = progress.iter().copied().collect();
            let found = wanted(&standing(voters, learners), &members, &progress, far, 1);
            let found = found.map(|wanted| {
                let list = |ids: BTreeSet<u64>| ids.into_iter().collect::<Vec<_>>();
                (list(wanted.voters), list(wanted.learners))
            });
            assert_eq!(found, expected, "{voters:?} {learners:?} {members:?} {progress:?}");
        }
    }

    #[test]
    fn nothing_is_changed_while_a_change_is_undecided() {
        let mut now = standing(&[1], &[]);
        now.members.is_decided = false;
        let members = [member(1, v1::MemberRole::Voter), member(2, v1::MemberRole::Voter)];
        assert_eq!(wanted(&now, &members, &BTreeMap::new(), 0, 1), None);
    }

    #[test]
    fn half_way_nothing_is_turned_round() {
        let mut now = standing(&[1, 2, 3], &[]);
        now.members.is_joint = true;
        let members = [2, 3].map(|id| member(id, v1::MemberRole::Voter));
        let mut progress = BTreeMap::from([(2, at(9, 1)), (3, at(9, 60_000))]);
        assert_eq!(wanted(&now, &members, &progress, 9, 1), None);
        progress.insert(3, at(9, 1));
        let done = Wanted { voters: BTreeSet::from([2, 3]), learners: BTreeSet::new() };
        assert_eq!(wanted(&now, &members, &progress, 9, 1), Some(done));
    }

    #[test]
    fn the_heir_is_steady_before_it_gets_anything() {
        let mut members: Vec<_> = (1..=3).map(|id| member(id, v1::MemberRole::Voter)).collect();
        let progress = BTreeMap::from([(2, at(9, 1)), (3, at(9, 1))]);
        let now = standing(&[1, 2, 3], &[]);
        let mut heir = Heir::default();
        let steady = |id| Heir(Some((id, Instant::now() - STEADY)));
        let after = |heir: &mut Heir, members: &[_], progress, fit: &[u64]| {
            heir.after(&now, members, progress, 9, 1, fit)
        };
        assert_eq!(after(&mut heir, &members, &progress, &[2, 3]), None, "all are alike");
        members[2].priority = 200;
        assert_eq!(after(&mut heir, &members, &progress, &[2, 3]), None, "not yet");
        assert!(heir.0.is_some());
        heir = steady(3);
        assert_eq!(after(&mut heir, &members, &progress, &[2, 3]), Some(3));
        let silent = BTreeMap::from([(3, at(9, 60_000))]);
        for (progress, fit, why) in
            [(&silent, &[2, 3][..], "it fell silent"), (&progress, &[2], "it cannot lead")]
        {
            heir = steady(3);
            assert_eq!(after(&mut heir, &members, progress, fit), None, "{why}");
            assert!(heir.0.is_none(), "{why}");
        }
    }
}
