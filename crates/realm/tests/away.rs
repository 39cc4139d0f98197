//! Members that know less than the others: they were away, or nobody can dial them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/nodes.rs"]
mod nodes;

use althing_protocol::{sys, v1};
use althing_realm::{Freshness, Identity, Options, Realm};
use nodes::{found, join, join_as, options, run, until, value};

/// Has node `to` lead, whoever does; it is refused while the members are being changed.
async fn lead(realm: &Realm, to: u64) {
    until("another leader", async || {
        let _ = realm.transfer_leader(Some(to)).await;
        realm.standing().unwrap().leader == Some(to)
    })
    .await;
}

/// A third member, which has heard the first one lead, is away while a fourth comes that leads now.
async fn comes_back(role: v1::MemberRole) {
    let dir = tempfile::tempdir().unwrap();
    let first = found(dir.path()).await;
    let second = join(&first, dir.path(), 2).await;
    let third = join_as(&first, options(dir.path(), 3), role).await;
    until("three that follow", async || {
        let is_level = third.catch_up().await.is_done();
        is_level && third.standing().unwrap().members.learners.len() == usize::from(!votes(role))
    })
    .await;
    third.shutdown().await.unwrap();
    drop(third);
    let fourth = join(&first, dir.path(), 4).await;
    let voters = 3 + usize::from(votes(role));
    until("its vote", async || first.standing().unwrap().members.voters.len() == voters).await;
    lead(&first, 4).await;
    run(&fourth, sys::put(b"/late", b"1")).await;

    // It knows the first two, which do not lead, and the one that leads is a stranger to it.
    let third = Realm::open(options(dir.path(), 3)).await.unwrap();
    until("what the leader sends", async || {
        value(&third, "/late", Freshness::Local).await.is_some()
    })
    .await;
    assert_eq!(third.members().unwrap().len(), 4);
    if votes(role) {
        // It counts again.
        first.shutdown().await.unwrap();
    }
    run(&second, sys::put(b"/after", b"1")).await;
    assert!(value(&third, "/after", Freshness::Linearizable).await.is_some());
    for node in [first, second, third, fourth] {
        node.shutdown().await.unwrap();
    }
}

fn votes(role: v1::MemberRole) -> bool {
    role == v1::MemberRole::Voter
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_was_away_follows_a_leader_that_it_does_not_know() {
    comes_back(v1::MemberRole::Voter).await;
}

/// It never stands for election, so its log goes on naming the leader of before.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_was_away_follows_a_leader_that_it_does_not_know() {
    comes_back(v1::MemberRole::Learner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_only_dials_is_made_a_voter_and_leads() {
    let dir = tempfile::tempdir().unwrap();
    let first = found(dir.path()).await;
    let second = join(&first, dir.path(), 2).await;
    let only_dials = |identity| Identity { listen: None, address: String::new(), ..identity };
    let options = options(dir.path(), 3);
    let options = Options { identity: options.identity.clone().map(only_dials), ..options };
    let third = join_as(&first, options, v1::MemberRole::Learner).await;
    let set = |id, role: v1::MemberRole| {
        let role = Some(role.into());
        sys::member_set(&v1::MemberSet { id, role, ..v1::MemberSet::default() })
    };
    run(&first, set(3, v1::MemberRole::Voter)).await;
    until("three voters", async || first.standing().unwrap().members.voters.len() == 3).await;
    lead(&first, 3).await;
    // What it was told when it joined, that it learns, is not what it leads by.
    run(&first, set(2, v1::MemberRole::Learner)).await;
    until("two voters", async || {
        let members = first.standing().unwrap().members;
        assert!(members.voters.contains(&3), "{members:?}");
        members.learners.contains(&2)
    })
    .await;
    run(&second, sys::put(b"/after", b"1")).await;
    for node in [second, third, first] {
        node.shutdown().await.unwrap();
    }
}
