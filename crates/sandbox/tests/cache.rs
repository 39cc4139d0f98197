//! Compiled images on disk: found again, checked, replaced.

#![allow(clippy::unwrap_used)]

mod common;

use althing_sandbox::{Engine, EngineOptions};
use common::{apply, component, load, module, run};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

fn engine(dir: &Path) -> Engine {
    let options = EngineOptions {
        pooling: false,
        cache_dir: Some(dir.to_owned()),
        ..EngineOptions::default()
    };
    Engine::new(&options).unwrap()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    entries
}

/// A guest that returns `digit`.
fn guest(digit: u8) -> Vec<u8> {
    let body = format!(
        "(i32.store8 (i32.const 512) (i32.const {digit})) (call $ok (i32.const 512) (i32.const 1))"
    );
    component(&module("", &body))
}

#[test]
fn a_second_start_finds_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("made/on/demand");
    let guest = guest(5);
    let cold = run(&load(&engine(&cache), &guest), apply(b"")).1;
    let found = entries(&cache);
    let [entry] = &found[..] else { panic!("{found:?}") };
    let written = fs::metadata(entry).unwrap();
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(written.permissions().mode() & 0o777, 0o600);

    let warm = run(&load(&engine(&cache), &guest), apply(b"")).1;
    assert_eq!(cold, warm);
    // The same file, not one that was written again.
    assert_eq!(fs::metadata(entry).unwrap().ino(), written.ino());
}

#[test]
fn a_damaged_image_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let guest = guest(6);
    load(&engine(dir.path()), &guest);
    let entry = entries(dir.path()).remove(0);
    let good = fs::read(&entry).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damages = [
        Vec::new(),
        good[..good.len() - 1].to_vec(),
        flipped(0),
        flipped(20),
        flipped(good.len() / 2),
        [&good[..], b"x"].concat(),
    ];
    for (number, damage) in damages.iter().enumerate() {
        fs::write(&entry, damage).unwrap();
        let image = load(&engine(dir.path()), &guest);
        assert_eq!(run(&image, apply(b"")).1.output.unwrap(), [6], "damage {number}");
        assert_eq!(fs::read(&entry).unwrap(), good, "damage {number}");
    }
}

#[test]
fn an_image_in_the_place_of_another_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (one, two) = (guest(1), guest(2));
    load(&engine, &one);
    let first = entries(dir.path()).remove(0);
    load(&engine, &two);
    let second = entries(dir.path()).into_iter().find(|entry| *entry != first).unwrap();
    fs::copy(&first, &second).unwrap();
    assert_eq!(run(&load(&engine, &two), apply(b"")).1.output.unwrap(), [2]);
}

#[test]
fn a_cache_that_cannot_be_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let options = EngineOptions { cache_dir: Some(file.clone()), ..EngineOptions::default() };
    let Err(halt) = Engine::new(&options) else { panic!() };
    assert!(halt.to_string().contains(file.to_str().unwrap()), "{halt}");
}
