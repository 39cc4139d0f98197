//! The guests we ship, in this sandbox: what they cost, and that it is the same however they run.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_sandbox::{Call, Engine, EngineOptions, Finished, Image, Kind, inspect};
use common::{Memory, apply, load, query};
use serde_json::{Value, json};
use std::path::Path;

/// The component of a guest.
fn guest(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/guests")
        .join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; build the guests first: cargo xtask guests", path.display())
    })
}

fn call(image: &Image, host: Memory, call: Call<'_>) -> (Memory, Finished) {
    let (host, finished) = image.call(host, call);
    (host, finished.unwrap())
}

fn output(finished: &Finished) -> Value {
    serde_json::from_slice(finished.output.as_ref().unwrap()).unwrap()
}

/// Increments a counter `times` times, each on a keyspace of its own.
fn increments(engine: &Engine, component: &[u8], times: usize) -> Vec<Finished> {
    let image = load(engine, component);
    let increment = Call { method: "increment", ..apply(br#"{"name":"a","by":2}"#) };
    (0..times).map(|_| call(&image, Memory::default(), increment).1).collect()
}

#[test]
fn an_instruction_costs_the_same_however_it_runs() {
    let counter = guest("counter");
    let dir = tempfile::tempdir().unwrap();
    let pooled = EngineOptions { instances_max: 4, ..EngineOptions::default() };
    let cached = EngineOptions { cache_dir: Some(dir.path().to_owned()), ..pooled.clone() };
    let on_demand = EngineOptions { pooling: false, ..pooled.clone() };

    let all = increments(&Engine::new(&pooled).unwrap(), &counter, 1_000);
    assert_eq!(output(&all[0]), 2);
    assert!(all.iter().all(|finished| *finished == all[0]), "the thousandth as the first");
    for options in [&cached, &cached, &on_demand] {
        assert_eq!(increments(&Engine::new(options).unwrap(), &counter, 1)[0], all[0]);
    }
    assert!(all[0].fuel_used < 30_000, "{}", all[0].fuel_used);
}

#[test]
fn counter_counts() {
    let engine = common::engine();
    let image = load(engine, &guest("counter"));
    let increment = Call { method: "increment", ..apply(br#"{"by":3}"#) };
    let (host, finished) = call(&image, Memory::default(), increment);
    assert_eq!(output(&finished), 3);
    let (host, finished) = call(&image, host, increment);
    assert_eq!(output(&finished), 6);
    let (host, finished) = call(&image, host, Call { method: "value", ..query(b"") });
    assert_eq!(output(&finished), 6);
    let (_, finished) = call(&image, host, Call { method: "decrement", ..apply(b"") });
    let error = finished.output.unwrap_err();
    assert!(error.message.starts_with("guest: unknown method `decrement`"), "{error}");
}

#[test]
fn a_batch_of_files_fits_the_default_fuel() {
    let image = load(common::engine(), &guest("tagger"));
    let set_rule = |tag: &str, rule: Value| json!({"tag": tag, "rule": rule}).to_string();
    let mut host = Memory::default();
    for rule in [
        set_rule("docs", json!({"globs": ["/usr/share/doc/**"]})),
        set_rule("text", json!({"extensions": ["txt", "md", "html"]})),
        set_rule("big", json!({"size_min": 1 << 20})),
        set_rule("old", json!({"age_min_s": 86_400 * 365})),
    ] {
        let set = Call { method: "set_rule", ..apply(rule.as_bytes()) };
        let finished;
        (host, finished) = call(&image, host, set);
        assert_eq!(output(&finished), json!({"remaining": 0}));
    }
    for size in [100, 500, 1_000] {
        let upserts: Vec<Value> = (0..size)
            .map(|i| {
                json!({"path": format!("/usr/share/doc/package-{size}/chapter-{i}.txt"),
                       "size": i * 5_000, "modified_us": 1_500_000_000_000_000_u64, "kind": "file"})
            })
            .collect();
        let args = json!({"upserts": upserts}).to_string();
        let batch = Call { method: "files", fuel: 200_000_000, ..apply(args.as_bytes()) };
        let finished;
        (host, finished) = call(&image, host, batch);
        assert_eq!(output(&finished)["added"], size, "{finished:?}");
        assert!(finished.fuel_used / size < 90_000, "{}", finished.fuel_used / size);
    }
    let by_tag = Call { method: "by_tag", ..query(br#"{"tag":"text","limit":1000}"#) };
    let (_, finished) = call(&image, host, by_tag);
    assert_eq!(output(&finished)["more"], true);
}

/// The SDK for Rust has the worlds of both kinds: of the other one, nothing may be left in a component.
#[test]
fn a_guest_imports_only_what_one_of_its_kind_may() {
    let contract = ["althing:contract/", "wasi:"];
    let actor = ["althing:actor/", "wasi:"];
    for (name, kind, prefixes) in [
        ("counter", Kind::Contract, &contract[..1]),
        ("tagger", Kind::Contract, &contract[..1]),
        ("token", Kind::Contract, &contract[..1]),
        ("counter-js", Kind::Contract, &contract),
        ("counter-python", Kind::Contract, &contract),
        ("ledger", Kind::Actor, &actor[..1]),
        ("relay", Kind::Actor, &actor[..1]),
        ("saga", Kind::Actor, &actor[..1]),
        ("thermostat", Kind::Actor, &actor[..1]),
    ] {
        let inspection = inspect(&guest(name)).unwrap();
        assert_eq!(inspection.kind, kind, "{name}");
        assert!(!inspection.imports.is_empty(), "{name}");
        for import in &inspection.imports {
            let is_fine = prefixes.iter().any(|prefix| import.starts_with(prefix));
            assert!(is_fine, "{name} imports {import}");
        }
    }
}
