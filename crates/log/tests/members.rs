//! Members come, change and go; leadership is handed over.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod toy;

use althing_log::{Begin, Members, Refusal};
use althing_protocol::Kind;
use cluster::{Cluster, Link, propose};
use std::collections::BTreeSet;
use std::time::Duration;
use toy::command;

fn ids(ids: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
    ids.into_iter().collect()
}

fn decided(
    voters: impl IntoIterator<Item = u64>,
    learners: impl IntoIterator<Item = u64>,
) -> Members {
    Members { voters: ids(voters), learners: ids(learners), is_joint: false, is_decided: true }
}

#[tokio::test(start_paused = true)]
async fn a_lone_node_grows_and_shrinks() {
    let mut cluster = Cluster::of(1).await;
    propose(&cluster.node(1), 0..100).await;
    assert_eq!(cluster.node(1).membership(), decided([1], []));

    // A learner follows, and decides nothing.
    cluster.start(2, Begin::Join).await;
    let mut watch = cluster.node(1).watch();
    cluster.node(1).change_members(ids([1]), ids([2])).await.unwrap();
    assert_eq!(cluster.agreed().await.len(), 100);
    assert_eq!(cluster.node(1).membership(), decided([1], [2]));
    assert!(watch.changed().await.unwrap().members.learners.contains(&2));
    cluster.isolate(2, Link::Silent);
    propose(&cluster.node(1), 100..200).await;
    cluster.isolate(2, Link::Up);
    assert_eq!(cluster.agreed().await.len(), 200);
    let progress = cluster.node(1).progress();
    assert_eq!(progress.keys().copied().collect::<Vec<_>>(), vec![2]);
    assert_eq!(progress[&2].matched, cluster.node(1).last().unwrap());
    assert!(progress[&2].heard_ms_ago.unwrap() < 500, "{progress:?}");

    // It is promoted; doing it again does nothing.
    cluster.start(3, Begin::Join).await;
    cluster.node(1).change_members(ids([1]), ids([2, 3])).await.unwrap();
    cluster.node(1).change_members(ids([1, 2, 3]), ids([])).await.unwrap();
    let last = cluster.node(1).last().unwrap();
    cluster.node(1).change_members(ids([1, 2, 3]), ids([])).await.unwrap();
    assert_eq!(cluster.node(1).last().unwrap(), last);
    assert_eq!(cluster.node(1).membership(), decided([1, 2, 3], []));
    cluster.crash(3, 0).await;
    propose(&cluster.node(1), 200..300).await;

    // The dead voter is removed and another one takes its place, in one step.
    cluster.start(4, Begin::Join).await;
    cluster.node(1).change_members(ids([1, 2]), ids([4])).await.unwrap();
    cluster.node(1).change_members(ids([1, 2, 4]), ids([])).await.unwrap();
    assert_eq!(cluster.agreed().await, (0..300).map(command).collect::<Vec<_>>());
    assert_eq!(cluster.node(4).membership(), decided([1, 2, 4], []));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_removed_gives_way() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let rest: Vec<_> = (1..=3).filter(|id| *id != leader).collect();
    cluster.node(leader).change_members(ids(rest.clone()), ids([])).await.unwrap();
    let next = cluster.leader_of(&rest).await;
    propose(&cluster.node(next), 0..10).await;
    cluster.node(next).change_members(ids(rest.clone()), ids([])).await.unwrap();
    assert_eq!(cluster.node(next).membership(), decided(rest, []));
    let refusal = cluster.node(leader).propose(command(0)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Elsewhere { .. }), "{refusal:?}");
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_refused() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    for voters in [ids([]), ids([1, 1 << 20])] {
        let refusal = cluster.node(leader).change_members(voters, ids([])).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Failed(error) if error.kind == Kind::Invalid));
    }
    let other = leader % 3 + 1;
    let elsewhere = Refusal::Elsewhere { leader: Some(leader) };
    assert_eq!(cluster.node(other).change_members(ids([1]), ids([])).await.unwrap_err(), elsewhere);
    assert_eq!(cluster.node(other).transfer_leader(other).await.unwrap_err(), elsewhere);
}

#[tokio::test(start_paused = true)]
async fn leadership_goes_where_it_is_sent() {
    let cluster = Cluster::of(3).await;
    let mut leader = cluster.leader().await;
    for round in 0..6_usize {
        let next = leader % 3 + 1;
        propose(&cluster.node(leader), round * 10..round * 10 + 10).await;
        let term = cluster.node(leader).standing().term;
        cluster.node(leader).transfer_leader(next).await.unwrap();
        assert_eq!(cluster.leader().await, next);
        assert_eq!(cluster.node(next).standing().term, term + 1, "one election");
        leader = next;
    }
    assert_eq!(cluster.agreed().await.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn leadership_is_not_sent_to_who_cannot_take_it() {
    let mut cluster = Cluster::of(3).await;
    cluster.start(4, Begin::Join).await;
    let leader = cluster.leader_of(&[1, 2, 3]).await;
    cluster.node(leader).change_members(ids([1, 2, 3]), ids([4])).await.unwrap();
    let (blocked, silent) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.node(blocked).set_campaigns(false);
    cluster.isolate(silent, Link::Silent);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (to, why) in [(4, "the voters are"), (blocked, "stand for election"), (silent, "answer")] {
        let refusal = cluster.node(leader).transfer_leader(to).await.unwrap_err();
        assert!(refusal.to_string().contains(why), "{to}: {refusal}");
    }
    propose(&cluster.node(leader), 0..10).await;
    assert!(cluster.node(leader).standing().leads);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_node_never_leads() {
    let mut cluster = Cluster::of(3).await;
    for round in 0..4 {
        let leader = cluster.leader().await;
        let (blocked, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
        cluster.node(blocked).set_campaigns(false);
        cluster.crash(leader, round).await;
        assert_eq!(cluster.leader().await, other);
        // Nor when it is alone, however long.
        let term = cluster.node(blocked).standing().term;
        cluster.crash(other, round).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(cluster.node(blocked).standing().term <= term + 1);
        cluster.node(blocked).set_campaigns(true);
        cluster.start(leader, Begin::Join).await;
        cluster.start(other, Begin::Join).await;
        let node = cluster.node(cluster.leader().await);
        propose(&node, 0..5).await;
    }
    assert_eq!(cluster.agreed().await.len(), 20);
}
