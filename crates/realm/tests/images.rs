//! Images are compiled off every thread that somebody waits for, once, and before they are needed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Hash, Kind};
use althing_realm::Realm;
use common::{DONE, World, contract, options};
use futures::future::join_all;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

async fn status(world: &World, image: &Hash) -> Value {
    let input = json!({"image": image.to_string()});
    world.call("query:image.status.v1", input).await.unwrap()
}

/// Prepares `component` and waits until it is known what became of it.
async fn prepared(world: &World, component: &[u8]) -> (Hash, Value) {
    let image = world.realm.blobs().put(component).unwrap();
    assert_eq!(status(world, &image).await["state"], "present");
    let input = json!({"image": image.to_string()});
    world.call("action:image.prepare.v1", input).await.unwrap();
    loop {
        let status = status(world, &image).await;
        if status["state"] != "compiling" {
            return (image, status);
        }
        tokio::task::yield_now().await;
    }
}

fn compiled(world: &World) -> Vec<PathBuf> {
    let files = fs::read_dir(world.dir.path().join("realm/cache")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn preparing_ends_with_an_image_or_a_reason() {
    let world = World::new().await;
    let (_, ready) = prepared(&world, &contract(DONE, DONE)).await;
    assert_eq!(ready["state"], "ready");
    let (image, refused) = prepared(&world, b"no component").await;
    assert_eq!(refused["state"], "refused");
    assert!(refused["reason"].as_str().unwrap().contains("WebAssembly"), "{refused}");
    // It stays refused: nothing is tried twice.
    let input = json!({"image": image.to_string()});
    let again = world.call("action:image.prepare.v1", input).await.unwrap();
    assert_eq!(again["state"], "refused");

    let absent = Hash([9; 32]);
    assert_eq!(status(&world, &absent).await["state"], "absent");
    let input = json!({"image": absent.to_string()});
    let error = world.call("action:image.prepare.v1", input).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    let error = world.call("query:image.status.v1", json!({"image": "abc"})).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_want_one_image_compile_it_once() {
    let world = World::new().await;
    let component = contract(DONE, DONE);
    let image = world.realm.blobs().put(&component).unwrap();
    let input = || json!({"image": image.to_string()});
    let wants = (0..50).map(|_| world.call("action:image.prepare.v1", input()));
    for want in join_all(wants).await {
        assert!(["compiling", "ready"].contains(&want.unwrap()["state"].as_str().unwrap()));
    }
    world.deploy("p", &component).await;
    let guests = world.realm.status().unwrap().guests;
    assert_eq!((guests.images_ready, guests.images_preparing), (1, 0));
    assert_eq!(compiled(&world).len(), 1);
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_ready_soon_after_a_start() {
    for keeps_cache in [true, false] {
        let world = World::new().await;
        world.deploy("p", &contract(DONE, DONE)).await;
        let World { dir, founder, realm } = world;
        realm.shutdown().await.unwrap();
        drop(realm);
        if !keeps_cache {
            fs::remove_dir_all(dir.path().join("realm/cache")).unwrap();
        }
        let world = World { realm: Realm::open(options(&dir)).await.unwrap(), dir, founder };
        while world.realm.images_unprepared() > 0 {
            tokio::task::yield_now().await;
        }
        // Nobody has called it yet.
        assert_eq!(world.realm.status().unwrap().guests.images_ready, 1);
        assert_eq!(compiled(&world).len(), 1);
        world.realm.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_gone_is_said_and_stops_nothing_before_it_is_called() {
    let world = World::new().await;
    let component = contract(DONE, DONE);
    world.deploy("p", &component).await;
    let World { dir, founder, realm } = world;
    realm.shutdown().await.unwrap();
    drop(realm);
    fs::remove_dir_all(dir.path().join("realm/cache")).unwrap();
    fs::remove_dir_all(dir.path().join("realm/blobs")).unwrap();
    let world = World { realm: Realm::open(options(&dir)).await.unwrap(), dir, founder };
    while world.realm.images_unprepared() > 0 {
        tokio::task::yield_now().await;
    }
    let gone = status(&world, &Hash::of(&component)).await;
    assert_eq!(gone["state"], "absent");
    assert!(gone["reason"].as_str().unwrap().contains("upload it again"), "{gone}");
    assert_eq!(world.realm.stopped(), None);
    world.realm.shutdown().await.unwrap();
}
