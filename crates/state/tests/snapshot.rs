//! A snapshot of any view gives the same state elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::limits;
use althing_state::{
    Key, Options, Store, Writes,
    snapshot::{check, read_header, restore, write},
};
use common::{Model, Numbers};

const KEYSPACES: [&str; 2] = ["a", "a.b"];

/// A store with a part of its state on disk, a part frozen and a part fresh; and its state.
fn layered(seed: u64) -> (Store, Model) {
    let mut numbers = Numbers(seed);
    let store = common::memory(Writes::new());
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    let mut model = Model::new();
    for round in 0..3 {
        for _ in 0..10 {
            let writes = common::random_writes(&mut numbers);
            common::entry(&mut tip, &writes);
            common::apply_to_model(&mut model, &writes);
        }
        match round {
            0 => {
                assert!(tip.freeze());
                flusher.flush().unwrap();
            }
            1 => assert!(tip.freeze()),
            _ => tip.publish(),
        }
    }
    (store, model)
}

#[test]
fn a_view_with_unflushed_parts_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..8 {
        let (store, model) = layered(seed);
        let mut bytes = Vec::new();
        let header = write(&store.view(), &mut bytes).unwrap();
        assert_eq!(header.applied, common::applied(30));
        assert_eq!(header.state_hash, common::hash_from_scratch(&model));
        assert_eq!(header.pairs, model.len() as u64);
        assert_eq!(read_header(bytes.as_slice()).unwrap(), header);
        assert_eq!(check(bytes.as_slice(), Some(common::GENESIS)).unwrap(), header);

        let path = folder.path().join(format!("{seed}.redb"));
        let genesis = Some(common::GENESIS);
        let restored = restore(&path, bytes.as_slice(), genesis, &Options::default()).unwrap();
        common::assert_holds(&restored.view(), &model, &KEYSPACES);
        drop(restored);
        let reopened = Store::open(&path).unwrap();
        assert_eq!(reopened.genesis().as_ref(), common::GENESIS);
        assert_eq!(reopened.durable(), header.applied);
        assert_eq!(reopened.check().unwrap().state_hash, header.state_hash);
        common::assert_holds(&reopened.view(), &model, &KEYSPACES);
    }
}

#[test]
fn the_empty_state_and_the_largest_pair_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let key = Key::new(&"k".repeat(128), &vec![0; limits::KEY_BYTES_MAX]);
    let mut largest = Writes::new();
    largest.put(key.clone(), vec![7; limits::STORED_VALUE_BYTES_MAX]);
    for writes in [Writes::new(), largest.clone()] {
        let mut bytes = Vec::new();
        let header = write(&common::memory(writes.clone()).view(), &mut bytes).unwrap();
        assert_eq!(header.pairs, writes.len() as u64);
        restore(&path, bytes.as_slice(), None, &Options::default()).unwrap();
    }
    let store = Store::open(&path).unwrap();
    let value = store.view().get(&key).unwrap();
    assert_eq!(value.as_ref(), largest.get(&key).unwrap(), "the second replaced the first");
}

#[test]
fn a_restored_state_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (original, _) = layered(1);
    let mut bytes = Vec::new();
    write(&original.view(), &mut bytes).unwrap();
    let copy = restore(&path, bytes.as_slice(), None, &Options::default()).unwrap();

    let next = [(common::key("next"), Some(b"value".to_vec()))];
    let hashes = [original, copy].map(|store| {
        let mut tip = store.tip();
        common::entry(&mut tip, &next);
        tip.view().state_hash().unwrap()
    });
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn views_of_a_replaced_store_stay_valid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let mut writes = Writes::new();
    writes.put(common::key("old"), *b"value");
    let old = Store::create(&path, common::GENESIS, writes).unwrap();
    let view = old.view();

    let (other, model) = layered(2);
    let mut bytes = Vec::new();
    write(&other.view(), &mut bytes).unwrap();
    let new = restore(&path, bytes.as_slice(), None, &Options::default()).unwrap();
    assert_eq!(view.get(&common::key("old")).unwrap().as_deref(), Some(&b"value"[..]));
    drop((old, view));
    common::assert_holds(&new.view(), &model, &KEYSPACES);
    drop(new);
    common::assert_holds(&Store::open(&path).unwrap().view(), &model, &KEYSPACES);
}
