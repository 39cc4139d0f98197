#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Options, Realm,
    testing::{self, activate, component, key, options, stage},
};
use althing_protocol::sys;
use std::{fs, fs::File, time::SystemTime};

/// Makes every blob old, and waits until the state on disk is that of now.
async fn age(realm: &Realm) {
    let long_ago = SystemTime::now() - 2 * BLOB_AGE;
    for (hash, _) in realm.core.blobs.list().unwrap() {
        let hash = hash.to_string();
        let path = realm.core.options.dir.join("blobs/whole").join(&hash[..2]).join(&hash);
        File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let store = &realm.core.store;
    while store.durable().index < store.view().applied().index {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The blobs that are left when the log begins with entry `first_kept`.
async fn left(realm: &Realm, first_kept: u64) -> BTreeSet<Hash> {
    age(realm).await;
    remove_files(Arc::clone(&realm.core), first_kept).await.unwrap();
    realm.core.blobs.list().unwrap().into_iter().map(|(hash, _)| hash).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_stays_while_a_program_or_an_entry_of_the_log_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { state_flush_idle_ms: 1, ..options(&dir.path().join("realm")) };
    testing::realm(&options.dir).await.shutdown().await.unwrap();
    let realm = Realm::open(options.clone()).await.unwrap();
    let upload = |n| realm.core.blobs.put(&component(n)).unwrap();
    let [kept, active, staged, passing, _stray] = [1, 2, 3, 4, 5].map(upload);
    let first = vec![
        stage("p", &kept),
        activate("p", &kept),
        stage("p", &active),
        activate("p", &active),
        // It comes and goes before anybody looks.
        stage("p", &passing),
        stage("p", &staged),
    ];
    realm.submit_as(&key(1), first).await.unwrap();
    let all = BTreeSet::from([kept, active, staged, passing]);
    assert_eq!(left(&realm, realm.log.first_kept().unwrap()).await, all);

    // No program has any; the entries that asked for them are in the log.
    realm.submit_as(&key(1), vec![sys::disable("p"), sys::remove("p")]).await.unwrap();
    assert_eq!(left(&realm, realm.log.first_kept().unwrap()).await, all);
    realm.shutdown().await.unwrap();
    drop(realm);
    let realm = Realm::open(options).await.unwrap();
    assert_eq!(left(&realm, realm.log.first_kept().unwrap()).await, all);
    let next = *realm.core.applied.borrow() + 1;
    assert_eq!(left(&realm, next).await, BTreeSet::new(), "the log begins behind them");
    realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_nobody_goes_on_sending_goes_while_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let realm = testing::realm(&dir.path().join("realm")).await;
    let received = realm.core.options.dir.join("transfer/in");
    fs::create_dir_all(&received).unwrap();
    let [old, young] = ["old.part", "young.part"].map(|name| received.join(name));
    for path in [&old, &young] {
        fs::write(path, "a part").unwrap();
    }
    let long_ago = SystemTime::now() - 10 * FILES_TICK * 24;
    File::options().append(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    let receiving = realm.core.cluster.receiving.lock().await;
    remove_files(Arc::clone(&realm.core), 0).await.unwrap();
    assert!(old.exists(), "one is being received");
    drop(receiving);
    remove_files(Arc::clone(&realm.core), 0).await.unwrap();
    assert_eq!((old.exists(), young.exists()), (false, true));
    realm.shutdown().await.unwrap();
}
