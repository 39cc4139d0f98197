//! Batches in a stream are done once each, whatever happens to the connection.
#![allow(clippy::unwrap_used)]

mod common;

use althing_client::{Client, Pending};
use althing_protocol::{Error, Kind, v1};
use common::{Fault, key, options, start};
use std::time::Duration;

fn batch(n: u32, count: usize) -> Vec<v1::Instruction> {
    vec![v1::Instruction::new("tagger", "add", n.to_le_bytes().to_vec()); count]
}

async fn outputs(pending: Pending) -> Vec<Vec<u8>> {
    let outcomes = pending.await.unwrap();
    let output = |outcome: v1::Outcome| match outcome.result {
        Some(v1::outcome::Result::Output(output)) => output,
        other => panic!("{other:?}"),
    };
    outcomes.into_iter().map(output).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_connections_double_and_lose_nothing() {
    const BATCHES: u32 = 300;
    let node = start().await;
    let client = node.client().await;
    let stream = client.submit_stream().await.unwrap();
    node.fail((0..200).map(|n| if n % 40 == 20 { Fault::DoThenCut } else { Fault::Nothing }));
    let mut pending = Vec::new();
    for n in 0..BATCHES {
        pending.push(stream.send(batch(n, 16)).await.unwrap());
    }
    for (n, pending) in (0..BATCHES).zip(pending) {
        assert_eq!(outputs(pending).await, vec![n.to_le_bytes().to_vec(); 16]);
    }
    stream.finish().await;
    let state = node.state();
    assert_eq!(state.done.len(), 16 * BATCHES as usize);
    assert!(state.envelopes.len() > BATCHES as usize, "nothing was sent again");
}

#[tokio::test]
async fn a_refused_batch_is_its_own_answer() {
    let node = start().await;
    let client = node.client().await;
    let stream = client.submit_stream().await.unwrap();
    let denied = Error::denied("tagger/add: no grant");
    node.fail([Fault::Nothing, Fault::Refuse(denied.clone())]);
    let mut pending = Vec::new();
    for n in 0..3 {
        pending.push(stream.send(batch(n, 1)).await.unwrap());
    }
    stream.finish().await;
    let answers = futures::future::join_all(pending).await;
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(denied));
    assert!(answers[2].is_ok());
}

#[tokio::test]
async fn a_batch_refused_for_the_moment_is_sent_again() {
    let node = start().await;
    let client = node.client().await;
    let stream = client.submit_stream().await.unwrap();
    let busy = || Fault::Refuse(Error::exhausted("queue: full").retry_after_ms(5));
    let stops = Fault::DoThenFail(Error::unavailable("leader: none"));
    node.fail([busy(), busy(), Fault::Nothing, stops, busy()]);
    let mut pending = Vec::new();
    for n in 0..4 {
        pending.push(stream.send(batch(n, 256)).await.unwrap());
    }
    for answer in futures::future::join_all(pending).await {
        assert_eq!(answer.unwrap().len(), 256);
    }
    let mut done = node.state().done.clone();
    assert_eq!(done.len(), 4 * 256);
    done.sort();
    done.dedup();
    assert_eq!(done.len(), 4);
}

#[tokio::test]
async fn a_bad_batch_costs_nobody_else() {
    let node = start().await;
    let client = node.client().await;
    let stream = client.submit_stream().await.unwrap();
    assert_eq!(stream.send(Vec::new()).await.unwrap_err().kind, Kind::Invalid);
    let large = v1::Instruction::new("tagger", "add", vec![0; 1 << 20]);
    let too_large = stream.send(vec![large; 5]).await.unwrap();
    let good = stream.send(batch(1, 1)).await.unwrap();
    assert_eq!(too_large.await.unwrap_err().kind, Kind::Invalid);
    assert_eq!(outputs(good).await.len(), 1);
}

#[tokio::test]
async fn idle_streams_end_and_sessions_are_their_own() {
    let node = start().await;
    let client = node.client().await;
    let idle = client.submit_stream().await.unwrap();
    let busy = client.submit_stream().await.unwrap();
    let pending = busy.send(batch(1, 1)).await.unwrap();
    idle.finish().await;
    drop(busy);
    assert_eq!(outputs(pending).await.len(), 1, "what was handed over goes on");
    assert_eq!(node.state().opened(), 2);
}

#[tokio::test]
async fn after_an_unknown_fate_a_stream_takes_nothing_else() {
    let node = start().await;
    let mut options = options();
    options.retry.total = Duration::from_millis(20);
    let client = Client::connect_with(&node.endpoint, Some(key()), options).await.unwrap();
    let stream = client.submit_stream().await.unwrap();
    let lost = Error::unavailable("leader: none");
    node.fail((0..100).map(|_| Fault::DoThenFail(lost.clone())));
    assert_eq!(stream.send(batch(1, 1)).await.unwrap().await, Err(lost));
    node.state().faults.clear();
    let error = stream.send(batch(2, 1)).await.unwrap().await.unwrap_err();
    assert!(error.message.contains("open another stream"), "{error}");
    let stream = client.submit_stream().await.unwrap();
    assert_eq!(outputs(stream.send(batch(3, 1)).await.unwrap()).await.len(), 1);
    assert_eq!(node.state().done.len(), 2);
}

#[tokio::test]
async fn refusals_in_a_stream_leave_room() {
    let node = start().await;
    let client = node.client().await;
    let stream = client.submit_stream().await.unwrap();
    let denied = Error::denied("tagger/add: no grant");
    node.fail((0..10).map(|_| Fault::Refuse(denied.clone())));
    let mut pending = Vec::new();
    for n in 0..12 {
        pending.push(stream.send(batch(n, 256)).await.unwrap());
    }
    let answers = futures::future::join_all(pending).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
}
