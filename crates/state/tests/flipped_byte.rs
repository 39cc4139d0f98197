//! A byte of the file flips: a read never serves another value, and a check finds it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::Hash;
use althing_state::{CheckpointValues, Options, Report, StateError, Store, Writes, check_file};
use common::{Model, Numbers};
use std::{fs, path::Path};

/// A closed store of a few hundred pairs, its state, and what a check says about it.
fn make(path: &Path) -> (Model, Report) {
    let mut writes = Writes::new();
    let mut model = Model::new();
    for i in 0..300_u64 {
        let value = [Hash::of(&i.to_le_bytes()).0; 4].concat();
        let key = common::key(&format!("key {i}"));
        model.insert(key.clone(), value.clone());
        writes.put(key, value);
    }
    let store = Store::create(path, common::GENESIS, writes).unwrap();
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    for _ in 0..50 {
        common::entry(&mut tip, &[]);
    }
    tip.freeze();
    flusher.flush().unwrap();
    let hash = Hash::of(b"checkpoint");
    let (entry_chain, result_chain, state_hash) = (hash, hash, hash);
    store
        .checkpoint_put(&CheckpointValues { index: 1, entry_chain, result_chain, state_hash })
        .unwrap();
    store.meta_put("name", b"some bytes of the node").unwrap();
    drop((store, tip, flusher));
    (model, check_file(path, &Options::default()).unwrap())
}

fn position(file: &[u8], bytes: &[u8]) -> usize {
    file.windows(bytes.len()).position(|window| window == bytes).unwrap()
}

#[test]
fn a_flipped_value_is_named_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (model, _) = make(&path);
    let (key, value) = model.iter().nth(77).unwrap();
    let mut file = fs::read(&path).unwrap();
    let at = position(&file, value) + 5;
    file[at] ^= 4;
    fs::write(&path, &file).unwrap();

    let store = Store::open(&path).unwrap();
    let error = store.view().get(key).unwrap_err();
    assert!(matches!(&error, StateError::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("key 168"), "names the row: {error}");
    let scanned = store.view().scan("test", std::ops::Bound::Unbounded, b"", 1_000, usize::MAX);
    assert!(matches!(scanned, Err(StateError::Corrupt(_))));
    assert!(matches!(store.check(), Err(StateError::Corrupt(_))));
    drop(store);
    assert!(matches!(check_file(&path, &Options::default()), Err(StateError::Corrupt(_))));
}

#[test]
fn a_flipped_result_or_blob_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    make(&path);
    let mut file = fs::read(&path).unwrap();
    for bytes in [&b"result of 41"[..], b"some bytes of the node"] {
        let at = position(&file, bytes);
        file[at + 2] ^= 1;
    }
    fs::write(&path, &file).unwrap();
    let store = Store::open(&path).unwrap();
    assert!(matches!(store.result(41), Err(StateError::Corrupt(_))));
    assert!(matches!(store.meta_get("name"), Err(StateError::Corrupt(_))));
    assert_eq!(store.result(40).unwrap(), Some(common::result(40)));
}

/// Reads everything. None if that fails, which it may; but what is read must be right.
fn read_all(path: &Path, model: &Model) -> Option<()> {
    let store = Store::open(path).ok()?;
    for (key, value) in model {
        if let Some(read) = store.view().get(key).ok()? {
            assert_eq!(read.as_ref(), value.as_slice(), "{key:?} is served with another value");
        }
    }
    Some(())
}

#[test]
fn a_flip_anywhere_is_found_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (model, report) = make(&path);
    let original = fs::read(&path).unwrap();
    let mut numbers = Numbers(7);
    let mut found = 0;
    for _ in 0..250 {
        let at = numbers.below(original.len() as u64) as usize;
        let mut file = original.clone();
        file[at] ^= 1 << numbers.below(8);
        fs::write(&path, &file).unwrap();
        read_all(&path, &model);
        fs::write(&path, &file).unwrap();
        match check_file(&path, &Options::default()) {
            Ok(after) => assert_eq!(after, report, "byte {at}"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 5, "only {found} of the flips hit a page in use");
}
