//! Components nobody meant: random ones, and real ones with bytes changed. Each is refused with
//! words or runs; the node never panics, halts or hangs. The seeds are fixed, and in every message.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::Hash;
use althing_sandbox::{Backend, Call, Engine, EngineOptions, LoadError, inspect};
use arbitrary::Unstructured;
use common::{Memory, apply, module, on_stack, query, wrapped};
use std::path::Path;

/// Random components that are inspected.
const COMPONENTS: u64 = 300;
/// Random modules that are made contracts, compiled and called.
const CONTRACTS: u64 = 40;
/// Changed copies of each real component.
const MUTANTS: u64 = 400;
/// Of those that pass inspection, so many are compiled: it takes a while.
const COMPILED_MAX: u32 = 10;

/// Bytes of a seed.
fn bytes(what: &str, seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let seed = format!("{what} {seed}");
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn engine(backend: Backend) -> Engine {
    Engine::new(&EngineOptions { backend, instances_max: 12, ..EngineOptions::default() }).unwrap()
}

/// Loads and calls it. True when it was loaded.
fn runs(engine: &Engine, component: &[u8], name: &str) -> bool {
    let image = match on_stack(|| engine.load(&Hash::of(component), component)) {
        Ok(image) => image,
        Err(LoadError::Refused(error)) => {
            assert!(!error.message.is_empty(), "{name}");
            return false;
        }
        Err(LoadError::Halt(halt)) => panic!("{name}: {halt}"),
    };
    for call in [apply(b"{}"), query(b"{}")] {
        let call = Call { fuel: 2_000_000, ..call };
        let (_, finished) = on_stack(|| image.call(Memory::default(), call));
        let finished = finished.unwrap_or_else(|halt| panic!("{name}: {halt}"));
        assert!(finished.fuel_used <= call.fuel, "{name}");
    }
    true
}

/// What wasm-smith may use: all that the sandbox offers.
fn config(module: &[u8]) -> wasm_smith::Config {
    wasm_smith::Config {
        available_imports: Some(module.to_vec()),
        exports: Some(module.to_vec()),
        max_instructions: 400,
        max_memories: 1,
        max_tables: 2,
        max_table_elements: 1_000,
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        ..wasm_smith::Config::default()
    }
}

#[test]
fn random_components_are_inspected() {
    let mut made = 0;
    for seed in 0..COMPONENTS {
        let bytes = bytes("component", seed, 2_000);
        let config = wasm_smith::Config::default();
        let mut data = Unstructured::new(&bytes);
        let Ok(component) = wasm_smith::Component::new(config, &mut data) else { continue };
        made += 1;
        // It exports no `apply`, or not of that type.
        assert!(inspect(&component.to_bytes()).is_err(), "seed {seed}");
    }
    assert!(made > COMPONENTS / 2, "{made}");
}

#[test]
fn random_contracts_run() {
    let wat = module("", "unreachable");
    let shape = wat::parse_str(&wat).unwrap();
    let engines = [engine(Backend::Native), engine(Backend::Portable)];
    let mut ran = 0;
    for seed in 0..CONTRACTS {
        let bytes = bytes("contract", seed, 6_000);
        let module = wasm_smith::Module::new(config(&shape), &mut Unstructured::new(&bytes));
        let Some(component) = wrapped("contract", module.unwrap().to_bytes()) else { continue };
        for engine in &engines {
            ran += u32::from(runs(engine, &component, &format!("seed {seed}")));
        }
    }
    assert!(ran > 10, "{ran}");
}

#[test]
fn changed_components_are_refused_or_run() {
    let engine = engine(Backend::Native);
    for name in ["counter", "tagger"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = path.join("../../target/guests").join(format!("{name}.wasm"));
        let whole = std::fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; build the guests first: cargo xtask guests", path.display())
        });
        let mut compiled = 0;
        for seed in 0..MUTANTS {
            let mutant = mutated(&whole, &bytes(name, seed, 64));
            let at = format!("{name}, seed {seed}");
            if inspect(&mutant).is_ok() && compiled < COMPILED_MAX {
                compiled += 1;
                runs(&engine, &mutant, &at);
            }
        }
        assert!(compiled > 0, "{name}: no mutant passes inspection");
    }
}

/// A copy with one thing changed, as `random` says.
fn mutated(whole: &[u8], random: &[u8]) -> Vec<u8> {
    let mut random =
        random.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let mut below = |most: usize| (random.next().unwrap() % most as u64) as usize;
    let mut mutant = whole.to_vec();
    match below(5) {
        // Some bytes become others.
        0 => {
            for _ in 0..=below(3) {
                let at = below(whole.len());
                mutant[at] = below(256) as u8;
            }
        }
        // A bit flips.
        1 => mutant[below(whole.len())] ^= 1 << below(8),
        // It is cut short.
        2 => mutant.truncate(below(whole.len())),
        // A piece is gone.
        3 => {
            let (at, len) = (below(whole.len()), below(64));
            mutant.drain(at..(at + len).min(whole.len()));
        }
        // A piece stands twice.
        _ => {
            let (at, len) = (below(whole.len()), below(64));
            let piece = whole[at..(at + len).min(whole.len())].to_vec();
            mutant.splice(at..at, piece);
        }
    }
    mutant
}
