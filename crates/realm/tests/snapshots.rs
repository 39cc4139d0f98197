//! Snapshots: saved from a running realm, restored into an empty directory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Kind, sys};
use althing_realm::{Freshness, Options, Realm, VerifyRange};
use common::{World, output};
use std::fs;
use tempfile::TempDir;

async fn saved() -> (World, std::path::PathBuf) {
    let world = World::new().await;
    for n in 0..30_u8 {
        output(&world.run(sys::put(format!("/k/{n}"), [n])).await);
    }
    let file = world.dir.path().join("file.snapshot");
    world.realm.save_snapshot(&file).await.unwrap();
    (world, file)
}

fn options(dir: &TempDir) -> Options {
    Options { disk_low_water_bytes: 0, ..Options::new(dir.path().join("copy")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_realm_is_the_same_and_goes_on() {
    let (world, file) = saved().await;
    let before = world.realm.status().unwrap();
    output(&world.run(sys::put("/late", "x")).await);
    world.realm.shutdown().await.unwrap();

    let dir = TempDir::new().unwrap();
    let restored = Realm::restore(options(&dir), &file, None).await.unwrap();
    assert_eq!((restored.realm, restored.index), (before.realm, before.index));
    for _ in 0..2 {
        let realm = Realm::open(options(&dir)).await.unwrap();
        let view = realm.view(Freshness::Linearizable).await.unwrap();
        assert!(view.get(&althing_state::Key::new("sys", b"/k/29")).unwrap().is_some());
        assert!(view.get(&althing_state::Key::new("sys", b"/late")).unwrap().is_none());
        drop(view);
        realm.submit_as(&world.founder, vec![sys::put("/new", "y")]).await.unwrap();
        let verified = realm.verify(|_, _| {}).await.unwrap();
        assert_eq!(verified.from, VerifyRange::Checkpoint(before.index));
        realm.shutdown().await.unwrap();
        drop(realm);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_snapshot_makes_no_realm() {
    let (world, file) = saved().await;
    world.realm.shutdown().await.unwrap();
    let bytes = fs::read(&file).unwrap();
    for (at, cut) in [(bytes.len() / 2, false), (bytes.len() - 1, true), (3, false)] {
        let mut broken = bytes.clone();
        match cut {
            true => broken.truncate(at),
            false => broken[at] ^= 1,
        }
        fs::write(&file, broken).unwrap();
        let dir = TempDir::new().unwrap();
        let error = Realm::restore(options(&dir), &file, None).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
        assert_eq!(Realm::open(options(&dir)).await.unwrap_err().kind, Kind::NotFound);
    }
}
