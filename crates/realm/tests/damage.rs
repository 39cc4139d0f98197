//! Data directories that are not as they should be: found, named, not served.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::sys;
use althing_realm::Realm;
use common::{World, options, output};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A realm with twenty entries, closed.
async fn written() -> TempDir {
    let world = World::new().await;
    for n in 0..20_u8 {
        output(&world.run(sys::put(format!("/k/{n}"), vec![n; 300])).await);
    }
    world.realm.shutdown().await.unwrap();
    world.dir
}

fn realm_dir(dir: &TempDir) -> PathBuf {
    dir.path().join("realm")
}

/// Opening fails, and says all these words.
async fn refused(dir: &TempDir, words: &[&str]) {
    let error = Realm::open(options(dir)).await.unwrap_err();
    for word in words {
        assert!(error.message.contains(word), "wants {word:?} in: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_log() {
    let dir = written().await;
    let segments = fs::read_dir(realm_dir(&dir).join("log/wal")).unwrap();
    let damaged = segments.map(|file| file.unwrap().path()).any(|path| {
        let mut bytes = fs::read(&path).unwrap();
        let Some(at) = bytes.windows(5).position(|w| w == b"/k/10") else { return false };
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        true
    });
    assert!(damaged);
    refused(&dir, &["wal", "byte"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_gone() {
    let dir = written().await;
    fs::remove_dir_all(realm_dir(&dir).join("log")).unwrap();
    refused(&dir, &["log"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_older_than_the_log_is_replayed_and_newer_is_refused() {
    let dir = written().await;
    let log = realm_dir(&dir).join("log");
    let state = realm_dir(&dir).join("state.redb");
    let old = TempDir::new().unwrap();
    copy(&log, &old.path().join("log"));
    fs::copy(&state, old.path().join("state.redb")).unwrap();
    let realm = Realm::open(options(&dir)).await.unwrap();
    realm.submit_as(&common::key(1), vec![sys::put("/later", "x")]).await.unwrap();
    let before = realm.status().unwrap();
    realm.shutdown().await.unwrap();
    drop(realm);
    // The state is a cache of the log.
    fs::copy(old.path().join("state.redb"), &state).unwrap();
    let realm = Realm::open(options(&dir)).await.unwrap();
    let verified = realm.verify(|_, _| {}).await.unwrap();
    assert_eq!(verified.entry_chain, before.entry_chain);
    assert_eq!(verified.result_chain, before.result_chain, "the same outcomes again");
    realm.shutdown().await.unwrap();
    drop(realm);
    // A log that lost what was acknowledged must not be believed.
    fs::remove_dir_all(&log).unwrap();
    copy(&old.path().join("log"), &log);
    refused(&dir, &["log", "snapshot"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_another_realm() {
    let (dir, other) = (written().await, written().await);
    fs::copy(realm_dir(&other).join("state.redb"), realm_dir(&dir).join("state.redb")).unwrap();
    refused(&dir, &["holds realm", "this state is of realm"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version() {
    let dir = written().await;
    let id = realm_dir(&dir).join("id");
    let text = fs::read_to_string(&id).unwrap();
    fs::write(&id, text.replace("realm 1", "realm 2")).unwrap();
    refused(&dir, &["althing realm 2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_state() {
    let dir = written().await;
    let path = realm_dir(&dir).join("state.redb");
    let mut bytes = fs::read(&path).unwrap();
    let value = [11_u8; 300];
    let at = bytes.windows(300).rposition(|w| w == value).unwrap();
    bytes[at + 7] ^= 1;
    fs::write(&path, bytes).unwrap();
    let realm = match Realm::open(options(&dir)).await {
        Err(error) => return assert!(error.message.contains("state"), "{error}"),
        Ok(realm) => realm,
    };
    let error = realm.verify(|_, _| {}).await.unwrap_err();
    assert!(error.message.contains("state on disk"), "{error}");
    realm.shutdown().await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}
