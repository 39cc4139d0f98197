//! A snapshot takes the place of the state of a running store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::Hash;
use althing_state::{
    CheckpointValues, Fingerprint, StateError, Store, Tip, Writes,
    snapshot::{Header, SnapshotError, write},
};
use common::{Model, Numbers};

const KEYSPACES: [&str; 2] = ["a", "a.b"];

/// A snapshot of a store that has applied `entries`, and what it holds.
fn snapshot(seed: u64, entries: u64) -> (Vec<u8>, Model) {
    let mut numbers = Numbers(seed);
    let store = common::memory(Writes::new());
    let mut tip = store.tip();
    let mut model = Model::new();
    run(&mut tip, &mut model, &mut numbers, entries);
    let mut bytes = Vec::new();
    write(&tip.view(), &mut bytes).unwrap();
    (bytes, model)
}

fn run(tip: &mut Tip, model: &mut Model, numbers: &mut Numbers, entries: u64) {
    for _ in 0..entries {
        let writes = common::random_writes(numbers);
        common::entry(tip, &writes);
        common::apply_to_model(model, &writes);
    }
}

/// A store with a flushed part, and a fresh one over it.
fn begun(seed: u64) -> (Store, Tip, Model) {
    let mut numbers = Numbers(seed);
    let store = common::memory(Writes::new());
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    let mut model = Model::new();
    run(&mut tip, &mut model, &mut numbers, 10);
    assert!(tip.freeze());
    flusher.flush().unwrap();
    run(&mut tip, &mut model, &mut numbers, 5);
    tip.publish();
    (store, tip, model)
}

/// The store stands where the snapshot does, and has nothing of what was before.
fn assert_replaced(store: &Store, header: &Header, model: &Model) {
    assert_eq!(store.durable(), header.applied);
    assert_eq!(store.view().applied(), &header.applied);
    assert_eq!(store.state_hash_durable(), header.state_hash);
    assert_eq!(store.check().unwrap().state_hash, header.state_hash);
    common::assert_holds(&store.view(), model, &KEYSPACES);
    let index = header.applied.index;
    assert!((0..=index).all(|at| store.result(at).unwrap().is_none()), "results of the old state");
    let values = CheckpointValues {
        index,
        entry_chain: header.applied.entry_chain,
        result_chain: header.applied.result_chain,
        state_hash: header.state_hash,
    };
    assert_eq!(store.checkpoint_last().unwrap(), Some(values));
    assert_eq!(store.check().unwrap().checkpoints, 1);
}

#[test]
fn the_state_is_the_snapshots_and_goes_on_from_there() {
    for seed in 0..8 {
        let (store, mut tip, _) = begun(seed);
        store.meta_put("kept", b"of the node").unwrap();
        let old = CheckpointValues {
            index: 7,
            entry_chain: Hash([1; 32]),
            result_chain: Hash([2; 32]),
            state_hash: Hash([3; 32]),
        };
        store.checkpoint_put(&old).unwrap();
        let (bytes, mut model) = snapshot(seed + 100, 40);
        let header = tip.replace(bytes.as_slice(), &[("with", b"it")]).unwrap();
        assert_eq!(header.applied, common::applied(40));
        assert_replaced(&store, &header, &model);
        assert_eq!(store.meta_get("kept").unwrap().as_deref(), Some(&b"of the node"[..]));
        assert_eq!(store.meta_get("with").unwrap().as_deref(), Some(&b"it"[..]));

        let mut numbers = Numbers(seed + 200);
        run(&mut tip, &mut model, &mut numbers, 6);
        assert!(tip.freeze());
        let flushed = store.flusher().flush().unwrap().unwrap();
        assert_eq!(flushed.applied, common::applied(46));
        assert_eq!(flushed.state_hash, common::hash_from_scratch(&model));
        common::assert_holds(&store.view(), &model, &KEYSPACES);
        assert_eq!(store.result(46).unwrap(), Some(common::result(46)));
    }
}

#[test]
fn it_lasts_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    drop(Store::create(&path, common::GENESIS, Writes::new()).unwrap());
    for (seed, entries) in [(1, 20), (2, 30), (3, 25)] {
        let (bytes, model) = snapshot(seed, entries);
        let store = Store::open(&path).unwrap();
        let header = store.tip().replace(bytes.as_slice(), &[]).unwrap();
        drop(store);
        assert_replaced(&Store::open(&path).unwrap(), &header, &model);
    }
}

#[test]
fn views_taken_before_stay_what_they_are_until_they_expire() {
    let (store, mut tip, model) = begun(5);
    let view = store.view();
    let (bytes, _) = snapshot(6, 40);
    let header = tip.replace(bytes.as_slice(), &[]).unwrap();
    common::assert_holds(&view, &model, &KEYSPACES);
    assert_eq!(view.applied(), &common::applied(15));
    assert_eq!(view.fingerprint(15).unwrap(), Some(Fingerprint::from(&common::applied(15))));

    common::entry(&mut tip, &[(common::key("next"), Some(b"value".to_vec()))]);
    assert!(tip.freeze());
    store.flusher().flush().unwrap();
    assert_eq!(store.expire_views(u64::MAX), 1, "the generation before the replacement");
    let error = view.get(&common::key("not in memory")).unwrap_err();
    assert!(matches!(error, StateError::ViewExpired(_)), "{error}");
    assert_eq!(store.view().applied().index, header.applied.index + 1);
}

#[test]
fn a_refused_snapshot_changes_nothing() {
    let (store, mut tip, mut model) = begun(7);
    let (whole, _) = snapshot(8, 40);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let mut elsewhere = Vec::new();
    let backend = althing_state::InMemoryBackend::new();
    let other = Store::create_with_backend(backend, b"other", Writes::new(), &Default::default());
    write(&other.unwrap().view(), &mut elsewhere).unwrap();
    for (bytes, expected) in [
        (&whole[..whole.len() - 1], "truncated"),
        (&flipped, "damaged"),
        (&elsewhere, "not of realm"),
        (&b"no snapshot at all"[..], "not an Althing snapshot"),
    ] {
        let error = tip.replace(bytes, &[("never", b"written")]).unwrap_err();
        assert!(!matches!(error, SnapshotError::State(_)), "{error}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        common::assert_holds(&store.view(), &model, &KEYSPACES);
        assert_eq!(store.durable(), common::applied(10));
        assert_eq!(store.meta_get("never").unwrap(), None);
    }
    run(&mut tip, &mut model, &mut Numbers(9), 5);
    assert!(tip.freeze());
    let flushed = store.flusher().flush().unwrap().unwrap();
    assert_eq!(flushed.state_hash, common::hash_from_scratch(&model));
    assert_eq!(store.check().unwrap().results, 20);
}

#[test]
#[should_panic(expected = "the flusher writes")]
fn what_is_being_flushed_is_not_replaced() {
    let (_store, mut tip, _) = begun(1);
    assert!(tip.freeze());
    let _ = tip.replace(snapshot(2, 20).0.as_slice(), &[]);
}
