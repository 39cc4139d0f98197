//! Links that are cut, or silent: who is cut off answers nothing stale, and wedges nobody.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod toy;

use althing_log::Refusal;
use cluster::{Cluster, Link, propose};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use toy::command;

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_answers_no_linearizable_read() {
    for link in [Link::Silent, Link::Refused] {
        let cluster = Cluster::of(3).await;
        let old = cluster.leader().await;
        propose(&cluster.node(old), 0..10).await;
        let index = cluster.node(old).read_index().await.unwrap();
        assert!(Some(index) >= cluster.toy(old).now().entries.last().map(|entry| entry.0));
        cluster.isolate(old, link);
        let rest: Vec<_> = (1..=3).filter(|id| *id != old).collect();
        let reading = tokio::spawn({
            let node = cluster.node(old);
            // Until somebody else has been elected and has written, and long after.
            async move {
                let start = Instant::now();
                while start.elapsed() < Duration::from_secs(5) {
                    assert!(node.read_index().await.is_err(), "after {:?}", start.elapsed());
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        let next = cluster.leader_of(&rest).await;
        propose(&cluster.node(next), 10..20).await;
        reading.await.unwrap();
        assert!(cluster.node(old).read_index().await.is_err());

        // What it is asked to write is not decided, and it says so; then it follows.
        let refusal = cluster.node(old).propose(command(99)).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Failed(_)), "{refusal:?}");
        cluster.isolate(old, Link::Up);
        assert_eq!(cluster.agreed().await, (0..20).map(command).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_follower_wedges_nobody_and_catches_up() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let silent = leader % 3 + 1;
    propose(&cluster.node(leader), 0..10).await;
    cluster.isolate(silent, Link::Silent);
    for i in 1..100 {
        let start = Instant::now();
        propose(&cluster.node(leader), i * 10..i * 10 + 10).await;
        assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let behind = cluster.node(leader).progress()[&silent];
    assert!(behind.heard_ms_ago.unwrap() > 5_000, "{behind:?}");
    cluster.isolate(silent, Link::Up);
    let healed = Instant::now();
    assert_eq!(cluster.agreed().await.len(), 1_000);
    assert!(healed.elapsed() < Duration::from_secs(5), "{:?}", healed.elapsed());
    assert_eq!(cluster.leader().await, leader);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_disturbs_nobody_when_it_comes_back() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let away = leader % 3 + 1;
    let term = cluster.node(leader).standing().term;
    for link in [Link::Refused, Link::Silent] {
        cluster.isolate(away, link);
        tokio::time::sleep(Duration::from_secs(30)).await;
        propose(&cluster.node(leader), 0..10).await;
        cluster.isolate(away, Link::Up);
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster.agreed().await;
        assert_eq!((cluster.leader().await, cluster.node(away).standing().term), (leader, term));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_peer_is_tried_seldom() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let dead = leader % 3 + 1;
    cluster.crash(dead, 0).await;
    let counts = cluster.counts(dead);
    let attempts =
        || (counts.calls.load(Ordering::Relaxed), counts.exchanges.load(Ordering::Relaxed));
    let (calls, exchanges) = attempts();
    for i in 0..100 {
        propose(&cluster.node(leader), i * 10..i * 10 + 10).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (calls, exchanges) = (attempts().0 - calls, attempts().1 - exchanges);
    // Ten seconds: heartbeats, and a handful of attempts to send entries.
    assert!(calls < 150, "{calls}");
    assert!((2..40).contains(&exchanges), "{exchanges}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hears_nobody_refuses_until_it_does() {
    for link in [Link::Silent, Link::Refused] {
        let cluster = Cluster::of(3).await;
        let deaf = cluster.leader().await;
        let others = (1..=3).filter(|id| *id != deaf);
        let set = |link| others.clone().for_each(|other| cluster.cut(other, deaf, link));
        set(link);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let refusal = cluster.node(deaf).propose(command(0)).await.unwrap_err();
        assert!(refusal.to_string().contains("no quorum answers"), "{refusal}");
        set(Link::Up);
        let leader = cluster.leader().await;
        propose(&cluster.node(leader), 1..10).await;
        assert_eq!(cluster.agreed().await, (1..10).map(command).collect::<Vec<_>>());
    }
}
