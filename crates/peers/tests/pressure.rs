//! More than the other side takes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use althing_peers::limits;
use bytes::Bytes;
use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};
use support::{ECHO, GATED, Node, REALM, SOON, eventually};
use tokio::time::timeout;

const FRAME_BYTES: usize = 16 << 10;
const FRAMES: usize = 500;
/// The window of a stream, and what waits in the queues on both sides.
const HELD_BYTES_MAX: usize = 1 << 20;

#[tokio::test]
async fn who_does_not_read_stops_the_sender() {
    let (one, other) = Node::pair().await;
    let pipe = one.peers.pipe(&other.peer(), &REALM, GATED, SOON).await.unwrap();
    let (mut sender, mut receiver) = pipe.split();
    let sent = AtomicUsize::new(0);
    let send = async {
        for n in 0..FRAMES {
            sender.send(Bytes::from(vec![n as u8; FRAME_BYTES])).await.unwrap();
            sent.fetch_add(1, SeqCst);
        }
        sender.finish().await.unwrap();
    };
    let mut send = std::pin::pin!(send);
    // It stops long before the end, and stays there while other streams go on.
    assert!(timeout(Duration::from_secs(1), &mut send).await.is_err());
    let stopped = sent.load(SeqCst);
    assert!(stopped * FRAME_BYTES < HELD_BYTES_MAX, "{stopped} frames");
    one.echo(&other.peer()).await;
    assert!(timeout(Duration::from_secs(1), &mut send).await.is_err());
    assert_eq!(sent.load(SeqCst), stopped);
    // And goes on where it stopped.
    other.does.gate.0.add_permits(FRAMES);
    let receive = async {
        for n in 0..FRAMES {
            let frame = receiver.recv().await.unwrap().unwrap();
            assert_eq!(frame, vec![n as u8; FRAME_BYTES]);
        }
    };
    timeout(SOON, async { tokio::join!(send, receive) }).await.expect("it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_calls_at_once_take_turns() {
    let (one, other) = Node::pair().await;
    let peer = other.peer();
    let calls = (0..3_000).map(|_| one.ask(&peer, GATED, SOON));
    let calls = futures::future::join_all(calls);
    let open = async {
        let full = || other.does.running.load(SeqCst) == limits::STREAMS_MAX;
        eventually("as many run as may", full).await;
        other.does.gate.0.add_permits(3_000);
    };
    let (answers, ()) = tokio::join!(calls, open);
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|a| a.is_err()));
    assert_eq!(other.does.running_most.load(SeqCst), limits::STREAMS_MAX);
    assert_eq!(one.connections(), [(other.key.public(), 1)]);
}

#[tokio::test]
async fn bodies_that_wait_for_their_handlers_are_bounded() {
    let (one, other) = Node::pair().await;
    let peer = other.peer();
    let body = Bytes::from(vec![0; limits::FRAME_BYTES_MAX]);
    let most = limits::CALL_BYTES_MAX / limits::FRAME_BYTES_MAX;
    let calls = (0..most + 2).map(|_| one.peers.call(&peer, &REALM, GATED, body.clone(), SOON * 2));
    let calls = futures::future::join_all(calls);
    let open = async {
        eventually("as many run as may", || other.does.running.load(SeqCst) == most).await;
        one.echo(&peer).await;
        assert_eq!(other.does.running.load(SeqCst), most);
        other.does.gate.0.add_permits(most + 2);
    };
    let (answers, ()) = tokio::join!(calls, open);
    assert!(answers.iter().all(Result::is_ok));
    assert!(other.does.running_most.load(SeqCst) <= most + 1);
}

#[tokio::test]
async fn calls_that_are_given_up_leave_nothing_behind() {
    let (one, other) = Node::pair().await;
    let peer = other.peer();
    one.echo(&peer).await;
    for _ in 0..8 {
        let calls = 0..limits::STREAMS_MAX;
        let calls = calls.map(|_| one.ask(&peer, GATED, Duration::from_millis(50)));
        assert!(futures::future::join_all(calls).await.iter().all(Result::is_err));
    }
    eventually("nobody works for them", || other.does.running.load(SeqCst) == 0).await;
    assert_eq!(one.ask(&peer, ECHO, SOON).await.unwrap(), "hello");
    assert_eq!(one.connections(), [(other.key.public(), 1)]);
}
