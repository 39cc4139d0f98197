//! Uploads: any order of mistakes ends in the right bytes or in an error that says what to do.
#![allow(clippy::unwrap_used)]

use althing_blobs::{Blobs, Chunk, PARTIAL_IDLE_MAX, PARTIALS_MAX, Received};
use althing_protocol::{Error, Hash, Kind, limits};
use proptest::prelude::*;
use std::{fs, time::SystemTime};

fn store() -> (tempfile::TempDir, Blobs) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    (dir, blobs)
}

fn chunk(offset: u64, bytes: &[u8]) -> Chunk<'_> {
    Chunk { offset, bytes, hash: Hash::of(bytes) }
}

fn refused(blobs: &Blobs, hash: &Hash, size: u64, chunk: Chunk<'_>) -> Error {
    blobs.receive(hash, size, chunk).unwrap_err().into()
}

#[test]
fn an_upload_goes_on_after_a_restart() {
    let (dir, blobs) = store();
    let hash = Hash::of(b"abcdef");
    let half = Received { received: 3, complete: false };
    assert_eq!(blobs.receive(&hash, 6, chunk(0, b"abc")).unwrap(), half);
    drop(blobs);

    let blobs = Blobs::open(dir.path()).unwrap();
    assert_eq!(blobs.stat(&hash).unwrap(), half);
    assert_eq!(blobs.get(&hash).unwrap(), None, "a part is not served");
    assert_eq!(blobs.receive(&hash, 6, chunk(0, b"ab")).unwrap(), half, "tells where to go on");
    let whole = Received { received: 6, complete: true };
    assert_eq!(blobs.receive(&hash, 6, chunk(3, b"def")).unwrap(), whole);
    assert_eq!(blobs.stat(&hash).unwrap(), whole);
    assert_eq!(blobs.get(&hash).unwrap().unwrap(), b"abcdef");
    assert_eq!(blobs.receive(&hash, 6, chunk(0, b"abc")).unwrap(), whole, "again does no harm");
    assert_eq!(fs::read_dir(dir.path().join("partial")).unwrap().count(), 0);
}

#[test]
fn a_gap_names_where_to_go_on() {
    let (dir, blobs) = store();
    let hash = Hash::of(b"abcdef");
    let error = refused(&blobs, &hash, 6, chunk(4, b"ef"));
    assert_eq!(error.kind, Kind::Conflict);
    assert_eq!(fs::read_dir(dir.path().join("partial")).unwrap().count(), 0);
    blobs.receive(&hash, 6, chunk(0, b"abc")).unwrap();
    let error = refused(&blobs, &hash, 6, chunk(4, b"ef"));
    assert!(error.message.contains("go on at byte 3"), "{error}");
}

#[test]
fn a_chunk_that_is_not_what_it_says() {
    let (_dir, blobs) = store();
    let hash = Hash::of(b"abcdef");
    let flipped = Chunk { bytes: b"abd", ..chunk(0, b"abc") };
    let error = refused(&blobs, &hash, 6, flipped);
    assert_eq!(error.kind, Kind::Invalid);
    assert_eq!(blobs.stat(&hash).unwrap(), Received::default());
}

#[test]
fn a_whole_that_is_not_what_it_says_is_dropped() {
    let (dir, blobs) = store();
    let hash = Hash::of(b"abcdef");
    blobs.receive(&hash, 6, chunk(0, b"abc")).unwrap();
    let error = refused(&blobs, &hash, 6, chunk(3, b"deX"));
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("from the start"), "{error}");
    assert_eq!(blobs.stat(&hash).unwrap(), Received::default());
    assert_eq!(fs::read_dir(dir.path().join("partial")).unwrap().count(), 0);
    assert_eq!(blobs.get(&hash).unwrap(), None);
}

#[test]
fn wrong_bytes_of_somebody_else_are_replaced() {
    let (_dir, blobs) = store();
    let hash = Hash::of(b"abcdef");
    blobs.receive(&hash, 6, chunk(0, b"XXXXX")).unwrap();
    assert_eq!(blobs.receive(&hash, 6, chunk(0, b"abc")).unwrap().received, 3);
    assert!(blobs.receive(&hash, 6, chunk(3, b"def")).unwrap().complete);
}

#[test]
fn a_partial_that_a_crash_cut_or_spoilt() {
    let (dir, blobs) = store();
    let hash = Hash::of(b"abcdef");
    blobs.receive(&hash, 6, chunk(0, b"abcde")).unwrap();
    let partial = dir.path().join(format!("partial/{hash}.6"));
    fs::write(&partial, b"ab\0").unwrap();
    assert!(blobs.receive(&hash, 6, chunk(3, b"def")).is_err());
    assert!(blobs.receive(&hash, 6, chunk(0, b"abcdef")).unwrap().complete);
}

#[test]
fn bounds() {
    let (_dir, blobs) = store();
    let hash = Hash::of(b"x");
    let too_large = vec![0; limits::CHUNK_BYTES_MAX + 1];
    let blob_max = limits::IMAGE_BYTES_MAX as u64;
    for (size, chunk) in [
        (blob_max + 1, chunk(0, b"a")),
        (u64::MAX, chunk(u64::MAX, b"a")),
        (blob_max, chunk(0, &too_large)),
        (6, chunk(4, b"efg")),
        (6, chunk(0, b"")),
    ] {
        assert_eq!(refused(&blobs, &hash, size, chunk).kind, Kind::Invalid, "{size} {chunk:?}");
    }
    assert!(blobs.receive(&Hash::of(b""), 0, chunk(0, b"")).unwrap().complete);
}

#[test]
fn unfinished_uploads_are_bounded_and_the_idle_make_way() {
    let (dir, blobs) = store();
    let hashes: Vec<Hash> = (0..=PARTIALS_MAX as u8).map(|n| Hash::of(&[n])).collect();
    for hash in &hashes[..PARTIALS_MAX] {
        blobs.receive(hash, 2, chunk(0, b"a")).unwrap();
    }
    let error = refused(&blobs, &hashes[PARTIALS_MAX], 2, chunk(0, b"a"));
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(error.retry_after_ms.unwrap() <= PARTIAL_IDLE_MAX.as_millis() as u64);

    let idle = fs::File::options()
        .write(true)
        .open(dir.path().join(format!("partial/{}.2", hashes[3])))
        .unwrap();
    idle.set_modified(SystemTime::now() - PARTIAL_IDLE_MAX).unwrap();
    blobs.receive(&hashes[PARTIALS_MAX], 2, chunk(0, b"a")).unwrap();
    assert_eq!(blobs.stat(&hashes[3]).unwrap(), Received::default());
    assert_eq!(blobs.stat(&hashes[4]).unwrap().received, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever overlapping chunks come first, sending the blob in order completes it.
    #[test]
    fn any_chunks_then_the_blob(
        bytes in prop::collection::vec(any::<u8>(), 1..64),
        noise in prop::collection::vec((0..64usize, prop::collection::vec(any::<u8>(), 1..16)), 0..8),
        step in 1..16usize,
    ) {
        let (_dir, blobs) = store();
        let (hash, size) = (Hash::of(&bytes), bytes.len() as u64);
        for (offset, noise) in noise {
            let _ = blobs.receive(&hash, size, chunk(offset as u64, &noise));
        }
        let mut last = Received::default();
        for (at, part) in bytes.chunks(step).enumerate() {
            last = blobs.receive(&hash, size, chunk((at * step) as u64, part)).unwrap();
        }
        prop_assert!(last.complete);
        prop_assert_eq!(blobs.get(&hash).unwrap().unwrap(), bytes);
    }
}
