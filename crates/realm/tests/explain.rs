//! An entry is run again and explained, from genesis or from a snapshot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod common;

use althing_protocol::{Hash, Kind, sys, v1};
use althing_realm::{BytesShown, ShownExplanation};
use common::{World, key, output};
use std::sync::Arc;

async fn explain(world: &World, index: u64) -> ShownExplanation {
    Arc::clone(&world.realm).explain(index, None).await.unwrap()
}

fn counter() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests/counter.wasm");
    std::fs::read(path).expect("target/guests/counter.wasm is missing: run `cargo xtask guests`")
}

async fn deploy(world: &World) -> Hash {
    let image = world.realm.blobs().put(&counter()).unwrap();
    let bytes = image.0.to_vec();
    let manifest = Some(v1::Manifest { version: "1".into(), ..v1::Manifest::default() });
    let (program, staged) = ("counter".to_owned(), bytes.clone());
    let stage = v1::Stage { program: program.clone(), image: staged, manifest, signature: None };
    output(&world.run(sys::stage(&stage)).await);
    output(&world.run(sys::activate(&v1::Activate { program, image: bytes })).await);
    image
}

fn increment(by: u64) -> v1::Instruction {
    v1::Instruction::new("counter", "increment", format!("{{\"by\":{by}}}").into_bytes())
}

#[tokio::test]
async fn what_a_contract_did_is_told() {
    let world = World::new().await;
    deploy(&world).await;
    output(&world.run(increment(2)).await);
    let outcome = world.run(increment(3)).await;
    output(&world.run(increment(4)).await);

    let told = explain(&world, outcome.index).await;
    assert_eq!((told.agrees, told.replayed_from), (Some(true), 0));
    let [instruction] = &*told.instructions else { panic!("{told:?}") };
    assert_eq!(instruction.author, world.founder.public().to_string());
    assert_eq!(instruction.grants[0].need, "counter/increment");
    assert_eq!(instruction.grants[0].subject, format!("key:{}", world.founder.public()));
    let functions: Vec<_> = instruction.calls.iter().map(|call| &*call.function).collect();
    assert!(functions.contains(&"db.get") && functions.contains(&"db.put"), "{functions:?}");
    let spent: u64 = instruction.calls.iter().map(|call| call.fuel).sum();
    assert!(spent > 10_000 && spent < outcome.fuel, "{spent} of {}", outcome.fuel);
    let [write] = &*instruction.writes else { panic!("{:?}", instruction.writes) };
    assert_eq!(write.keyspace, "counter");
    // A number of eight bytes, which nobody reads as text.
    let base64 = |bytes: &Option<BytesShown>| bytes.clone().unwrap().base64.unwrap();
    assert_eq!((&*base64(&write.old), &*base64(&write.new)), ("AgAAAAAAAAA=", "BQAAAAAAAAA="));
    assert_eq!(instruction.instruction.outcome.as_ref().unwrap().fuel, outcome.fuel);
    // Nothing of the realm has changed by that.
    assert_eq!(explain(&world, outcome.index).await, told);
    assert!(!common::options(&world.dir).dir.join("explain").exists());
    output(&world.run(increment(1)).await);
}

#[tokio::test]
async fn every_entry_can_be_explained() {
    let world = World::new().await;
    deploy(&world).await;
    output(&world.run(sys::put("/a", "one")).await);
    output(&world.run(sys::put("/a", "two")).await);
    let bad = v1::Instruction::new("counter", "increment", b"{\"by\":\"many\"}".to_vec());
    let outcome = world.run(bad).await;
    common::failure(&outcome);
    let last = *world.realm.applied().borrow();
    for index in 1..=last {
        let told = explain(&world, index).await;
        assert_ne!(told.agrees, Some(false), "entry {index}: {told:?}");
    }
    // Of `sys`, the value is shown without what is stored before it.
    let told = explain(&world, last - 1).await;
    let write = &told.instructions[0].writes[0];
    let text = |bytes: &BytesShown| bytes.text.clone().unwrap();
    assert_eq!(text(&write.key), "/a");
    assert_eq!(write.old.as_ref().map(text), Some("one".into()));
    assert_eq!(write.new.as_ref().map(text), Some("two".into()));
    // What fails has changed nothing.
    let told = explain(&world, outcome.index).await;
    assert!(told.instructions[0].ran && told.instructions[0].writes.is_empty());
}

#[tokio::test]
async fn the_grant_of_an_author_is_named() {
    let world = World::new().await;
    let bob = key(8);
    let grant = v1::Grant {
        subject: format!("key:{}", bob.public()),
        program: "sys".into(),
        method: "put".into(),
        prefix: "/x".into(),
        ..v1::Grant::default()
    };
    output(&world.run(sys::grant(&grant)).await);
    output(&world.run_as(&bob, sys::put("/x", "y")).await);
    let index = *world.realm.applied().borrow();
    let told = explain(&world, index).await;
    let [granted] = &*told.instructions[0].grants else { panic!("{told:?}") };
    assert_eq!(
        (&*granted.method, &*granted.prefix, &*granted.subject),
        ("put", "/x", &*grant.subject)
    );
    assert!(told.instructions[0].calls.is_empty());
}

#[tokio::test]
async fn a_snapshot_shortens_the_way() {
    let world = World::new().await;
    for n in 0..5 {
        output(&world.run(sys::put("/n", n.to_string())).await);
    }
    let snapshots = common::options(&world.dir).dir.join("snapshots");
    std::fs::create_dir_all(&snapshots).unwrap();
    let saved = world.realm.save_snapshot(&snapshots.join("half.snapshot")).await.unwrap();
    std::fs::write(snapshots.join("no.snapshot"), "nonsense").unwrap();
    output(&world.run(sys::put("/n", "last")).await);
    let last = *world.realm.applied().borrow();
    let told = explain(&world, last).await;
    assert_eq!((told.replayed_from, told.agrees), (saved.index, Some(true)));

    let named = |name: &str, index| Arc::clone(&world.realm).explain(index, Some(name.to_owned()));
    assert_eq!(named("half", last).await.unwrap(), told);
    let late = named("half", saved.index).await.unwrap_err();
    assert!(late.message.contains("wants one of an entry before"), "{late}");
    assert_eq!(named("no", last).await.unwrap_err().kind, Kind::Invalid);
    assert_eq!(named("none", last).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(named("../half", last).await.unwrap_err().kind, Kind::Invalid);
    for index in [0, last + 1] {
        let error = Arc::clone(&world.realm).explain(index, None).await.unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
    }
}

#[tokio::test]
async fn an_image_that_is_gone_is_named() {
    let world = World::new().await;
    let image = deploy(&world).await;
    output(&world.run(increment(1)).await);
    let last = *world.realm.applied().borrow();
    world.realm.blobs().unpin(&image);
    world.realm.blobs().remove_unpinned(std::time::Duration::ZERO).unwrap();
    let error = Arc::clone(&world.realm).explain(last, None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains(&format!("image {image}")), "{error}");
    assert!(error.message.contains("upload that component again"), "{error}");
}
