//! A file of a newer format is refused, whatever else is in it, and says which format it has.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_state::{StateError, Store};
use redb::{Database, TableDefinition};
use std::path::Path;

const HEAD: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("head");

/// Gives the store the format `version`, by hand: the row stays readable in all versions.
fn set_format(path: &Path, version: u32) {
    let mut row = version.to_le_bytes().to_vec();
    let check = crc32fast::hash(&[b"format", &row[..]].concat());
    row.extend_from_slice(&check.to_le_bytes());
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(HEAD).unwrap().insert("format", row.as_slice()).unwrap();
    txn.commit().unwrap();
}

#[test]
fn a_newer_format_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    drop(Store::create(&path, common::GENESIS, Default::default()).unwrap());
    set_format(&path, 2);
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StateError::NewerFormat { found: 2, known: 1 }), "{error}");
    assert!(error.to_string().contains("format version 2, this program reads up to 1"), "{error}");
    set_format(&path, 1);
    Store::open(&path).unwrap();
}

#[test]
fn format_zero_never_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    drop(Store::create(&path, common::GENESIS, Default::default()).unwrap());
    set_format(&path, 0);
    assert!(matches!(Store::open(&path), Err(StateError::NotOurs(_))));
}
