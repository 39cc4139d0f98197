//! What is at the path is missing, there already, in use, or not a store of ours.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_state::{Options, StateError, Store, check_file};
use std::fs;

#[test]
fn a_missing_store_is_not_made_by_opening_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(&error, StateError::Missing(at) if *at == path), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_store_is_not_made_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    drop(Store::create(&path, common::GENESIS, Default::default()).unwrap());
    let error = Store::create(&path, b"other", Default::default()).unwrap_err();
    assert!(matches!(&error, StateError::Exists(at) if *at == path), "{error}");
    assert_eq!(Store::open(&path).unwrap().genesis().as_ref(), common::GENESIS);
}

#[test]
fn what_a_crash_left_beside_the_path_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    fs::write(folder.path().join("state.redb.new"), "half a store").unwrap();
    drop(Store::create(&path, common::GENESIS, Default::default()).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_pair_over_the_limits_makes_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let mut writes = althing_state::Writes::new();
    writes.put(althing_state::Key::new("k", &[0; 5_000]), *b"");
    let error = Store::create(&path, common::GENESIS, writes).unwrap_err();
    assert!(matches!(&error, StateError::Invalid(_)), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_store_in_use_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let store = Store::create(&path, common::GENESIS, Default::default()).unwrap();
    assert!(matches!(Store::open(&path), Err(StateError::Locked)));
    assert!(matches!(check_file(&path, &Options::default()), Err(StateError::Locked)));
    drop(store);
    Store::open(&path).unwrap();
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    for content in [&b""[..], b"text", &[0; 10_000], &[0xff; 10_000]] {
        fs::write(&path, content).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(&error, StateError::NotOurs(_)), "{} bytes: {error}", content.len());
        assert_eq!(fs::read(&path).unwrap(), content, "a file that is not ours is not changed");
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let db = redb::Database::create(&path).unwrap();
    let assert_refused = || {
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(&error, StateError::NotOurs(_)), "{error}");
    };
    drop(db);
    assert_refused();

    let db = redb::Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<u32, u32>::new("head")).unwrap().insert(1, 2).unwrap();
    txn.commit().unwrap();
    drop(db);
    assert_refused();
}
