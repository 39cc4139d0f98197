//! The power goes at any moment: the store is at a boundary that was flushed, or being flushed, or
//! at the snapshot that was taking its place.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_state::{
    Options, Store, Writes,
    snapshot::{check, write},
};
use common::{Model, Numbers, disk::Disk};

const KEYSPACES: [&str; 2] = ["a", "a.b"];

/// A boundary: how far, and what the state is there.
type Boundary = (u64, Model);

fn initial() -> (Writes, Model) {
    let mut writes = Writes::new();
    let mut model = Model::new();
    for i in 0..20_u8 {
        let key = common::Numbers(u64::from(i)).below(30);
        let key = althing_state::Key::new("a", format!("key {key}").as_bytes());
        writes.put(key.clone(), [i; 100]);
        model.insert(key, vec![i; 100]);
    }
    (writes, model)
}

/// Applies and flushes until the disk fails. Gives the boundaries that may be found after that.
fn run(store: &Store, start: Boundary, numbers: &mut Numbers) -> Vec<Boundary> {
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    let (mut index, mut model) = start.clone();
    let mut durable = start;
    loop {
        for _ in 0..=numbers.below(4) {
            let writes = common::random_writes(numbers);
            common::entry(&mut tip, &writes);
            common::apply_to_model(&mut model, &writes);
            index += 1;
        }
        assert!(tip.freeze());
        if flusher.flush().is_err() {
            return vec![durable, (index, model)];
        }
        durable = (index, model.clone());
    }
}

fn assert_found(store: &Store, possible: &[Boundary]) -> Boundary {
    let index = store.durable().index;
    let found = possible.iter().find(|(at, _)| *at == index);
    let found = found.unwrap_or_else(|| {
        panic!("at {index}, wants one of {:?}", possible.iter().map(|b| b.0).collect::<Vec<_>>())
    });
    assert_eq!(store.durable(), common::applied(index));
    common::assert_holds(&store.view(), &found.1, &KEYSPACES);
    assert_eq!(store.state_hash_durable(), common::hash_from_scratch(&found.1));
    store.check().unwrap();
    for at in 1..=index {
        assert_eq!(store.result(at).unwrap(), Some(common::result(at)));
    }
    assert_eq!(store.result(index + 1).unwrap(), None);
    found.clone()
}

/// Loses power up to `losses` times on one disk, each after at most `operations` operations.
fn survive(seed: u64, losses: u64, operations: u64) -> u64 {
    let mut numbers = Numbers(seed);
    let options = Options { cache_bytes: 1 << 16, ..Options::default() };
    let disk = Disk::default();
    let (writes, model) = initial();
    let store =
        Store::create_with_backend(disk.clone(), common::GENESIS, writes, &options).unwrap();
    let mut disk = disk;
    let mut store = store;
    let mut at = (0, model);
    for _ in 0..losses {
        disk.lose_power_after(1 + numbers.below(operations));
        let possible = run(&store, at, &mut numbers);
        drop(store);
        disk = Disk::of(disk.image_after_power_loss(&mut numbers));
        if numbers.below(2) == 0 {
            // And once more, while the store recovers.
            disk.lose_power_after(numbers.below(12));
            drop(Store::open_with_backend(disk.clone(), &options));
            disk = Disk::of(disk.image_after_power_loss(&mut numbers));
        }
        store = Store::open_with_backend(disk.clone(), &options).unwrap();
        at = assert_found(&store, &possible);
    }
    at.0
}

#[test]
fn the_state_is_at_a_boundary_after_power_loss() {
    let reached: u64 = (0..40).map(|seed| survive(seed, 4, 120)).sum();
    assert!(reached > 100, "the losses came before anything was flushed");
}

#[test]
fn power_loss_while_a_store_is_made_leaves_all_of_it_or_nothing() {
    let options = Options::default();
    let (_, model) = initial();
    let mut whole = 0;
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let disk = Disk::default();
        disk.lose_power_after(seed);
        let made = Store::create_with_backend(disk.clone(), common::GENESIS, initial().0, &options);
        let acknowledged = made.is_ok();
        drop(made);
        let image = Disk::of(disk.image_after_power_loss(&mut numbers));
        match Store::open_with_backend(image, &options) {
            Ok(store) => {
                assert_found(&store, &[(0, model.clone())]);
                whole += 1;
            }
            Err(error) => assert!(!acknowledged, "{seed}: {error}"),
        }
    }
    assert!(whole > 0 && whole < 60, "{whole} of 60 were whole");
}

/// A snapshot of another state, at entry 50.
fn snapshot() -> (Vec<u8>, Model) {
    let mut numbers = Numbers(77);
    let store = common::memory(Writes::new());
    let mut tip = store.tip();
    let mut model = Model::new();
    for _ in 0..50 {
        let writes = common::random_writes(&mut numbers);
        common::entry(&mut tip, &writes);
        common::apply_to_model(&mut model, &writes);
    }
    let mut bytes = Vec::new();
    write(&tip.view(), &mut bytes).unwrap();
    (bytes, model)
}

/// A store at entry 5 whose state a snapshot replaces, on a disk whose power lasts for so many operations.
fn replace(disk: &Disk, snapshot: &[u8], power: u64, numbers: &mut Numbers) -> (bool, Model) {
    let options = Options { cache_bytes: 1 << 16, ..Options::default() };
    let (writes, mut model) = initial();
    let store =
        Store::create_with_backend(disk.clone(), common::GENESIS, writes, &options).unwrap();
    let mut tip = store.tip();
    for _ in 0..5 {
        let writes = common::random_writes(numbers);
        common::entry(&mut tip, &writes);
        common::apply_to_model(&mut model, &writes);
    }
    assert!(tip.freeze());
    store.flusher().flush().unwrap();
    disk.lose_power_after(power);
    let replaced = tip.replace(snapshot, &[("installed", b"50")]).is_ok();
    (replaced, model)
}

#[test]
fn power_loss_while_a_snapshot_takes_its_place_leaves_the_old_state_or_the_new() {
    let (snapshot, new) = snapshot();
    let hash = check(snapshot.as_slice(), Some(common::GENESIS)).unwrap().state_hash;
    let (mut olds, mut unanswered, mut answered) = (0, 0, 0);
    for power in 0.. {
        let mut numbers = Numbers(power);
        let disk = Disk::default();
        let (replaced, old) = replace(&disk, &snapshot, power, &mut numbers);
        let image = Disk::of(disk.image_after_power_loss(&mut numbers));
        let store = Store::open_with_backend(image, &Options::default()).unwrap();
        let marked = store.meta_get("installed").unwrap().is_some();
        if store.durable().index == 5 {
            assert!(!replaced, "{power}: acknowledged and gone");
            assert_found(&store, &[(5, old)]);
            assert_eq!((marked, store.checkpoint_last().unwrap()), (false, None));
            olds += 1;
            continue;
        }
        assert_eq!(store.durable(), common::applied(50));
        assert_eq!(store.state_hash_durable(), hash);
        common::assert_holds(&store.view(), &new, &KEYSPACES);
        let report = store.check().unwrap();
        assert_eq!((report.results, report.checkpoints, marked), (0, 1, true));
        match replaced {
            false => unanswered += 1,
            true => answered += 1,
        }
        // The power lasts longer than the replacement takes.
        if answered == 10 {
            break;
        }
    }
    assert!(olds > 10, "{olds} losses left the old state");
    assert!(unanswered > 0, "no loss fell between the commit and the answer");
}
