//! The disk is full in a flush, or while a snapshot takes the place of the state: that fails, and what
//! was durable before is there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_state::{
    Options, StateError, Store, Writes,
    snapshot::{SnapshotError, write},
};
use common::disk::Disk;

#[test]
fn a_flush_that_fails_loses_nothing_flushed_before() {
    let disk = Disk::default();
    let options = Options::default();
    let writes = Default::default();
    let store =
        Store::create_with_backend(disk.clone(), common::GENESIS, writes, &options).unwrap();
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    common::entry(&mut tip, &[(common::key("before"), Some(b"kept".to_vec()))]);
    assert!(tip.freeze());
    let flushed = flusher.flush().unwrap().unwrap();

    disk.limit(disk.image().len() as u64);
    for i in 0..8 {
        let value = Some(vec![i; 1 << 20]);
        common::entry(&mut tip, &[(common::key(&format!("large {i}")), value)]);
    }
    assert!(tip.freeze());
    let error = flusher.flush().unwrap_err();
    assert!(matches!(&error, StateError::Storage(_)), "{error}");
    assert!(error.to_string().contains("storage failed"), "{error}");
    assert_eq!(store.durable(), flushed.applied, "a failed flush moves nothing");
    drop((store, tip, flusher));

    let store = Store::open_with_backend(Disk::of(disk.image()), &options).unwrap();
    assert_eq!(store.durable(), flushed.applied);
    assert_eq!(store.check().unwrap().state_hash, flushed.state_hash);
    assert_eq!(store.view().get(&common::key("before")).unwrap().as_deref(), Some(&b"kept"[..]));
}

#[test]
fn a_snapshot_that_does_not_fit_leaves_the_state() {
    let disk = Disk::default();
    let options = Options { cache_bytes: 1 << 16, ..Options::default() };
    let mut writes = Writes::new();
    writes.put(common::key("before"), *b"kept");
    let store =
        Store::create_with_backend(disk.clone(), common::GENESIS, writes, &options).unwrap();
    let hash = store.state_hash_durable();

    let mut large = Writes::new();
    for i in 0..8_u8 {
        large.put(common::key(&format!("large {i}")), vec![i; 1 << 20]);
    }
    let mut snapshot = Vec::new();
    write(&common::memory(large).view(), &mut snapshot).unwrap();
    disk.limit(disk.image().len() as u64 + (4 << 20));
    let error = store.tip().replace(snapshot.as_slice(), &[]).unwrap_err();
    assert!(matches!(&error, SnapshotError::State(StateError::Storage(_))), "{error}");
    drop(store);

    let store = Store::open_with_backend(Disk::of(disk.image()), &options).unwrap();
    assert_eq!(store.check().unwrap().state_hash, hash);
    assert_eq!(store.view().get(&common::key("before")).unwrap().as_deref(), Some(&b"kept"[..]));
}
