//! Ticks come when something is due, and only then: after a restart too, beside other entries, and from
//! whoever leads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::{
    Options, Realm, show_entry,
    testing::{
        activate, options, realm, run, stage,
        three::{Three, end, until},
    },
};
use althing_protocol::{Hash, Kind, actor, sys, v1};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tempfile::TempDir;

/// An actor whose state is the last message; with another number it is another image.
fn component(n: u8) -> Vec<u8> {
    let text = r#"(component
  (core module $actor
    (memory (export "memory") 8)
    (global $heap (mut i32) (i32.const 1024))
    (data (i32.const 0) "null")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $heap (i32.add (global.get $heap) (local.get 3)))
      (i32.sub (global.get $heap) (local.get 3)))
    (func $text (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.const 16))
    (func (export "init") (result i32) (call $text (i32.const 0) (i32.const 4)))
    (func (export "handle") (param i32 i32 i32 i32) (result i32)
      (call $text (local.get 0) (local.get 1)))
    (func (export "message-contract") (param i32 i32 i32 i32) (result i32) (i32.const 1))
    (func (export "state-contract") (param i32 i32) (result i32) (i32.const 1)))
  (core instance $actor (instantiate $actor))
  (alias core export $actor "memory" (core memory $memory))
  (alias core export $actor "realloc" (core func $realloc))
  (func (export "init") (result string)
    (canon lift (core func $actor "init") (memory $memory) (realloc $realloc)))
  (func (export "handle") (param "msg" string) (param "state" string) (result string)
    (canon lift (core func $actor "handle") (memory $memory) (realloc $realloc)))
  (func (export "message-contract") (param "msg" string) (param "state" string) (result bool)
    (canon lift (core func $actor "message-contract") (memory $memory) (realloc $realloc)))
  (func (export "state-contract") (param "state" string) (result bool)
    (canon lift (core func $actor "state-contract") (memory $memory) (realloc $realloc))))"#;
    let mut component = wat::parse_str(text).unwrap();
    component.extend([0, 3, 1, b'v', n]);
    component
}

/// Stages and activates a version of the program of all actors here.
async fn deploy(realm: &Realm, n: u8) -> Hash {
    let image = realm.core.blobs.put(&component(n)).unwrap();
    run(realm, stage("last", &image)).await;
    run(realm, activate("last", &image)).await;
    image
}

/// The actor `a`, without a message.
async fn spawn(realm: &Realm) {
    deploy(realm, 1).await;
    run(realm, actor::spawn("a", "last")).await;
}

fn at(at_us: u64, message: &str) -> v1::Instruction {
    let (actor, timer, message) = ("a".into(), "t".into(), message.into());
    actor::send_at(&v1::ActorSendAt { actor, timer, at_us, message })
}

fn every(period_us: u64) -> v1::Instruction {
    let (actor, timer) = ("a".into(), "t".into());
    let message = b"1".to_vec();
    actor::send_every(&v1::ActorSendEvery { actor, timer, first_us: 0, period_us, message })
}

fn info(realm: &Realm) -> v1::ActorInfo {
    realm.core.machine.actor(&realm.core.store.view(), "a").unwrap()
}

fn state(realm: &Realm) -> String {
    let found = realm.core.machine.actor_state(&realm.core.store.view(), "a", None).unwrap();
    String::from_utf8(found.state.unwrap().to_vec()).unwrap()
}

fn active(realm: &Realm) -> Vec<u8> {
    let program = realm.core.machine.program(&realm.core.store.view(), "last").unwrap();
    program.unwrap().active.unwrap().image
}

/// Ticks in the log of a node, and the topics of what they emitted.
async fn ticks(realm: &Realm) -> (usize, Vec<String>) {
    let entries = realm.entries(1, 10_000, usize::MAX).await.unwrap();
    let shown: Vec<_> = entries.iter().map(|entry| show_entry(entry).unwrap()).collect();
    let ticks = shown.into_iter().filter(|shown| shown.kind == "tick");
    let (mut count, mut topics) = (0, Vec::new());
    for tick in ticks {
        count += 1;
        topics.extend(tick.outcome.into_iter().flat_map(|o| o.events).map(|event| event.topic));
    }
    (count, topics)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_comes_when_something_is_due_and_no_other() {
    let dir = TempDir::new().unwrap();
    let realm = realm(dir.path()).await;
    spawn(&realm).await;
    // What an entry can deliver itself needs none.
    run(&realm, actor::send("a", "1")).await;
    assert_eq!(state(&realm), "1");
    run(&realm, at(u64::MAX, "2")).await;
    run(&realm, actor::cancel("a", "t")).await;
    assert_eq!(ticks(&realm).await.0, 0);
    run(&realm, at(1, "3")).await;
    until("a message of a timer", async || state(&realm) == "3").await;
    let applied = || realm.core.store.view().applied().index;
    let before = applied();
    run(&realm, sys::put("/k", "1")).await;
    assert_eq!((ticks(&realm).await.0, applied()), (1, before + 1));
    run(&realm, at(u64::MAX, "2")).await;
    let actors = realm.status().unwrap().actors.unwrap();
    assert_eq!((actors.total, actors.timers, actors.waiting, actors.ready), (1, 1, 0, 0));
    end(realm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_go_on_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let first = realm(dir.path()).await;
    spawn(&first).await;
    run(&first, every(200_000)).await;
    until("a first message", async || state(&first) == "1").await;
    end(first).await;
    let realm = Realm::open(options(dir.path())).await.unwrap();
    let before = info(&realm).step;
    until("another message", async || info(&realm).step > before).await;
    end(realm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_get_through_beside_a_steady_load() {
    let dir = TempDir::new().unwrap();
    let realm = realm(dir.path()).await;
    spawn(&realm).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let load = |n: u8| {
        let (realm, is_over) = (Arc::clone(&realm), Arc::clone(&is_over));
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                run(&realm, sys::put(format!("/{n}"), "1")).await;
            }
        })
    };
    let loads: Vec<_> = (0..8).map(load).collect();
    run(&realm, every(100_000)).await;
    until("five messages", async || info(&realm).step > 5).await;
    is_over.store(true, Ordering::Relaxed);
    for load in loads {
        load.await.unwrap();
    }
    end(realm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_proposed_while_the_disk_is_low() {
    let dir = TempDir::new().unwrap();
    let first = realm(dir.path()).await;
    spawn(&first).await;
    end(first).await;
    let low = Options { disk_low_water_bytes: u64::MAX, ..options(dir.path()) };
    let realm = Realm::open(low).await.unwrap();
    until("a look at the disk", async || realm.core.check_disk().is_err()).await;
    assert_eq!(realm.core.tick().await.unwrap_err().kind, Kind::Exhausted);
    end(realm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_comes_to_its_end_and_is_told() {
    let dir = TempDir::new().unwrap();
    let realm = realm(dir.path()).await;
    spawn(&realm).await;
    let next = deploy(&realm, 2).await;
    until("the next version", async || active(&realm) == next.0).await;
    until("the end of the upgrade", async || info(&realm).generation == 1).await;
    assert_eq!(ticks(&realm).await.1, ["program.activated"]);
    run(&realm, actor::request("a", "2")).await;
    assert_eq!(state(&realm), "2");
    end(realm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leads_next_goes_on() {
    let Three { dir: _dir, first, second, third } = Three::new().await;
    spawn(&first).await;
    run(&first, every(200_000)).await;
    until("a first message", async || state(&first) == "1").await;
    let leader = first.standing().unwrap().leader.unwrap();
    let nodes = [first, second, third].into_iter();
    let (leads, others): (Vec<_>, Vec<_>) = nodes.partition(|node| node.core.cluster.me == leader);
    for node in leads {
        end(node).await;
    }
    let before = info(&others[0]).step;
    for node in &others {
        // Each runs the same ticks; one of the two proposes them.
        until("messages under the next leader", async || info(node).step > before + 1).await;
    }
    for node in others {
        end(node).await;
    }
}
