//! Compiled images on disk: found again, checked, replaced.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::Hash;
use althing_sandbox::{Engine, EngineOptions, Progress};
use common::{apply, component, load, module, run};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
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

/// A guest with `count` functions that are all different, and `mark` in its data.
fn large(count: u32, mark: u8) -> Vec<u8> {
    let functions: String = (0..count)
        .map(|n| {
            format!("(func $f{n} (param i32) (result i32) (i32.add (local.get 0) (i32.const {n})))")
        })
        .collect();
    let items = format!("{functions} (data (i32.const 512) \"{}\")", char::from(mark));
    component(&module(
        &items,
        "(drop (call $f7 (i32.const 1))) (call $ok (i32.const 512) (i32.const 1))",
    ))
}

fn compile(engine: &Engine, guest: &[u8]) -> (u32, u32) {
    let progress = Arc::new(Progress::default());
    assert_eq!(progress.functions(), (0, 0));
    let image = engine.compile(&Hash::of(guest), guest, &progress).unwrap();
    assert_eq!(run(&image, apply(b"")).1.output.unwrap().len(), 1);
    progress.functions()
}

fn ending(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let has = |path: &PathBuf| path.extension().is_some_and(|found| found == ending);
    entries(dir).into_iter().filter(has).collect()
}

#[test]
fn progress_counts_every_function() {
    let dir = tempfile::tempdir().unwrap();
    let (done, total) = compile(&engine(dir.path()), &large(50, b'a'));
    assert!(total > 50, "{total}");
    assert_eq!(done, total);
    assert!(ending(dir.path(), "functions").is_empty(), "too few to keep");
}

#[test]
fn functions_are_kept_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    compile(&engine(dir.path()), &large(1_100, b'a'));
    let kept = ending(dir.path(), "functions");
    let [file] = &kept[..] else { panic!("{kept:?}") };
    let first = fs::read(file).unwrap();
    // The code of the next version is the same: its data differs, and so the images do.
    compile(&engine(dir.path()), &large(1_100, b'b'));
    assert_eq!(ending(dir.path(), "functions"), kept);
    assert_eq!(ending(dir.path(), "image").len(), 2);

    for damage in [&first[..first.len() - 1], &[&first[..], b"x"].concat(), b""] {
        fs::write(file, damage).unwrap();
        let (done, total) = compile(&engine(dir.path()), &large(1_100, b'c'));
        assert_eq!(done, total);
        let anew = fs::read(file).unwrap();
        assert!(anew.len() > first.len() / 2 && anew != *damage);
    }
    let mut flipped = first.clone();
    flipped[40] ^= 1;
    fs::write(file, &flipped).unwrap();
    compile(&engine(dir.path()), &large(1_100, b'd'));
    assert_ne!(fs::read(file).unwrap(), flipped);
}

#[test]
fn an_image_is_found_without_its_component() {
    let dir = tempfile::tempdir().unwrap();
    let guest = guest(3);
    let hash = Hash::of(&guest);
    assert!(engine(dir.path()).cached(&hash).is_none());
    let compiled = load(&engine(dir.path()), &guest);
    let cached = engine(dir.path()).cached(&hash).unwrap();
    assert_eq!(cached.memory_bytes_min(), compiled.memory_bytes_min());
    assert_eq!(cached.nested_start_fuel(), compiled.nested_start_fuel());
    assert_eq!(run(&cached, apply(b"")).1, run(&compiled, apply(b"")).1);
}

#[test]
fn an_image_that_does_not_start_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let guest = component(&module("(func $boom unreachable) (start $boom)", "(unreachable)"));
    for _ in 0..2 {
        assert!(engine(dir.path()).load(&Hash::of(&guest), &guest).is_err());
        assert!(entries(dir.path()).is_empty());
    }
}

/// What is mapped stays as it was, when its file is replaced or removed.
#[test]
fn a_loaded_image_outlives_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let guest = guest(4);
    load(&engine(dir.path()), &guest);
    let image = engine(dir.path()).cached(&Hash::of(&guest)).unwrap();
    fs::remove_file(entries(dir.path()).remove(0)).unwrap();
    assert_eq!(run(&image, apply(b"")).1.output.unwrap(), [4]);
}
