//! Queries of guests do not take what apply needs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Kind, sys};
use althing_realm::{Options, Realm};
use common::{DONE, FOREVER, World, contract, options, output};
use futures::future::join_all;
use serde_json::json;
use std::sync::Arc;

const FEW: u32 = althing_sandbox::limits::RESERVED_INSTANCES + 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_queries_leaves_an_instance_for_apply() {
    let world = World::with(|all| Options { guest_instances_max: FEW, ..all }).await;
    world.deploy("quick", &contract(DONE, DONE)).await;
    let asked = (0..100)
        .map(|_| world.call("query:program.query.v1", json!({"program": "quick", "method": "m"})));
    let called = (0..20)
        .map(|_| world.call("action:program.call.v1", json!({"program": "quick", "method": "m"})));
    let (asked, called) = futures::join!(join_all(asked), join_all(called));
    for result in asked.into_iter().chain(called) {
        result.unwrap();
    }
    assert_eq!(world.realm.stopped(), None);
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_queries_delay_no_write() {
    const WRITES: usize = 50;
    let world = Arc::new(World::new().await);
    world.deploy("slow", &contract(DONE, FOREVER)).await;
    let asked: Vec<_> = (0..64)
        .map(|_| {
            let world = Arc::clone(&world);
            let input = json!({"program": "slow", "method": "m"});
            tokio::spawn(async move { world.call("query:program.query.v1", input).await })
        })
        .collect();
    while world.realm.status().unwrap().guests.queries_waiting == 0 {
        tokio::task::yield_now().await;
    }
    for number in 0..WRITES {
        output(&world.run(sys::put(format!("key-{number}"), "value")).await);
        let call = json!({"program": "slow", "method": "m"});
        world.call("action:program.call.v1", call).await.unwrap();
    }
    let waiting = world.realm.status().unwrap().guests.queries_waiting;
    assert!(waiting > 0, "all were answered before {WRITES} writes were");
    for asked in asked {
        // All its fuel, or its turn did not come in time.
        assert_eq!(asked.await.unwrap().unwrap_err().kind, Kind::Exhausted);
    }
    assert_eq!(world.realm.stopped(), None);
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_has_the_time_that_the_node_gives() {
    let world = World::with(|all| Options { query_deadline_ms: 20, ..all }).await;
    world.deploy("slow", &contract(DONE, FOREVER)).await;
    let asked = world.call("query:program.query.v1", json!({"program": "slow", "method": "look"}));
    let error = asked.await.unwrap_err();
    assert_eq!(error.kind, Kind::Exhausted);
    for part in ["slow: look", "20 ms", "sandbox.query_deadline_ms"] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_instances_are_refused() {
    let World { dir, realm, .. } = World::new().await;
    realm.shutdown().await.unwrap();
    drop(realm);
    let none = Options { guest_instances_max: FEW - 1, ..options(&dir) };
    let error = Realm::open(none).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains(&format!("use {FEW} or more")), "{error}");
}
