//! Whole blobs: what is stored is what is read, or it is found and named.
#![allow(clippy::unwrap_used)]

use althing_blobs::{BlobError, Blobs};
use althing_protocol::{Error, Hash, Kind, limits};
use std::{fs, path::PathBuf, time::Duration};

fn store() -> (tempfile::TempDir, Blobs) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    (dir, blobs)
}

fn path(dir: &tempfile::TempDir, hash: &Hash) -> PathBuf {
    let name = hash.to_string();
    dir.path().join("whole").join(&name[..2]).join(name)
}

#[test]
fn what_is_put_is_there_after_reopening() {
    let (dir, blobs) = store();
    let hash = blobs.put(b"some bytes").unwrap();
    assert_eq!(blobs.put(b"some bytes").unwrap(), hash);
    drop(blobs);
    let blobs = Blobs::open(dir.path()).unwrap();
    assert_eq!(blobs.get(&hash).unwrap().unwrap(), b"some bytes");
    assert_eq!(blobs.list().unwrap(), [(hash, 10)]);
    assert_eq!(blobs.get(&Hash::of(b"other")).unwrap(), None);
}

#[test]
fn a_flipped_byte_is_found_named_and_not_served() {
    let (dir, blobs) = store();
    let hash = blobs.put(&[7; 1000]).unwrap();
    let mut bytes = fs::read(path(&dir, &hash)).unwrap();
    bytes[500] ^= 1;
    fs::write(path(&dir, &hash), &bytes).unwrap();

    let error = blobs.get(&hash).unwrap_err();
    let BlobError::Damaged { hash: named, ref moved_to } = error else { panic!("{error}") };
    assert_eq!(named, hash);
    assert_eq!(fs::read(moved_to).unwrap(), bytes);
    let error = Error::from(error);
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains(&hash.to_string()), "{error}");

    assert_eq!(blobs.get(&hash).unwrap(), None);
    blobs.put(&[7; 1000]).unwrap();
    assert_eq!(blobs.get(&hash).unwrap().unwrap(), [7; 1000]);
}

#[test]
fn a_truncated_or_grown_blob_is_damaged() {
    let (dir, blobs) = store();
    for change in [&b"som"[..], &b"some bytes and more"[..], &b""[..]] {
        let hash = blobs.put(b"some bytes").unwrap();
        fs::write(path(&dir, &hash), change).unwrap();
        assert!(matches!(blobs.get(&hash), Err(BlobError::Damaged { .. })));
    }
}

#[test]
fn only_what_is_unpinned_and_old_is_removed() {
    let (_dir, blobs) = store();
    let [pinned, unpinned] = [b"a", b"b"].map(|bytes| blobs.put(bytes).unwrap());
    blobs.pin(pinned);
    assert_eq!(blobs.remove_unpinned(Duration::from_secs(3600)).unwrap(), []);
    assert_eq!(blobs.remove_unpinned(Duration::ZERO).unwrap(), [unpinned]);
    assert_eq!(blobs.list().unwrap(), [(pinned, 1)]);
    blobs.unpin(&pinned);
    assert_eq!(blobs.remove_unpinned(Duration::ZERO).unwrap(), [pinned]);
}

#[test]
fn what_is_touched_is_young_again() {
    let (dir, blobs) = store();
    let [touched, left] = [b"a", b"b"].map(|bytes| blobs.put(bytes).unwrap());
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7_200);
    for hash in [&touched, &left] {
        fs::File::options()
            .append(true)
            .open(path(&dir, hash))
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    }
    assert!(blobs.touch(&touched).unwrap());
    assert_eq!(blobs.remove_unpinned(Duration::from_secs(3_600)).unwrap(), [left]);
    assert!(!blobs.touch(&left).unwrap(), "it is gone");
    assert_eq!(blobs.get(&touched).unwrap().unwrap(), b"a");
}

#[test]
fn too_large() {
    let (_dir, blobs) = store();
    let error = Error::from(blobs.put(&vec![0; limits::IMAGE_BYTES_MAX + 1]).unwrap_err());
    assert_eq!(error.kind, Kind::Invalid);
}

#[test]
fn a_directory_of_another_version_is_refused() {
    let (dir, blobs) = store();
    drop(blobs);
    fs::write(dir.path().join("format"), "althing blobs 2\n").unwrap();
    let error = Blobs::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("althing blobs 2"), "{error}");
}

#[test]
fn what_a_crash_left_without_a_name_is_dropped() {
    let (dir, blobs) = store();
    drop(blobs);
    let leftover = dir.path().join("partial/.tmpAbCdEf");
    fs::write(&leftover, "half").unwrap();
    Blobs::open(dir.path()).unwrap();
    assert!(!leftover.exists());
}
