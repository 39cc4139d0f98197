//! A submitted batch is done once, however often it is sent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_client::{Client, RetryPolicy};
use althing_operations::Freshness;
use althing_protocol::{Error, Kind, sys, v1};
use common::{Fault, key, options, start};
use serde_json::json;
use std::time::{Duration, Instant};

fn instruction(args: impl Into<Vec<u8>>) -> v1::Instruction {
    v1::Instruction::new("counter", "add", args.into())
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_with_the_same_envelope() {
    let node = start().await;
    let client = node.client().await;
    client.submit(vec![instruction("first")]).await.unwrap();
    node.state().envelopes.clear();

    let lost = || Fault::DoThenFail(Error::unavailable("node: stops"));
    node.fail([lost(), lost(), Fault::DoThenCut]);
    let outcomes = client.submit(vec![instruction("second")]).await.unwrap();
    assert_eq!(outcomes[0].index, 2);
    let state = node.state();
    assert_eq!(state.done, [b"first".to_vec(), b"second".to_vec()]);
    assert_eq!(state.envelopes.len(), 4);
    assert!(state.envelopes.windows(2).all(|two| two[0] == two[1]));
}

#[tokio::test]
async fn no_answer_counts_as_lost() {
    let node = start().await;
    let mut options = options();
    options.answer_timeout = Duration::from_millis(100);
    let client = Client::connect_with(&node.endpoint, Some(key()), options).await.unwrap();
    node.fail([Fault::Nothing, Fault::DoThenHang]);
    client.submit(vec![instruction("once")]).await.unwrap();
    assert_eq!(node.state().done, [b"once"]);
}

#[tokio::test]
async fn the_node_says_when_to_try_again() {
    let node = start().await;
    let client = node.client().await;
    let busy = Error::exhausted("queue: full").retry_after_ms(80);
    node.fail([Fault::Nothing, Fault::Refuse(busy)]);
    let began = Instant::now();
    client.submit(vec![instruction("x")]).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    let node = start().await;
    let client = node.client().await;
    client.submit(vec![instruction("x")]).await.unwrap();
    for error in [
        Error::exhausted("disk: full; make room"),
        Error::denied("counter/add: no grant"),
        Error::invalid("args: wrong"),
        Error::internal("defect"),
    ] {
        node.state().envelopes.clear();
        node.fail([Fault::Refuse(error.clone())]);
        assert_eq!(client.submit(vec![instruction("x")]).await, Err(error));
        assert_eq!(node.state().envelopes.len(), 1);
    }
}

#[tokio::test]
async fn time_is_bounded_and_the_last_error_is_the_answer() {
    let node = start().await;
    let mut options = options();
    options.retry = RetryPolicy { total: Duration::from_millis(50), ..options.retry };
    let client = Client::connect_with(&node.endpoint, Some(key()), options).await.unwrap();
    client.submit(vec![instruction("x")]).await.unwrap();
    let no_leader = Error::unavailable("leader: none");
    node.fail((0..200).map(|_| Fault::Refuse(no_leader.clone())));
    assert_eq!(client.submit(vec![instruction("x")]).await, Err(no_leader));

    let much_later = Error::exhausted("rate: used up").retry_after_ms(3_600_000);
    node.state().faults.clear();
    node.fail([Fault::Refuse(much_later.clone())]);
    assert_eq!(client.submit(vec![instruction("x")]).await, Err(much_later));
}

#[tokio::test]
async fn another_client_of_the_key_may_open_sessions_too() {
    let node = start().await;
    let client = node.client().await;
    node.fail((0..3).map(|_| Fault::SessionOpenedByAnother));
    client.submit(vec![instruction("x")]).await.unwrap();
    assert_eq!(node.state().opened(), 4);
    assert_eq!(node.state().done.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_one_key_never_share_a_session() {
    let node = start().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(node.client().await);
    }
    let submits = clients.iter().map(|client| client.submit(vec![instruction("same")]));
    for answer in futures::future::join_all(submits).await {
        answer.unwrap();
    }
    assert_eq!(node.state().opened(), 8);
    assert_eq!(node.state().done.len(), 8);
}

#[tokio::test]
async fn many_refusals_do_not_use_up_the_window() {
    let node = start().await;
    let client = node.client().await;
    client.submit(vec![instruction("x")]).await.unwrap();
    let denied = Error::denied("counter/add: no grant");
    for _ in 0..5 {
        node.fail([Fault::Refuse(denied.clone())]);
        assert_eq!(client.submit(vec![instruction("y"); 256]).await, Err(denied.clone()));
    }
    client.submit(vec![instruction("z")]).await.unwrap();
    assert_eq!(node.state().opened(), 1);
}

#[tokio::test]
async fn after_an_unknown_fate_comes_a_new_session() {
    let node = start().await;
    let mut options = options();
    options.retry.total = Duration::from_millis(20);
    let client = Client::connect_with(&node.endpoint, Some(key()), options).await.unwrap();
    client.submit(vec![instruction("x")]).await.unwrap();
    let lost = Error::unavailable("node: stops");
    node.fail((0..100).map(|_| Fault::DoThenFail(lost.clone())));
    assert_eq!(client.submit(vec![instruction("y")]).await, Err(lost));
    node.state().faults.clear();
    client.submit(vec![instruction("z")]).await.unwrap();
    assert_eq!(node.state().done, [b"x", b"y", b"z"]);
    assert_eq!(node.state().opened(), 2);
}

#[tokio::test]
async fn a_closed_session_is_replaced() {
    let node = start().await;
    let client = node.client().await;
    client.submit(vec![instruction("x")]).await.unwrap();
    node.fail([Fault::SessionClosed]);
    client.submit(vec![instruction("y")]).await.unwrap();
    client.submit(vec![instruction("z")]).await.unwrap();
    assert_eq!(node.state().done, [b"x", b"y", b"z"]);
    assert_eq!(node.state().opened(), 2);
}

#[tokio::test]
async fn what_may_be_done_already_is_not_signed_anew() {
    let node = start().await;
    let client = node.client().await;
    client.submit(vec![instruction("x")]).await.unwrap();
    node.fail([Fault::DoThenFail(Error::unavailable("node: stops")), Fault::SessionClosed]);
    let error = client.submit(vec![instruction("y")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert_eq!(node.state().done, [b"x", b"y"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_share_a_session() {
    let node = start().await;
    let client = node.client().await;
    let batches = (0..40u8).map(|n| client.submit(vec![instruction([n]); 64]));
    let lost = || Fault::DoThenFail(Error::unavailable("node: stops"));
    node.fail((0..30).map(|n| if n % 3 == 2 { lost() } else { Fault::Nothing }));
    for answer in futures::future::join_all(batches).await {
        assert_eq!(answer.unwrap().len(), 64);
    }
    let state = node.state();
    assert_eq!(state.opened(), 1);
    assert_eq!(state.done.len(), 40 * 64);
}

#[tokio::test]
async fn limits_are_checked_before_a_number_is_used() {
    let node = start().await;
    let client = node.client().await;
    let too_large = vec![instruction(vec![0; 1 << 20]); 5];
    let bad_name = vec![v1::Instruction::new("Counter", "add", Vec::new())];
    for bad in [Vec::new(), vec![instruction("x"); 257], too_large, bad_name] {
        assert_eq!(client.submit(bad).await.unwrap_err().kind, Kind::Invalid);
    }
    assert!(node.state().done.is_empty());
    client.submit(vec![instruction("x")]).await.unwrap();
}

#[tokio::test]
async fn with_a_key_actions_are_signed_here() {
    let node = start().await;
    let client = node.client().await;
    for name in ["action:kv.put.v1", "action:kv.put.input.v1"] {
        let input = json!({"key": "/a", "value": "b"});
        let output = client.call(name, input, Freshness::default()).await.unwrap();
        assert_eq!(output["create"], output["modify"]);
    }
    let state = node.state();
    let put = sys::put("/a", "b").args;
    assert_eq!(state.done, [put.clone(), put]);
    assert!(state.calls.iter().all(|call| !call.starts_with("action:")));
}

#[tokio::test]
async fn without_a_key_the_node_acts_and_nothing_is_sent_twice() {
    let node = start().await;
    let client = node.client_without_key().await;
    let call = |name: &'static str| client.call(name, json!({"key": "/a"}), Freshness::Local);
    let output = call("action:kv.put.v1").await.unwrap();
    assert_eq!(output["input"], json!({"key": "/a"}));
    node.state().calls.clear();

    let stops = || Error::unavailable("node: stops");
    node.fail([Fault::DoThenFail(stops())]);
    assert_eq!(call("action:kv.put.v1").await, Err(stops()));
    assert_eq!(node.state().calls.len(), 1);

    let busy = || Fault::Refuse(Error::exhausted("queue: full").retry_after_ms(1));
    node.fail([busy(), busy()]);
    call("action:kv.put.v1").await.unwrap();
    assert_eq!(node.state().calls.len(), 4);

    node.fail([Fault::Refuse(stops()), Fault::Refuse(stops())]);
    call("query:kv.get.v1").await.unwrap();
    assert_eq!(node.state().calls.len(), 7);

    let error = client.submit(vec![instruction("x")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
}
