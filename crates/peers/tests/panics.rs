//! A handler that panics costs the one stream that it served.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{ECHO, Node, PANIC, REALM, SOON, check_error};

#[tokio::test]
async fn a_handler_that_panics_costs_one_stream() {
    let (one, other) = Node::pair().await;
    let mut pipe = one.peers.pipe(&other.peer(), &REALM, ECHO, SOON).await.unwrap();
    check_error(one.ask(&other.peer(), PANIC, SOON).await, &["internal", "kind 4", "its log"]);
    let mut broken = one.peers.pipe(&other.peer(), &REALM, PANIC, SOON).await.unwrap();
    check_error(broken.recv().await.unwrap(), &["unavailable"]);
    pipe.send("still there".into()).await.unwrap();
    assert_eq!(pipe.recv().await, Some(Ok("still there".into())));
    one.echo(&other.peer()).await;
    assert_eq!(one.connections(), [(other.key.public(), 1)]);
}
