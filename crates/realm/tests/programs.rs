//! Programs over the life of a realm: what a snapshot brings back, what operations show.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_operations::{Authority, Caller, Context, Freshness, Need, Registry};
use althing_protocol::{Hash, ImageClaim, Result, SecretKey, sys, v1};
use althing_realm::{Options, Realm};
use common::{World, key, output};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

/// The same code with a custom section is another image.
fn upload(world: &World, n: u8) -> Hash {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests/counter.wasm");
    let component = std::fs::read(path);
    let mut component = component.expect("counter.wasm is missing: run `cargo xtask guests`");
    component.extend([0, 3, 1, b'v', n]);
    world.realm.blobs().put(&component).unwrap()
}

async fn deploy(world: &World, n: u8, publisher: Option<&SecretKey>) -> Hash {
    let image = upload(world, n);
    let version = n.to_string();
    let claim = ImageClaim { program: "counter", image: &image, version: &version };
    let signature = publisher.map(|key| claim.sign(key));
    let manifest = Some(v1::Manifest { version: version.clone(), ..v1::Manifest::default() });
    let (program, bytes) = ("counter".to_owned(), image.0.to_vec());
    let stage = v1::Stage { program: program.clone(), image: bytes.clone(), manifest, signature };
    output(&world.run(sys::stage(&stage)).await);
    output(&world.run(sys::activate(&v1::Activate { program, image: bytes })).await);
    image
}

/// Whoever asks may.
struct Anybody;

impl Authority for Anybody {
    fn allow(&self, _: &Caller, _: &Need) -> Result<()> {
        Ok(())
    }

    fn submit<'a>(
        &'a self,
        _: &'a Caller,
        _: Vec<v1::Instruction>,
    ) -> BoxFuture<'a, Result<Vec<v1::Outcome>>> {
        unreachable!("only queries are asked")
    }
}

async fn ask(realm: &Arc<Realm>, name: &str, input: Value) -> Result<Value> {
    let registry = Registry::new(realm.operations()).unwrap();
    let caller = Caller { key: key(9).public(), name: "somebody".into() };
    let context = Context { caller, read: Freshness::Linearizable, authority: Arc::new(Anybody) };
    registry.dispatch(context, name, input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_realm_can_be_rolled_back() {
    let world = World::new().await;
    let one = deploy(&world, 1, None).await;
    deploy(&world, 2, None).await;
    let file = world.dir.path().join("file.snapshot");
    world.realm.save_snapshot(&file).await.unwrap();
    world.realm.shutdown().await.unwrap();

    let dir = TempDir::new().unwrap();
    let options =
        || Options { disk_low_water_bytes: 0, ..Options::new(dir.path().join("restored")) };
    let replaced = world.dir.path().join("realm");
    Realm::restore(options(), &file, Some(&replaced)).await.unwrap();
    let realm = Realm::open(options()).await.unwrap();
    let rollback = sys::rollback(&v1::Rollback { program: "counter".into(), image: None });
    let call = v1::Instruction::new("counter", "increment", b"{}".to_vec());
    for outcome in realm.submit_as(&world.founder, vec![rollback, call]).await.unwrap() {
        output(&outcome);
    }
    let shown = ask(&realm, "query:program.show.v1", json!({"program": "counter"})).await.unwrap();
    assert_eq!(shown["active"]["image"], one.to_string());
    realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_shown_with_who_manages_it() {
    let world = World::new().await;
    let publisher = key(7);
    let one = deploy(&world, 1, None).await;
    let rules = v1::ProgramRules {
        program: "counter".into(),
        owner: None,
        role: Some("deployer".into()),
        publishers: Some(v1::Publishers { keys: vec![publisher.public().0.to_vec()] }),
    };
    output(&world.run(sys::program_rules(&rules)).await);
    let two = deploy(&world, 2, Some(&publisher)).await;
    output(&world.run(v1::Instruction::new("counter", "increment", b"{}".to_vec())).await);
    let disabled = world.run(sys::disable("counter")).await;

    let input = json!({"program": "counter", "count_keys": true});
    let mut shown = ask(&world.realm, "query:program.show.v1", input).await.unwrap();
    let fields = |info: &Value, fields: [&str; 3]| fields.map(|field| info[field].clone());
    let (two, publisher) = (json!(two.to_string()), json!(publisher.public().to_string()));
    let of_image = ["image", "version", "publisher"];
    assert_eq!(fields(&shown["active"], of_image), [two, json!("2"), publisher.clone()]);
    let (one, founder) = (json!(one.to_string()), json!(world.founder.public().to_string()));
    assert_eq!(fields(&shown["versions"][0], of_image), [one, json!("1"), Value::Null]);
    assert_eq!(
        fields(&shown, ["owner", "role", "publishers"]),
        [founder.clone(), json!("deployer"), json!([publisher])]
    );
    assert_eq!(
        shown["disabled"],
        json!({"index": disabled.index, "key": founder, "removing": false})
    );
    assert_eq!((&shown["keys"], &shown["keys_more"]), (&json!(1), &json!(false)));

    let list = ask(&world.realm, "query:program.list.v1", json!({})).await.unwrap();
    let counted = shown.as_object_mut().unwrap();
    counted.retain(|field, _| !field.starts_with("keys"));
    assert_eq!(list["programs"], json!([shown]));
    let missing = ask(&world.realm, "query:program.show.v1", json!({"program": "none"})).await;
    assert!(missing.unwrap_err().message.contains("althing programs"));
    world.realm.shutdown().await.unwrap();
}
