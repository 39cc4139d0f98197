//! What is kept beside the state: results until they are pruned, checkpoints, blobs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::Hash;
use althing_state::{CheckpointValues, Options, Store};
use common::disk::Disk;

fn checkpoint(index: u64) -> CheckpointValues {
    let hash = |n: u64| Hash::of(&(index + n).to_le_bytes());
    CheckpointValues { index, entry_chain: hash(1), result_chain: hash(2), state_hash: hash(3) }
}

#[test]
fn checkpoints_and_blobs_survive_a_restart() {
    let disk = Disk::default();
    let options = Options::default();
    let store =
        Store::create_with_backend(disk.clone(), common::GENESIS, Default::default(), &options)
            .unwrap();
    assert_eq!(store.checkpoint_last().unwrap(), None);
    assert_eq!(store.meta_get("vote").unwrap(), None);
    for index in [10, 30, 20] {
        store.checkpoint_put(&checkpoint(index)).unwrap();
    }
    store.meta_put("vote", b"one").unwrap();
    store.meta_put("vote", b"two").unwrap();
    store.checkpoints_prune(20).unwrap();
    drop(store);

    let store = Store::open_with_backend(Disk::of(disk.image()), &options).unwrap();
    assert_eq!(store.genesis().as_ref(), common::GENESIS);
    assert_eq!(store.checkpoint_get(10).unwrap(), None);
    assert_eq!(store.checkpoint_get(20).unwrap(), Some(checkpoint(20)));
    assert_eq!(store.checkpoint_last().unwrap(), Some(checkpoint(30)));
    assert_eq!(store.meta_get("vote").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(store.check().unwrap().checkpoints, 2);
}

#[test]
fn results_below_the_floor_go_with_the_next_flush() {
    let store = common::memory(Default::default());
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    for _ in 0..10 {
        common::entry(&mut tip, &[]);
    }
    assert!(tip.freeze());
    flusher.flush().unwrap();
    assert_eq!(store.result(1).unwrap(), Some(common::result(1)));

    for _ in 0..10 {
        common::entry(&mut tip, &[]);
    }
    store.prune_results(14);
    store.prune_results(5);
    assert!(tip.freeze());
    flusher.flush().unwrap();
    let kept: Vec<u64> = (0..25).filter(|i| store.result(*i).unwrap().is_some()).collect();
    assert_eq!(kept, (14..=20).collect::<Vec<_>>());
}
