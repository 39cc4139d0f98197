//! A snapshot that is cut, changed, too new or a lie is refused by name, and leaves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Hash, limits};
use althing_state::{
    Options, Store, Writes,
    snapshot::{SnapshotError, check, restore, write},
};
use std::{fs, path::Path};

const HEADER_BYTES: usize = 8 + 4 + (4 + common::GENESIS.len()) + (4 + 96) + 32 + 8;

fn small() -> Vec<u8> {
    let mut writes = Writes::new();
    for i in 0..6_u8 {
        writes.put(common::key(&format!("key {i}")), vec![i; 40 * usize::from(i)]);
    }
    let mut bytes = Vec::new();
    write(&common::memory(writes).view(), &mut bytes).unwrap();
    bytes
}

/// Parts of a snapshot, to put together wrongly.
fn forged(header: &[u8], pairs: &[u8]) -> Vec<u8> {
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(&zstd::encode_all(pairs, 3).unwrap());
    let check = Hash::of(&bytes);
    bytes.extend_from_slice(&check.0);
    bytes
}

fn header_and_pairs(snapshot: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (header, rest) = snapshot.split_at(HEADER_BYTES);
    let frame = &rest[..rest.len() - 32];
    (header.to_vec(), zstd::decode_all(frame).unwrap())
}

fn refused(folder: &Path, bytes: &[u8]) -> SnapshotError {
    let path = folder.join("state.redb");
    let error = restore(&path, bytes, Some(common::GENESIS), &Options::default()).unwrap_err();
    let checked = check(bytes, Some(common::GENESIS)).unwrap_err();
    assert_eq!(checked.to_string(), error.to_string(), "a check refuses what a restore does");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "a refused snapshot leaves nothing");
    error
}

#[test]
fn a_snapshot_cut_anywhere_is_truncated() {
    let folder = tempfile::tempdir().unwrap();
    let whole = small();
    for length in 0..whole.len() {
        let error = refused(folder.path(), &whole[..length]);
        assert!(matches!(error, SnapshotError::Truncated), "{length}: {error}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let whole = small();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        // What says how the rest is to be read may be refused for what it says now.
        match (at, refused(folder.path(), &bytes)) {
            (0..8, SnapshotError::NotSnapshot) => {}
            (8..12, SnapshotError::NewerFormat { .. } | SnapshotError::Damaged(_)) => {}
            (12.., SnapshotError::OtherRealm { .. }) if at < 16 + common::GENESIS.len() => {}
            (12.., SnapshotError::Damaged(_) | SnapshotError::Truncated) => {}
            (_, error) => panic!("byte {at}: {error}"),
        }
    }
}

#[test]
fn a_newer_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = small();
    bytes[8] = 2;
    let error = refused(folder.path(), &bytes);
    assert!(matches!(error, SnapshotError::NewerFormat { found: 2, known: 1 }));
    assert!(error.to_string().contains("format version 2, this program reads up to 1"), "{error}");
}

#[test]
fn another_realms_snapshot_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let error = restore(&path, small().as_slice(), Some(b"other"), &Options::default());
    let error = error.unwrap_err();
    assert!(matches!(error, SnapshotError::OtherRealm { .. }), "{error}");
    assert!(!path.exists());
}

#[test]
fn pairs_that_the_state_hash_does_not_cover_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (header, mut pairs) = header_and_pairs(&small());
    *pairs.last_mut().unwrap() ^= 1;
    let error = refused(folder.path(), &forged(&header, &pairs));
    assert!(matches!(error, SnapshotError::StateHash { .. }), "{error}");
    assert!(error.to_string().contains("state hash"), "{error}");
}

#[test]
fn lengths_order_and_counts_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (header, pairs) = header_and_pairs(&small());
    let key = |name: &[u8]| [&(5 + name.len() as u32).to_le_bytes(), &b"test\0"[..], name].concat();
    let pair = |name: &[u8]| [key(name), 0_u32.to_le_bytes().to_vec()].concat();
    let too_long = (limits::STORED_VALUE_BYTES_MAX as u32 + 1).to_le_bytes();
    let cases = [
        ("out of order", [pair(b"b"), pair(b"a")].concat()),
        ("out of order", [pair(b"a"), pair(b"a")].concat()),
        ("a key of 4294967295 bytes", u32::MAX.to_le_bytes().to_vec()),
        ("a value of 1049601 bytes", [&key(b"a")[..], &too_long].concat()),
        ("no keyspace", [&2_u32.to_le_bytes()[..], b"ab", &[0; 4]].concat()),
        ("key of test: 4097 bytes", pair(&[1; limits::KEY_BYTES_MAX + 1])),
        ("more than 6 pairs", [&pairs[..], &pair(b"zzz")].concat()),
    ];
    for (expected, pairs) in cases {
        let error = refused(folder.path(), &forged(&header, &pairs));
        assert!(matches!(error, SnapshotError::Damaged(_)), "{expected}: {error}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    let error = refused(folder.path(), &forged(&header, &pairs[..pairs.len() - 1]));
    assert!(matches!(error, SnapshotError::Truncated), "{error}");
    let error = refused(folder.path(), &[&small()[..], b"x"].concat());
    assert!(error.to_string().contains("after its end"), "{error}");
}

#[test]
fn a_store_that_is_there_survives_a_refused_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let mut writes = Writes::new();
    writes.put(common::key("old"), *b"value");
    drop(Store::create(&path, common::GENESIS, writes).unwrap());
    let mut bytes = small();
    *bytes.last_mut().unwrap() ^= 1;
    restore(&path, bytes.as_slice(), None, &Options::default()).unwrap_err();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.view().get(&common::key("old")).unwrap().as_deref(), Some(&b"value"[..]));
}
