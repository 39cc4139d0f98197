//! Three nodes in one process, over real connections.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/nodes.rs"]
mod nodes;

use althing_protocol::{sys, v1};
use althing_realm::{Freshness, Realm};
use nodes::{found, join, options, run, three, until, value};

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_any_request() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = three(dir.path()).await;
    for (n, node) in nodes.iter().enumerate() {
        let path = format!("/from/{n}");
        run(node, sys::put(path.as_bytes(), b"x")).await;
        for reader in &nodes {
            let found = value(reader, &path, Freshness::Linearizable).await;
            assert!(found.is_some(), "{path}");
        }
    }
    for node in &nodes {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_node_stops_nobody_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second, third] = three(dir.path()).await;
    run(&second, sys::put(b"/before", b"1")).await;
    first.shutdown().await.unwrap();
    drop(first);
    run(&second, sys::put(b"/without", b"1")).await;
    run(&third, sys::put(b"/too", b"1")).await;
    let first = Realm::open(options(dir.path(), 1)).await.unwrap();
    for path in ["/before", "/without", "/too"] {
        assert!(value(&first, path, Freshness::Linearizable).await.is_some(), "{path}");
    }
    for node in [first, second, third] {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_on_every_node_before_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second, third] = three(dir.path()).await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests/counter.wasm");
    let component = std::fs::read(path).expect("counter.wasm is missing: run `cargo xtask guests`");
    // Uploaded to one that does not lead: the others get it from there.
    let hash = third.blobs().put(&component).unwrap();
    let stage = v1::Stage {
        program: "counter".into(),
        image: hash.0.to_vec(),
        manifest: Some(v1::Manifest::default()),
        signature: None,
    };
    let done = |outcome: v1::Outcome| {
        assert!(matches!(outcome.result, Some(v1::outcome::Result::Output(_))), "{outcome:?}");
    };
    done(run(&third, sys::stage(&stage)).await);
    let activate = v1::Activate { program: "counter".into(), image: hash.0.to_vec() };
    done(run(&third, sys::activate(&activate)).await);
    let call = v1::Instruction::new("counter", "increment", br#"{"by": 2}"#.to_vec());
    done(run(&second, call).await);
    for node in [&first, &second, &third] {
        node.view(Freshness::Linearizable).await.unwrap();
        assert!(node.blobs().size(&hash).unwrap().is_some());
        assert_eq!(node.stopped(), None);
    }
    for node in [first, second, third] {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_voters_become_one() {
    let dir = tempfile::tempdir().unwrap();
    let first = found(dir.path()).await;
    let second = join(&first, dir.path(), 2).await;
    until("two voters", async || first.standing().unwrap().members.voters.len() == 2).await;
    // The vote of the one that goes is needed to let it go.
    run(&first, sys::member_remove(2)).await;
    until("one voter", async || first.standing().unwrap().members.voters.len() == 1).await;
    second.shutdown().await.unwrap();
    run(&first, sys::put(b"/alone", b"1")).await;
    assert!(value(&first, "/alone", Freshness::Linearizable).await.is_some());
    first.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_can_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second, third] = three(dir.path()).await;
    let leader = first.standing().unwrap().leader.unwrap();
    run(&second, sys::member_remove(leader)).await;
    let rest = [&first, &second, &third];
    let rest: Vec<_> = (1..).zip(rest).filter(|(id, _)| *id != leader).map(|(_, n)| n).collect();
    until("the others lead themselves", async || {
        let standing = rest[0].standing().unwrap();
        standing.members.voters.len() == 2 && standing.leader.is_some_and(|id| id != leader)
    })
    .await;
    run(rest[1], sys::put(b"/without", b"1")).await;
    for node in [first, second, third] {
        node.shutdown().await.unwrap();
    }
}
