#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    Realm,
    images::ImageState,
    testing::{
        self, activate, component, key, put, run, stage,
        three::{Three, until},
    },
};
use althing_protocol::{Kind, sys};
use std::fs;
use tempfile::TempDir;

/// Takes an image from a node, as if its state had come in a snapshot.
fn lose(node: &Realm, hash: &Hash) {
    let (dir, name) = (&node.core.options.dir, hash.to_string());
    // Whatever is compiled is compiled again.
    fs::remove_dir_all(dir.join("cache")).unwrap();
    fs::create_dir(dir.join("cache")).unwrap();
    fs::remove_file(dir.join("blobs/whole").join(&name[..2]).join(&name)).unwrap();
    node.core.images.forget(hash);
}

fn has(node: &Realm, hash: &Hash) -> bool {
    node.core.blobs.size(hash).unwrap().is_some()
}

/// Three nodes with a program that can go back to the first of its two images.
async fn deployed() -> (Three, Vec<u8>, Hash) {
    let three = Three::new().await;
    let before = component(1);
    let [old, new] = [&before, &component(2)].map(|c| three.first.core.blobs.put(c).unwrap());
    for image in [&old, &new] {
        run(&three.first, stage("p", image)).await;
        run(&three.first, activate("p", image)).await;
    }
    let index = *three.first.core.applied.borrow();
    for node in [&three.second, &three.third] {
        node.core.reach(index).await.unwrap();
    }
    (three, before, old)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_programs_can_go_back_to_comes_after_a_snapshot() {
    let (three, _, old) = deployed().await;
    lose(&three.third, &old);
    // As when one is installed: no entry names the image, and nobody asks for it.
    three.third.core.cluster.members_changed.send_replace(());
    until("the image", async || has(&three.third, &old)).await;
    for node in [three.first, three.second, three.third] {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_an_image_that_is_nowhere_holds_nobody_up() {
    let (three, bytes, old) = deployed().await;
    let nodes = [&three.first, &three.second, &three.third];
    nodes.into_iter().for_each(|node| lose(node, &old));
    let rollback =
        || sys::rollback(&v1::Rollback { program: "p".into(), ..v1::Rollback::default() });
    let refused = three.first.submit_as(&key(1), vec![rollback()]).await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotFound, "{refused}");
    put(&three.second, "after", 1).await;

    // One has it: it is on a quorum before it is gone back to.
    three.third.core.blobs.put(&bytes).unwrap();
    run(&three.first, rollback()).await;
    let ready = |node: &&Arc<Realm>| node.core.images.status(&old).state == ImageState::Ready;
    assert!(nodes.into_iter().filter(ready).count() >= 2);
    for node in nodes {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_had_when_it_was_opened_is_looked_at() {
    let dir = TempDir::new().unwrap();
    let realm = testing::realm(&dir.path().join("realm")).await;
    let image = realm.core.blobs.put(&component(1)).unwrap();
    put(&realm, "before", 1).await;
    run(&realm, stage("p", &image)).await;
    put(&realm, "after", 1).await;
    realm.core.images.forget(&image);
    look_at_what_was_there(&realm.core, 1).await.unwrap();
    let state = || realm.core.images.status(&image).state;
    assert!([ImageState::Compiling, ImageState::Ready].contains(&state()), "{:?}", state());
    until("the image is ready", async || state() == ImageState::Ready).await;
    realm.shutdown().await.unwrap();
}
