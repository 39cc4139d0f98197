#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Identity, Options, Realm,
    start::Parts,
    testing::{self, activate, component, key, options, run, stage, three::until},
};
use althing_protocol::v1;
use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
};
use tempfile::TempDir;

/// No component: it is refused at once.
const BYTES: &[u8] = b"no component";

/// The images of a node that gets those it has not from `source`.
async fn images(
    dir: &TempDir,
    source: impl Fn(&NodeImages, &Hash) -> Result<()> + Send + Sync + 'static,
) -> Arc<NodeImages> {
    testing::realm(dir.path()).await.shutdown().await.unwrap();
    let images = Parts::open(options(dir.path())).unwrap().core.images;
    let of = Arc::downgrade(&images);
    images.come_from(Box::new(move |hash| source(&of.upgrade().unwrap(), hash)));
    images
}

fn nowhere() -> Result<()> {
    Err(Error::not_found("it is nowhere"))
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_that_joins_a_try_as_it_fails_gets_the_next_one() {
    let dir = TempDir::new().unwrap();
    let tries = AtomicU32::new(0);
    let images = images(&dir, move |images, hash| {
        if tries.fetch_add(1, Ordering::Relaxed) == 0 {
            // The try is for nobody who must have it; apply joins it, and has not begun to wait.
            images.enqueue(hash, true).unwrap();
            return nowhere();
        }
        images.blobs.put(BYTES).unwrap();
        Ok(())
    })
    .await;
    let hash = Hash::of(BYTES);
    let refused = images.load(&hash, false).unwrap().map(|_| ()).unwrap_err();
    assert!(refused.message.contains("WebAssembly"), "{refused}");
    images.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_apply_waits_for_an_image_that_is_nowhere() {
    let dir = TempDir::new().unwrap();
    let images = images(&dir, |_, _| nowhere()).await;
    let hash = Hash::of(BYTES);
    // As a query asks: an answer is better than none, and the node can lead all the same.
    let halt = images.image(&hash).map(|_| ()).unwrap_err();
    assert!(halt.to_string().contains("it is nowhere"), "{halt}");
    assert_eq!(images.waits_for(), None);
    let waiting = Arc::clone(&images);
    let apply = thread::spawn(move || {
        waiting.apply_is_here();
        waiting.image(&hash).map(|_| ())
    });
    until("apply waits", async || images.waits_for().is_some()).await;
    images.close();
    let halt = apply.join().unwrap().unwrap_err();
    assert!(halt.to_string().contains("the realm ends"), "{halt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_apply_waits_for_an_image_can_be_stopped() {
    let dir = TempDir::new().unwrap();
    let realm = testing::realm(dir.path()).await;
    let image = realm.core.blobs.put(&component(1)).unwrap();
    run(&realm, stage("p", &image)).await;
    run(&realm, activate("p", &image)).await;
    realm.shutdown().await.unwrap();
    drop(realm);
    // One that others could have: it waits instead of stopping.
    let identity =
        Identity { key: key(200), listen: None, address: String::new(), labels: Vec::new() };
    let options = Options { identity: Some(identity), ..options(dir.path()) };
    fs::remove_dir_all(dir.path().join("cache")).unwrap();
    let (blobs, away) = (dir.path().join("blobs"), dir.path().join("away"));
    fs::rename(&blobs, &away).unwrap();
    let realm = Realm::open(options.clone()).await.unwrap();
    let increment = || v1::Instruction::new("p", "increment", br#"{"by": 2}"#.to_vec());
    let caller = Arc::clone(&realm);
    let call = tokio::spawn(async move { caller.submit_as(&key(1), vec![increment()]).await });
    until("apply waits", async || realm.core.images.waits_for().is_some()).await;
    realm.shutdown().await.unwrap();
    call.await.unwrap().unwrap_err();
    drop(realm);

    // The entry is in the log, and is run when the image is there.
    fs::remove_dir_all(&blobs).unwrap();
    fs::rename(&away, &blobs).unwrap();
    let realm = Realm::open(options).await.unwrap();
    let outcome = realm.submit_as(&key(1), vec![increment()]).await.unwrap().remove(0);
    let Some(v1::outcome::Result::Output(output)) = outcome.result else { panic!("{outcome:?}") };
    assert!(String::from_utf8_lossy(&output).contains('4'), "{output:?}");
    realm.shutdown().await.unwrap();
}
