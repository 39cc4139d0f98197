//! Two nodes talk.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use althing_peers::{call_once, limits};
use althing_protocol::{Error, SecretKey};
use bytes::Bytes;
use std::sync::atomic::Ordering::SeqCst;
use support::{ECHO, FAIL, GATED, JOIN, Node, REALM, SOON, check_error, eventually};

#[tokio::test]
async fn both_sides_use_the_one_connection() {
    let (one, other) = Node::pair().await;
    one.echo(&other.peer()).await;
    // Nobody listens there: what is dialled already is used.
    other.echo(&one.at("127.0.0.1:1")).await;
    assert_eq!(one.connections(), [(other.key.public(), 1)]);
    assert_eq!(other.connections(), [(one.key.public(), 1)]);
}

#[tokio::test]
async fn a_node_that_does_not_listen_is_reached_over_what_it_dialled() {
    let (one, other) = (Node::start_on(1, None).await, Node::start(2).await);
    one.knows(&other);
    other.knows(&one);
    one.echo(&other.peer()).await;
    other.echo(&one.at("nowhere.invalid:1")).await;
}

#[tokio::test]
async fn the_largest_message_arrives_and_a_larger_one_is_not_sent() {
    let (one, other) = Node::pair().await;
    for len in [0, 1, 16 << 10, limits::FRAME_BYTES_MAX] {
        let body = Bytes::from(vec![7; len]);
        let answer = one.peers.call(&other.peer(), &REALM, ECHO, body.clone(), SOON).await;
        assert_eq!(answer.unwrap(), body);
    }
    let body = Bytes::from(vec![7; limits::FRAME_BYTES_MAX + 1]);
    let answer = one.peers.call(&other.peer(), &REALM, ECHO, body, SOON).await;
    check_error(answer, &["invalid", "16777217 bytes", "16777216", "in parts"]);
}

#[tokio::test]
async fn an_error_of_the_handler_arrives_as_it_was() {
    let (one, other) = Node::pair().await;
    let error = Error::conflict("thing: reason; remedy").retry_after_ms(7);
    assert_eq!(one.ask(&other.peer(), FAIL, SOON).await, Err(error));
    let mut pipe = one.peers.pipe(&other.peer(), &REALM, FAIL, SOON).await.unwrap();
    assert_eq!(pipe.recv().await, Some(Err(Error::conflict("thing: reason; remedy"))));
    assert_eq!(pipe.recv().await, None);
}

#[tokio::test]
async fn frames_of_a_pipe_arrive_in_order() {
    let (one, other) = Node::pair().await;
    let pipe = one.peers.pipe(&other.peer(), &REALM, ECHO, SOON).await.unwrap();
    let (mut sender, mut receiver) = pipe.split();
    let sending = tokio::spawn(async move {
        for n in 0..2_000u32 {
            sender.send(Bytes::from(n.to_be_bytes().repeat(n as usize % 300))).await.unwrap();
        }
        sender.finish().await.unwrap();
        check_error(sender.send(Bytes::new()).await, &["after the end"]);
    });
    for n in 0..2_000u32 {
        let frame = receiver.recv().await.unwrap().unwrap();
        assert_eq!(frame, n.to_be_bytes().repeat(n as usize % 300));
    }
    assert_eq!(receiver.recv().await, None);
    sending.await.unwrap();
}

#[tokio::test]
async fn a_pipe_that_is_dropped_is_an_error_there() {
    let (one, other) = Node::pair().await;
    let pipe = one.peers.pipe(&other.peer(), &REALM, ECHO, SOON).await.unwrap();
    eventually("the pipe is served", || other.does.running.load(SeqCst) == 1).await;
    drop(pipe);
    eventually("the pipe ends there", || other.does.running.load(SeqCst) == 0).await;
}

#[tokio::test]
async fn a_dropped_half_ends_the_other() {
    let (one, other) = Node::pair().await;
    let pipe = one.peers.pipe(&other.peer(), &REALM, GATED, SOON).await.unwrap();
    let (sender, mut receiver) = pipe.split();
    drop(sender);
    check_error(receiver.recv().await.unwrap(), &["unavailable"]);
    let pipe = one.peers.pipe(&other.peer(), &REALM, GATED, SOON).await.unwrap();
    let (mut sender, receiver) = pipe.split();
    drop(receiver);
    // What fits into the window may still be taken.
    while sender.send(Bytes::from(vec![0; 64 << 10])).await.is_ok() {}
}

#[tokio::test]
async fn a_machine_that_is_no_node_yet_calls_once() {
    let node = Node::start(1).await;
    let key = SecretKey::from_seed(&[2; 32]);
    let body = Bytes::from_static(b"let me in");
    let answer = call_once(&key, &node.peer(), &REALM, JOIN, body.clone(), SOON).await;
    assert_eq!(answer, Ok(body));
    eventually("nothing is left of it", || node.peers.stats().is_empty()).await;
}

#[tokio::test]
async fn what_went_where_is_counted() {
    let (one, other) = Node::pair().await;
    let body = Bytes::from(vec![7; 100_000]);
    one.peers.call(&other.peer(), &REALM, ECHO, body, SOON).await.unwrap();
    let stats = one.peers.stats();
    assert_eq!(stats.len(), 1);
    let stats = &stats[0];
    assert_eq!(
        (stats.key, stats.address.as_str()),
        (other.key.public(), other.peer().address.as_str())
    );
    assert_eq!((stats.connected, stats.connections, stats.failures), (true, 1, 0));
    assert_eq!((stats.frames_out, stats.frames_in), (2, 1));
    assert!(stats.bytes_in > 100_000 && stats.bytes_out > 100_000, "{stats:?}");
}

#[tokio::test]
async fn stopping_ends_what_runs() {
    let (one, other) = Node::pair().await;
    let mut pipe = one.peers.pipe(&other.peer(), &REALM, ECHO, SOON).await.unwrap();
    let (peer, call) = (other.peer(), async { one.ask(&other.peer(), GATED, SOON).await });
    let stop = async {
        eventually("both run", || other.does.running.load(SeqCst) == 2).await;
        other.peers.shutdown().await;
        assert_eq!(other.does.running.load(SeqCst), 0);
    };
    let (called, ()) = tokio::join!(call, stop);
    check_error(called, &["unavailable", &other.key.public().to_string(), "ended"]);
    check_error(pipe.recv().await.unwrap(), &["unavailable"]);
    check_error(one.ask(&peer, ECHO, SOON).await, &["unavailable"]);
    check_error(other.ask(&one.peer(), ECHO, SOON).await, &["unavailable", "stops"]);
}

#[tokio::test]
async fn dropping_the_last_clone_ends_all() {
    let (one, other) = Node::pair().await;
    one.echo(&other.peer()).await;
    let (clone, address) = (other.peers.clone(), other.peer().address);
    drop(other);
    assert_eq!(one.connections().len(), 1);
    drop(clone);
    eventually("the connection ends", || one.connections().is_empty()).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
