//! A realm is made, takes writes, ends, and is as it was when it opens again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Kind, sys};
use althing_realm::{Freshness, Realm, VerifyRange};
use common::{World, founding, key, options, output};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let world = World::new().await;
    for n in 0..50_u8 {
        output(&world.run(sys::put(format!("/k/{n:02}"), [n])).await);
    }
    let before = world.realm.status().unwrap();
    let world = world.reopen().await;
    let after = world.realm.status().unwrap();
    assert_eq!(before.entry_chain, after.entry_chain);
    assert_eq!(before.result_chain, after.result_chain);
    assert!(after.index >= before.index, "a new leader adds an entry of its own");
    let list = world.realm.operations();
    assert!(list.iter().any(|op| op.descriptor().name == "query:kv.list.v1"));
    let verified = world.realm.verify(|_, _| {}).await.unwrap();
    assert_eq!(verified.from, VerifyRange::Genesis);
    assert_eq!(verified.signatures, 51, "a session and fifty writes");
    output(&world.run(sys::put("/k/50", "more")).await);
    world.realm.view(Freshness::AtLeast(before.index + 1)).await.unwrap();
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_realm_in_a_directory_is_refused() {
    let world = World::new().await;
    let error = Realm::create(&options(&world.dir), founding(&key(2))).unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    let error = Realm::open(options(&world.dir)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "it is open already: {error}");
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_shutdown_nothing_is_taken() {
    let world = World::new().await;
    let session = world.session(&world.founder, 1).await;
    world.realm.shutdown().await.unwrap();
    let put = world.envelope(&world.founder, session, 1, vec![sys::put("/a", "b")]);
    assert_eq!(world.realm.submit(put).await.unwrap_err().kind, Kind::Unavailable);
    world.realm.shutdown().await.unwrap();
}
