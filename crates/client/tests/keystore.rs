//! Keys on disk: readable by their owner only, never overwritten, never silently wrong.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use althing_client::{Keystore, generate, read_key, write_key};
use althing_protocol::{Error, Kind, SecretKey};
use proptest::prelude::*;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

fn store() -> (tempfile::TempDir, Keystore) {
    let dir = tempfile::tempdir().unwrap();
    let store = Keystore::open(dir.path().join("a/keys")).unwrap();
    (dir, store)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_is_its_owners_and_comes_back() {
    let (dir, store) = store();
    let key = store.create("laptop").unwrap();
    let path = store.path("laptop").unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&dir.path().join("a/keys")), 0o700);
    assert_eq!(store.load("laptop").unwrap().public(), key.public());
    assert_eq!(store.show("laptop"), Ok(key.public()));
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text.lines().next(), Some("althing key v1"));
    assert!(text.ends_with(&format!("# public key {}\n", key.public())));
    assert_eq!(fs::read_dir(dir.path().join("a/keys")).unwrap().count(), 1);
}

#[test]
fn keys_differ() {
    assert_ne!(generate().unwrap().public(), generate().unwrap().public());
}

#[test]
fn the_file_format_does_not_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    write_key(&path, &SecretKey::from_seed(&[0xab; 32])).unwrap();
    let expected = format!(
        "althing key v1\n{}\n# public key {}\n",
        "ab".repeat(32),
        SecretKey::from_seed(&[0xab; 32]).public()
    );
    assert_eq!(fs::read_to_string(path).unwrap(), expected);
}

#[test]
fn a_key_is_never_overwritten() {
    let (_dir, store) = store();
    let key = store.create("laptop").unwrap();
    let error = store.create("laptop").unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    assert_eq!(store.show("laptop"), Ok(key.public()));
}

#[test]
fn files_that_others_may_use_are_refused_with_the_remedy() {
    let (dir, store) = store();
    store.create("laptop").unwrap();
    let path = store.path("laptop").unwrap();
    for loose in [0o640, 0o604, 0o660, 0o610, 0o777] {
        set_mode(&path, loose);
        let error = store.load("laptop").unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{loose:o}");
        assert!(error.message.contains(&format!("chmod 600 '{}'", path.display())), "{error}");
    }
    set_mode(&path, 0o400);
    store.load("laptop").unwrap();

    let keys = dir.path().join("a/keys");
    set_mode(&keys, 0o755);
    let error = Keystore::open(&keys).unwrap_err();
    assert!(error.message.contains("chmod 700"), "{error}");
}

#[test]
fn a_list_names_what_is_damaged() {
    let (_dir, store) = store();
    let good = store.create("good").unwrap();
    store.create("bad").unwrap();
    let bad = store.path("bad").unwrap();
    fs::write(&bad, "nonsense").unwrap();
    fs::write(bad.with_file_name("notes.txt"), "not a key").unwrap();
    let list = store.list().unwrap();
    let names: Vec<_> = list.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["bad", "good"]);
    let error = list[0].public.clone().unwrap_err();
    assert!(error.message.contains(&bad.display().to_string()), "{error}");
    assert_eq!(list[1].public, Ok(good.public()));
}

#[test]
fn names_stay_in_the_directory() {
    let (_dir, store) = store();
    for bad in ["", "../up", "a/b", ".hidden", "a b", "ä", "a\0b", &"a".repeat(65)] {
        assert_eq!(store.create(bad).unwrap_err().kind, Kind::Invalid, "{bad:?}");
    }
    assert_eq!(store.load("missing").unwrap_err().kind, Kind::NotFound);
    assert!(store.list().unwrap().is_empty());
}

fn damaged(path: &PathBuf, text: &str) -> Result<SecretKey, Error> {
    fs::write(path, text).unwrap();
    set_mode(path, 0o600);
    read_key(path)
}

proptest! {
    /// One changed character anywhere in what matters is noticed; no secret is in the message.
    #[test]
    fn a_changed_character_is_found(at in 0..1000usize, to in "[0-9a-z #]") {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = SecretKey::from_seed(&[0xab; 32]);
        write_key(&path, &key).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        let at = at % (text.len() - 1);
        prop_assume!(text[at..=at] != to);
        text.replace_range(at..=at, &to);
        let error = damaged(&path, &text).unwrap_err();
        prop_assert_eq!(error.kind, Kind::Invalid);
        prop_assert!(error.message.contains("damaged"));
        prop_assert!(!error.message.contains("abab"));
    }

    #[test]
    fn a_cut_file_is_found(length in 0..140usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_key(&path, &SecretKey::from_seed(&[1; 32])).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        prop_assert!(damaged(&path, &text[..length.min(text.len() - 2)]).is_err());
    }
}
