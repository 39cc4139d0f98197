//! What a member may say on a connection, and no more.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use althing_peers::limits;
use althing_protocol::{SecretKey, v1};
use prost::Message;
use std::sync::atomic::Ordering::SeqCst;
use support::{
    ECHO, GATED, JOIN, Node, eventually,
    raw::{self, Raw},
};

async fn member() -> (Node, Node, Raw) {
    let (one, other) = Node::pair().await;
    let key = SecretKey::from_seed(&[3; 32]);
    other.does.add(key.public());
    let raw = Raw::connect(other.peers.local_addr().unwrap(), &key).await;
    (one, other, raw)
}

/// Says `bytes` on a stream; the node answers with a failure that names `words`, or just closes the
/// stream, and serves the others.
async fn check(bytes: &[u8], words: &[&str]) {
    let (one, other, raw) = member().await;
    let answer = raw::rest(raw.say(bytes).await).await;
    if words.is_empty() {
        assert!(answer.is_empty(), "{answer:?}");
    } else {
        assert_eq!(answer[4], 2, "a failure");
        let failure = v1::Failure::decode(&answer[5..]).unwrap();
        for word in words {
            assert!(failure.message.contains(word), "{word:?} is not in: {}", failure.message);
        }
    }
    // The connection stands.
    let echo = [raw::header(ECHO.0), vec![0, 0, 0, 2, 0, b'h', b'i']].concat();
    assert_eq!(raw::rest(raw.say(&echo).await).await, [0, 0, 0, 2, 0, b'h', b'i']);
    one.echo(&other.peer()).await;
}

#[tokio::test]
async fn a_frame_of_four_gib() {
    let bytes = [raw::header(ECHO.0), vec![0xff, 0xff, 0xff, 0xff, 0]].concat();
    check(&bytes, &["4294967295 bytes", "16777216"]).await;
}

#[tokio::test]
async fn a_header_of_four_gib() {
    check(&[0xff, 0xff, 0xff, 0xff, 0], &[]).await;
}

#[tokio::test]
async fn a_frame_of_an_unknown_kind() {
    check(&[raw::header(ECHO.0), vec![0, 0, 0, 1, 9, 0]].concat(), &["unknown kind 9"]).await;
}

#[tokio::test]
async fn a_header_of_another_version() {
    let mut bytes = raw::header(ECHO.0);
    bytes[5] = 2;
    check(&bytes, &[]).await;
}

#[tokio::test]
async fn a_stream_that_says_nothing() {
    // Half a header: a stream exists there from its first byte.
    check(&raw::header(ECHO.0)[..20], &[]).await;
}

#[tokio::test]
async fn more_streams_than_allowed() {
    let (one, other, raw) = member().await;
    let mut header = raw::header(GATED.0);
    header[6] = 1;
    let mut pipes = vec![];
    for _ in 0..limits::SERVED_STREAMS_MAX + 100 {
        pipes.push(raw.say(&header).await);
    }
    let full = || other.does.running.load(SeqCst) == limits::SERVED_STREAMS_MAX;
    eventually("it serves some", full).await;
    // The last ones were closed, the others were not hurt.
    for pipe in pipes.split_off(limits::SERVED_STREAMS_MAX) {
        assert!(raw::rest(pipe).await.is_empty());
    }
    one.echo(&other.peer()).await;
    drop(pipes);
    other.does.gate.0.add_permits(limits::SERVED_STREAMS_MAX);
    eventually("they end", || other.does.running.load(SeqCst) == 0).await;
    assert_eq!(other.does.running_most.load(SeqCst), limits::SERVED_STREAMS_MAX + 1);
}

#[tokio::test]
async fn more_streams_than_a_stranger_may_have() {
    let node = Node::start(1).await;
    let key = SecretKey::from_seed(&[3; 32]);
    let raw = Raw::connect(node.peers.local_addr().unwrap(), &key).await;
    // Without their bodies, so that they stay.
    let mut streams = vec![];
    for _ in 0..limits::STRANGER_STREAMS_MAX {
        streams.push(raw.say(&raw::header(JOIN.0)).await);
    }
    assert!(raw::rest(raw.say(&raw::header(JOIN.0)).await).await.is_empty());
    drop(streams);
    let call = [raw::header(JOIN.0), vec![0, 0, 0, 0, 0]].concat();
    let mut answer = vec![];
    while answer.is_empty() {
        answer = raw::rest(raw.say(&call).await).await;
    }
    assert_eq!(answer, [0, 0, 0, 0, 0]);
}
