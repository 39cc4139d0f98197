//! The log is cut behind a checkpoint, and can still be verified from there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{limits::CHECKPOINT_INTERVAL, sys};
use althing_realm::{Options, Realm, VerifyRange};
use common::{World, options};
use futures::{StreamExt, stream};
use std::time::{Duration, Instant};

/// As many as a session's window lets be in flight.
const IN_FLIGHT: usize = 512;
const DEADLINE: Duration = Duration::from_secs(60);

/// Writes until the realm has applied `index`.
async fn write_to(world: &World, session: u64, first: u64, index: u64) -> u64 {
    let at = world.realm.status().unwrap().index;
    let end = first + index.saturating_sub(at);
    let writes = stream::iter(first..end).map(|n| {
        let put = world.envelope(&world.founder, session, n, vec![sys::put("/k", n.to_be_bytes())]);
        world.realm.submit(put)
    });
    let answered = writes.buffered(IN_FLIGHT);
    answered.for_each(|result| async { drop(result.unwrap()) }).await;
    end
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_verified_from_the_oldest_checkpoint() {
    let World { dir, founder, realm } = World::new().await;
    realm.shutdown().await.unwrap();
    drop(realm);
    let short = Options { log_entries_keep: 100, ..options(&dir) };
    let world = World { realm: Realm::open(short).await.unwrap(), dir, founder };
    let session = world.session(&world.founder, 1).await;
    let next = write_to(&world, session, 1, CHECKPOINT_INTERVAL + 200).await;

    let begun = Instant::now();
    while world.realm.first_kept().unwrap() == 0 {
        assert!(begun.elapsed() < DEADLINE, "the log was not cut");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.realm.first_kept().unwrap(), CHECKPOINT_INTERVAL + 1);
    let error = world.realm.entries(1, 1, 1_000).await.unwrap_err();
    assert!(error.message.contains(&format!("{}", CHECKPOINT_INTERVAL + 1)), "{error}");

    write_to(&world, session, next, CHECKPOINT_INTERVAL + 300).await;
    let check = |realm: std::sync::Arc<Realm>| async move {
        let verified = realm.verify(|_, _| {}).await.unwrap();
        assert_eq!(verified.from, VerifyRange::Checkpoint(CHECKPOINT_INTERVAL));
        assert_eq!(verified.checkpoints, 1, "the checkpoint's own entry agrees");
    };
    check(std::sync::Arc::clone(&world.realm)).await;
    let world = world.reopen().await;
    check(std::sync::Arc::clone(&world.realm)).await;
    world.realm.shutdown().await.unwrap();
}
