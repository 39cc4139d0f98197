//! The counter in Rust, Python and JavaScript: the same contract three times, each the same on every
//! backend.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Error, Kind};
use althing_sandbox::{Backend, Call, Engine, EngineOptions, Export, Image, Level, Observed};
use common::{Memory, apply, load};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Memory that a call may have: the default of a manifest.
const MEMORY: u64 = 64 << 20;

/// Instructions and questions, one after the other, on one keyspace.
const SCRIPT: &[(Export, &str, &str)] = &[
    (Export::Apply, "increment", ""),
    (Export::Apply, "increment", r#"{"name":"é","by":18446744073709551614}"#),
    (Export::Apply, "increment", r#"{"name":"é"}"#),
    (Export::Query, "value", r#"{"name":"é"}"#),
    (Export::Apply, "increment", r#"{"name":"é"}"#),
    (Export::Query, "list", r#"{"limit":1}"#),
    (Export::Query, "list", r#"{"after":"default"}"#),
    (Export::Apply, "reset", ""),
    (Export::Query, "value", ""),
    (Export::Apply, "increment", r#"{"by":-1}"#),
    (Export::Apply, "increment", "{"),
    (Export::Apply, "divide", ""),
    (Export::Query, "increment", ""),
    (Export::Apply, "increment", r#"{"name":""}"#),
];

/// What became of a call, and all that it asked for.
#[derive(Debug, PartialEq)]
struct Ran {
    output: Result<Vec<u8>, Error>,
    fuel_used: u64,
    observed: Vec<Observed>,
    logs: Vec<(Level, String)>,
}

#[derive(Debug, PartialEq)]
struct Played {
    calls: Vec<Ran>,
    db: BTreeMap<Vec<u8>, Arc<[u8]>>,
}

/// The component of a guest that this repository builds.
fn guest(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/guests")
        .join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; build the guests first: cargo xtask guests", path.display())
    })
}

/// Compiling Python takes a while, so what is compiled outlives the test run.
fn engine(backend: Backend) -> Engine {
    let cache_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("languages-{backend}"));
    let options = EngineOptions { backend, cache_dir: Some(cache_dir), ..EngineOptions::default() };
    Engine::new(&options).unwrap()
}

fn play(image: &Image) -> Played {
    let mut db = BTreeMap::new();
    let mut calls = Vec::new();
    for (export, method, args) in SCRIPT {
        let before: BTreeMap<_, _> = db.clone();
        let host = Memory { db, observed: Some(Vec::new()), ..Memory::default() };
        let call =
            Call { export: *export, method, memory_bytes_max: MEMORY, ..apply(args.as_bytes()) };
        let (host, finished) = image.call(host, call);
        let finished = finished.unwrap();
        // What a failed call wrote is undone.
        db = if finished.output.is_ok() { host.db } else { before };
        calls.push(Ran {
            output: finished.output,
            fuel_used: finished.fuel_used,
            observed: host.observed.unwrap(),
            logs: host.logs,
        });
    }
    Played { calls, db }
}

/// Two fresh instances of it do the same, and so does another backend. Gives what they do.
fn same_everywhere(name: &str) -> Played {
    let component = guest(name);
    let native = load(&engine(Backend::Native), &component);
    let played = play(&native);
    assert_eq!(play(&native), played, "{name}, once more");
    let portable = load(&engine(Backend::Portable), &component);
    assert_eq!(play(&portable), played, "{name}, on the portable backend");
    played
}

/// It gives what the one in Rust gives, and leaves the same state.
fn as_rust_does(name: &str) {
    let reference = play(&load(&engine(Backend::Native), &guest("counter")));
    let played = same_everywhere(name);
    assert_eq!(played.db, reference.db);
    for ((call, ours), theirs) in SCRIPT.iter().zip(&played.calls).zip(&reference.calls) {
        let show = |output: &Result<Vec<u8>, Error>| match output {
            Ok(json) => Ok(serde_json::from_slice::<Value>(json).unwrap()),
            Err(error) => Err(error.kind),
        };
        assert_eq!(show(&ours.output), show(&theirs.output), "{name}: {call:?}: {ours:?}");
        // An error is a value: nothing trapped, so nothing cost all the fuel there is.
        assert!(ours.fuel_used < common::FUEL, "{name}: {call:?}: {ours:?}");
    }
    let failed = played.calls.iter().filter(|call| call.output.is_err()).count();
    assert!(failed >= 5, "{name}: the script has bad calls, {failed} failed");
}

#[test]
fn rust() {
    let played = same_everywhere("counter");
    assert_eq!(played.calls[0].output, Ok(b"1".to_vec()));
    let overflow = played.calls[4].output.as_ref().unwrap_err();
    assert_eq!(overflow.kind, Kind::GuestFailed);
}

#[test]
fn python() {
    as_rust_does("counter-python");
}

#[test]
fn javascript() {
    as_rust_does("counter-js");
}
