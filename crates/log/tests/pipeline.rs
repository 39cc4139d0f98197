//! Appends do not wait for each other, and are bounded; what is malformed is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod toy;

use althing_protocol::Kind;
use bytes::Bytes;
use cluster::{Cluster, Link, eventually, frames, propose};
use futures::StreamExt;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use toy::command;

const LATENCY: Duration = Duration::from_millis(15);
/// Less than between two heartbeats.
const SHORT: Duration = Duration::from_millis(5);

#[tokio::test(start_paused = true)]
async fn appends_are_on_their_way_together() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    cluster.latency(LATENCY);
    let clients: Vec<_> = (0..200)
        .map(|client: usize| {
            let node = cluster.node(leader);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(client as u64)).await;
                for i in 0..20 {
                    node.propose(command(client * 1_000 + i)).await.unwrap();
                }
            })
        })
        .collect();
    let start = Instant::now();
    for client in clients {
        client.await.unwrap();
    }
    // Each write is one round trip, also while the others' are on their way.
    let ideal = Duration::from_millis(200) + LATENCY * 2 * 20;
    assert!(start.elapsed() < ideal * 3 / 2, "{:?}", start.elapsed());
    for follower in (1..=3).filter(|id| *id != leader) {
        let open_max = cluster.counts(follower).open_max.load(Ordering::Relaxed);
        assert!((4..=64).contains(&open_max), "{open_max}");
    }
}

/// Two appends that end with the same entry are on their way: the second says what is decided. The
/// answer to the first, which was on its way before the read, is none to the second.
#[tokio::test(start_paused = true)]
async fn an_answer_to_an_earlier_append_makes_no_read_fresh() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let node = cluster.node(leader);
    propose(&node, 0..10).await;
    cluster.agreed().await;
    let followers: Vec<_> = (1..=3).filter(|id| *id != leader).collect();
    let [near, far] = followers[..] else { panic!("{followers:?}") };
    let before = node.last().unwrap();

    // Both take an entry, and their answers wait. Then nothing reaches them any more.
    followers.iter().for_each(|id| cluster.cut(*id, leader, Link::Silent));
    let proposing = tokio::spawn({
        let node = node.clone();
        async move { node.propose(command(10)).await }
    });
    let both_have_it = || {
        let last = followers.iter().map(|id| cluster.node(*id).last().unwrap());
        last.into_iter().all(|last| last > before).then_some(())
    };
    eventually("both have the entry", both_have_it).await;
    followers.iter().for_each(|id| cluster.cut(leader, *id, Link::Silent));
    tokio::time::sleep(SHORT).await;
    let reading = tokio::spawn({
        let node = node.clone();
        async move { node.read_index().await }
    });
    tokio::time::sleep(SHORT).await;
    // With one answer the entry is decided, which the far one is told: in vain. Then comes what that
    // one said long ago.
    cluster.cut(near, leader, Link::Up);
    proposing.await.unwrap().unwrap();
    tokio::time::sleep(SHORT).await;
    cluster.cut(far, leader, Link::Up);
    assert!(reading.await.unwrap().is_err(), "nobody has said who leads since it was asked");
}

/// A follower that answers nothing gets no more than the bytes of one window.
#[tokio::test(start_paused = true)]
async fn bytes_on_their_way_are_bounded() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    cluster.latency(LATENCY);
    let large = Bytes::from(vec![7; 2 << 20]);
    let node = cluster.node(leader);
    let results = node.propose_all(vec![large; 40]).await.unwrap();
    assert!(results.iter().all(Result::is_ok));
    cluster.agreed().await;
    for follower in (1..=3).filter(|id| *id != leader) {
        let open_max = cluster.counts(follower).open_max.load(Ordering::Relaxed);
        assert!((2..=5).contains(&open_max), "{open_max} of 2 MiB each");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_is_refused_and_harms_nobody() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    propose(&cluster.node(leader), 0..10).await;
    let node = cluster.node(leader);
    let term = node.standing().term;
    let noise = [&b""[..], b"\x00", b"\xff\xff\xff\xff\xff", b"hello there", &[8; 1_000]];
    for bytes in noise.map(Bytes::copy_from_slice) {
        for from in [1, 2, 3, 9, u64::MAX] {
            let error = node.handle_call(from, bytes.clone()).await.unwrap_err();
            assert_eq!(error.kind, Kind::Invalid, "{error}");
            let answers = node.handle_exchange(from, frames([bytes.clone(), bytes.clone()]));
            assert_eq!(answers.collect::<Vec<_>>().await, Vec::<Bytes>::new());
            let error = node.offered(from, bytes.clone()).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid, "{error}");
        }
    }
    propose(&cluster.node(leader), 10..20).await;
    assert_eq!((cluster.leader().await, node.standing().term), (leader, term));
    assert_eq!(cluster.agreed().await.len(), 20);
}
