//! Peers that are slow, silent, or out of reach without a word.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use althing_peers::limits;
use althing_protocol::SecretKey;
use bytes::Bytes;
use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};
use support::{ECHO, GATED, Node, REALM, SOON, check_error, eventually, proxy::Proxy, raw};
use tokio::{io::AsyncWriteExt, net::TcpListener};

#[tokio::test]
async fn a_listener_that_never_answers() {
    let node = Node::start(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = node.at(listener.local_addr().unwrap());
    let began = Instant::now();
    let short = Duration::from_millis(200);
    check_error(node.ask(&peer, ECHO, short).await, &["unavailable", "no connection", "200ms"]);
    assert!(began.elapsed() < limits::HANDSHAKE_MAX / 2);
    // Who has more time waits for the same dialling, and learns what became of it.
    check_error(node.ask(&peer, ECHO, SOON).await, &["unavailable", "no answer in 5s"]);
    let took = began.elapsed();
    assert!(took >= limits::HANDSHAKE_MAX && took < limits::HANDSHAKE_MAX * 2, "{took:?}");
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_dropped() {
    let (one, other) = Node::pair().await;
    one.echo(&other.peer()).await;
    let answer = one.ask(&other.peer(), GATED, Duration::from_millis(200)).await;
    check_error(answer, &["unavailable", "no answer in 200ms"]);
    eventually("nobody works for it", || other.does.running.load(SeqCst) == 0).await;
    // The connection is not to blame.
    one.echo(&other.peer()).await;
    assert_eq!(one.connections(), [(other.key.public(), 1)]);
}

/// Cuts the network without a word: whoever waits on either side learns of it in a few seconds, and
/// the nodes find together when it is back.
async fn check_partition(there: bool, back: bool) {
    let (one, other) = Node::pair().await;
    let proxy = Proxy::to(other.peers.local_addr().unwrap()).await;
    let far = other.at(proxy.address);
    one.echo(&far).await;
    let mut pipe = one.peers.pipe(&far, &REALM, ECHO, SOON).await.unwrap();
    let call = one.ask(&far, GATED, SOON);
    let cut = async {
        eventually("both are served", || other.does.running.load(SeqCst) == 2).await;
        proxy.cut(there, back);
        let began = Instant::now();
        // More than the window of a stream: it waits for room that nobody gives. In a task of its
        // own, which nothing but that call wakes.
        let (peers, far, body) = (one.peers.clone(), far.clone(), Bytes::from(vec![0; 1 << 20]));
        let stuck = async move { peers.call(&far, &REALM, ECHO, body, SOON).await };
        (tokio::spawn(stuck).await.unwrap(), began)
    };
    let (answer, (stuck, began)) = tokio::join!(call, cut);
    check_error(answer, &["unavailable", "ended"]);
    check_error(stuck, &["unavailable", "ended"]);
    check_error(pipe.recv().await.unwrap(), &["unavailable"]);
    let most = limits::SILENCE_MAX + limits::CLOSE_MAX + limits::PING_INTERVAL;
    assert!(began.elapsed() < most, "{:?}", began.elapsed());
    eventually("the other side knows", || other.connections().is_empty()).await;
    assert!(began.elapsed() < most * 2, "{:?}", began.elapsed());
    eventually("nobody works for it", || other.does.running.load(SeqCst) == 0).await;
    proxy.cut(false, false);
    let began = Instant::now();
    while one.ask(&far, ECHO, SOON).await.is_err() {
        assert!(began.elapsed() < SOON);
    }
}

#[tokio::test]
async fn a_partition_both_ways_or_one() {
    tokio::join!(
        check_partition(true, true),
        check_partition(true, false),
        check_partition(false, true),
    );
}

#[tokio::test]
async fn a_quiet_connection_stays() {
    let (one, other) = Node::pair().await;
    let mut pipe = one.peers.pipe(&other.peer(), &REALM, ECHO, SOON).await.unwrap();
    let quiet = tokio::time::timeout(limits::SILENCE_MAX * 2, pipe.recv()).await;
    assert!(quiet.is_err(), "nothing came, and nothing was cut");
    pipe.send("still there".into()).await.unwrap();
    assert_eq!(pipe.recv().await, Some(Ok("still there".into())));
}

#[tokio::test]
async fn who_lives_and_takes_nothing_is_cut() {
    let node = Node::start(1).await;
    let key = SecretKey::from_seed(&[3; 32]);
    node.does.add(key.public());
    let mut tls = raw::tls(node.peers.local_addr().unwrap(), Some(&key), None).await.unwrap();
    raw::greet(&mut tls, 1).await.unwrap();
    // As many answers as fit into the windows of their streams, and not into the network between.
    let body = vec![0; 200 << 10];
    let call = [&raw::header(ECHO.0)[..], &(body.len() as u32).to_be_bytes(), &[0], &body].concat();
    tls.write_all(&raw::piece(1, true, &[0])).await.unwrap();
    for stream in 1..=100 {
        tls.write_all(&raw::piece(2 * stream + 1, true, &call)).await.unwrap();
    }
    let began = Instant::now();
    while tls.write_all(&raw::piece(1, false, &[0])).await.is_ok() && tls.flush().await.is_ok() {
        assert!(began.elapsed() < limits::STALL_MAX * 2);
        tokio::time::sleep(limits::PING_INTERVAL).await;
    }
    assert!(began.elapsed() > limits::SILENCE_MAX * 2, "it was not for its silence");
    eventually("it is cut", || node.connections().is_empty()).await;
}
