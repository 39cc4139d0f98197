//! Queries of guests do not take what apply needs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_operations::{Authority, Caller, Context, Freshness, Need, Registry};
use althing_protocol::{Kind, Result, SecretKey, sys, v1};
use althing_realm::{Options, Realm};
use common::{World, options, output};
use futures::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use std::sync::Arc;

/// The founder, at an operation.
struct Founder(Arc<Realm>, SecretKey);

impl Authority for Founder {
    fn allow(&self, caller: &Caller, need: &Need) -> Result<()> {
        self.0.allow(&caller.key, need)
    }

    fn submit<'a>(
        &'a self,
        _: &'a Caller,
        instructions: Vec<v1::Instruction>,
    ) -> BoxFuture<'a, Result<Vec<v1::Outcome>>> {
        Box::pin(self.0.submit_as(&self.1, instructions))
    }
}

fn counter() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests/counter.wasm");
    std::fs::read(path).expect("target/guests/counter.wasm is missing: run `cargo xtask guests`")
}

async fn deploy(world: &World) {
    let image = world.realm.blobs().put(&counter()).unwrap().0.to_vec();
    let manifest = Some(v1::Manifest::default());
    let stage = v1::Stage { program: "counter".into(), image: image.clone(), manifest };
    output(&world.run(sys::stage(&stage)).await);
    let activate = v1::Activate { program: "counter".into(), image };
    output(&world.run(sys::activate(&activate)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_queries_leaves_an_instance_for_apply() {
    let World { dir, founder, realm } = World::new().await;
    realm.shutdown().await.unwrap();
    drop(realm);
    let few = Options { guest_instances_max: 3, ..options(&dir) };
    let world = World { realm: Realm::open(few).await.unwrap(), dir, founder };
    deploy(&world).await;
    let registry = Registry::new(world.realm.operations()).unwrap();
    let caller = Caller { key: world.founder.public(), name: "founder".into() };
    let authority: Arc<dyn Authority> =
        Arc::new(Founder(Arc::clone(&world.realm), world.founder.clone()));
    let dispatch = |name: &'static str, input: Value| {
        let context = Context {
            caller: caller.clone(),
            read: Freshness::Local,
            authority: Arc::clone(&authority),
        };
        registry.dispatch(context, name, input)
    };
    let asked = (0..100).map(|_| {
        dispatch("query:program.query.v1", json!({"program": "counter", "method": "value"}))
    });
    let called = (0..20).map(|_| {
        dispatch("action:program.call.v1", json!({"program": "counter", "method": "increment"}))
    });
    let (asked, called) = futures::join!(join_all(asked), join_all(called));
    for result in asked.into_iter().chain(called) {
        result.unwrap();
    }
    assert_eq!(world.realm.stopped(), None);
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_instances_are_refused() {
    let World { dir, realm, .. } = World::new().await;
    realm.shutdown().await.unwrap();
    drop(realm);
    let none = Options { guest_instances_max: 2, ..options(&dir) };
    let error = Realm::open(none).await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("at least 3")), (Kind::Invalid, true));
}
