//! Both dial at once, and nobody dials too often.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use support::{ECHO, Node, SOON, check_error, eventually};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_dial_and_one_connection_stays() {
    for round in 0..20 {
        let (one, other) = Node::pair().await;
        let (to_one, to_other) = (one.peer(), other.peer());
        let there = futures::future::join_all((0..8).map(|_| one.echo(&to_other)));
        let back = futures::future::join_all((0..8).map(|_| other.echo(&to_one)));
        tokio::join!(there, back);
        for (node, peer) in [(&one, &other), (&other, &one)] {
            let made = node.connections();
            assert_eq!(made, [(peer.key.public(), 1)], "round {round}");
        }
    }
}

#[tokio::test]
async fn an_address_where_everybody_is_turned_away_is_left_alone() {
    let node = Node::start(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = node.at(listener.local_addr().unwrap());
    let dialled = Arc::new(AtomicUsize::new(0));
    let count = dialled.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            drop(tcp);
        }
    });
    let (began, mut asked) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(4) {
        let all = (0..16).map(|_| node.ask(&peer, ECHO, Duration::from_millis(30)));
        for answer in futures::future::join_all(all).await {
            check_error(answer, &["unavailable"]);
            asked += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // 100 ms doubling to 5 s, less jitter.
    let dialled = dialled.load(SeqCst);
    assert!((3..=9).contains(&dialled), "{dialled} times for {asked} calls");
    assert!(asked > 1_000, "who does not dial is told at once: {asked}");
}

#[tokio::test]
async fn a_peer_that_comes_back_is_found() {
    let (one, other) = Node::pair().await;
    let address = other.peers.local_addr().unwrap();
    one.echo(&other.peer()).await;
    other.peers.shutdown().await;
    drop(other);
    eventually("it is gone", || one.connections().is_empty()).await;
    check_error(
        one.ask(&one.at(address), ECHO, Duration::from_millis(10)).await,
        &["unavailable", &address.to_string()],
    );
    let again = Node::start_on(2, Some(address)).await;
    again.knows(&one);
    // The first attempt may be one that was made before.
    let began = Instant::now();
    while one.ask(&again.peer(), ECHO, SOON).await.is_err() {
        assert!(began.elapsed() < SOON);
    }
}
