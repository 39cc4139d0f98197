//! The disk is full in a flush: the flush fails, and what was flushed before is there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_state::{Options, StateError, Store};
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
