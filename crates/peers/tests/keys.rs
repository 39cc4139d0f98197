//! Who is let in, and who is not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use althing_peers::limits;
use althing_protocol::{Kind, SecretKey};
use bytes::Bytes;
use std::sync::atomic::Ordering::SeqCst;
use support::{ECHO, GATED, JOIN, Node, REALM, SOON, check_error, eventually, raw};

#[tokio::test]
async fn another_key_at_the_address_is_named() {
    let (one, other) = Node::pair().await;
    let wanted = SecretKey::from_seed(&[3; 32]).public();
    let peer = althing_peers::Peer { key: wanted, address: other.peer().address };
    let error = one.ask(&peer, ECHO, SOON).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    let found =
        format!("the machine at {} has the key {}, not {wanted}", peer.address, other.key.public());
    assert!(error.message.contains(&found), "{error}");
    assert!(other.connections().is_empty());
}

#[tokio::test]
async fn a_key_that_is_not_proven_is_refused() {
    let (one, other) = Node::pair().await;
    let address = one.peers.local_addr().unwrap();
    let thief = SecretKey::from_seed(&[3; 32]);
    let mut stolen = raw::tls(address, Some(&thief), Some(other.key.public())).await.unwrap();
    assert!(raw::greet(&mut stolen, 1).await.is_err());
    let mut own = raw::tls(address, Some(&thief), None).await.unwrap();
    raw::greet(&mut own, 1).await.unwrap();
}

#[tokio::test]
async fn a_stranger_does_what_strangers_may() {
    let (node, stranger) = (Node::start(1).await, Node::start(2).await);
    assert!(stranger.ask(&node.peer(), JOIN, SOON).await.is_ok());
    let refusal = ["denied", &stranger.key.public().to_string(), "join first"];
    check_error(stranger.ask(&node.peer(), ECHO, SOON).await, &refusal);
    let pipe = stranger.peers.pipe(&node.peer(), &REALM, ECHO, SOON).await;
    check_error(pipe.map(|_| ()), &refusal);
    // Once it is a member, it may more, on the connection that it has.
    node.knows(&stranger);
    stranger.echo(&node.peer()).await;
    assert_eq!(node.connections(), [(stranger.key.public(), 1)]);
}

#[tokio::test]
async fn a_stranger_makes_nobody_hold_much() {
    let (node, stranger) = (Node::start(1).await, Node::start(2).await);
    let join = async |len: usize| {
        let body = Bytes::from(vec![7; len]);
        stranger.peers.call(&node.peer(), &REALM, JOIN, body, SOON).await.map(|echo| echo.len())
    };
    let max = limits::STRANGER_CALL_BYTES_MAX;
    assert_eq!(join(max).await, Ok(max));
    for len in [max + 1, limits::FRAME_BYTES_MAX] {
        let words = ["invalid", &len.to_string(), &max.to_string()];
        check_error(join(len).await, &words);
    }
    node.knows(&stranger);
    assert_eq!(join(limits::FRAME_BYTES_MAX).await, Ok(limits::FRAME_BYTES_MAX));
}

#[tokio::test]
async fn a_removed_key_is_cut_and_stays_out() {
    let (one, other) = Node::pair().await;
    let removed = async { one.ask(&other.peer(), GATED, SOON).await };
    let remove = async {
        eventually("it is served", || other.does.running.load(SeqCst) == 1).await;
        other.does.remove(one.key.public());
        other.peers.drop_peer(&one.key.public());
    };
    let (removed, ()) = tokio::join!(removed, remove);
    check_error(removed, &["unavailable", "ended"]);
    eventually("its call ended", || other.does.running.load(SeqCst) == 0).await;
    for kind in [ECHO, JOIN] {
        check_error(one.ask(&other.peer(), kind, SOON).await, &["denied", "was removed"]);
    }
    assert!(other.connections().is_empty() && other.peers.stats().is_empty());
}

#[tokio::test]
async fn of_two_machines_with_one_key_the_first_stays() {
    let (one, other) = Node::pair().await;
    one.echo(&other.peer()).await;
    let copy = Node::start(1).await;
    let refused = copy.ask(&other.peer(), ECHO, SOON).await;
    check_error(refused, &["conflict", &one.key.public().to_string(), "key of its own"]);
    one.echo(&other.peer()).await;
    assert_eq!(other.connections(), [(one.key.public(), 1)]);
    // When the first is gone, the second is the one there is.
    one.peers.shutdown().await;
    eventually("it is gone", || other.connections().is_empty()).await;
    copy.echo(&other.peer()).await;
}

#[tokio::test]
async fn an_address_that_leads_back_is_named() {
    let node = Node::start(1).await;
    check_error(node.ask(&node.peer(), ECHO, SOON).await, &["conflict", "same key"]);
}
