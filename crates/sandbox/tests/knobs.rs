//! Every option of the engine is decided. An upgrade that adds or removes one fails here, and the
//! table says afterwards what was decided about it and why.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeSet, path::PathBuf, process::Command};

/// What was decided.
enum Knob {
    /// Set in `src/config.rs`, with its reason there.
    Set,
    /// A proposal: decided by the table `FEATURES` of `src/config.rs`, set all at once.
    Proposal,
    /// Belongs to a feature of the crate that is not compiled in.
    Absent(&'static str),
    /// Left alone, for this reason.
    Left(&'static str),
}
use Knob::{Absent, Left, Proposal, Set};

const CONFIG: &[(&str, Knob)] = &[
    ("enable_compiler", Left("the compiler is there, and is never taken away")),
    ("target", Set),
    ("enable_incremental_compilation", Set),
    ("async_support", Absent("async")),
    ("debug_info", Set),
    ("debug_symbols", Set),
    ("guest_debug", Absent("debug")),
    ("wasm_backtrace", Left("superseded by wasm_backtrace_max_frames, which is set")),
    ("wasm_backtrace_details", Left("no backtrace is taken")),
    ("wasm_backtrace_max_frames", Set),
    ("native_unwind_info", Set),
    ("consume_fuel", Set),
    ("operator_cost", Set),
    ("epoch_interruption", Set),
    ("gc_zeal_alloc_counter", Absent("gc")),
    ("max_wasm_stack", Set),
    ("async_stack_size", Set),
    ("async_stack_zeroing", Left("calls are synchronous, there are no such stacks")),
    ("wasm_features", Set),
    ("wasm_tail_call", Proposal),
    ("wasm_branch_hinting", Set),
    ("wasm_custom_page_sizes", Proposal),
    ("wasm_threads", Proposal),
    ("wasm_shared_everything_threads", Proposal),
    ("wasm_reference_types", Proposal),
    ("wasm_function_references", Proposal),
    ("wasm_wide_arithmetic", Proposal),
    ("wasm_gc", Proposal),
    ("wasm_simd", Proposal),
    ("wasm_relaxed_simd", Proposal),
    ("relaxed_simd_deterministic", Set),
    ("wasm_bulk_memory", Proposal),
    ("wasm_multi_value", Proposal),
    ("wasm_multi_memory", Proposal),
    ("wasm_memory64", Proposal),
    ("wasm_extended_const", Proposal),
    ("wasm_stack_switching", Proposal),
    ("wasm_component_model", Proposal),
    ("wasm_component_model_async", Proposal),
    ("wasm_component_model_more_async_builtins", Proposal),
    ("wasm_component_model_async_stackful", Proposal),
    ("wasm_component_model_threading", Proposal),
    ("wasm_component_model_error_context", Proposal),
    ("wasm_component_model_gc", Proposal),
    ("wasm_component_model_map", Proposal),
    ("wasm_component_model_memory64", Proposal),
    ("wasm_component_model_fixed_length_lists", Proposal),
    ("wasm_component_model_implements", Proposal),
    ("wasm_exceptions", Proposal),
    ("wasm_legacy_exceptions", Proposal),
    ("strategy", Set),
    ("collector", Absent("gc")),
    ("gc_heap_initial_size", Absent("gc")),
    ("profiler", Set),
    ("cranelift_debug_verifier", Set),
    ("cranelift_wasmtime_debug_checks", Set),
    ("cranelift_opt_level", Set),
    ("cranelift_regalloc_algorithm", Set),
    ("cranelift_nan_canonicalization", Set),
    ("cranelift_flag_enable", Left("no flag of the compiler is set behind the engine's back")),
    ("cranelift_flag_set", Left("no flag of the compiler is set behind the engine's back")),
    ("cache", Absent("cache: `src/cache.rs` is ours, and checks what it reads")),
    ("with_host_memory", Left("memory comes from the engine's own allocators")),
    ("with_host_stack", Absent("async")),
    ("with_custom_code_memory", Left("code lies in ordinary memory")),
    ("allocation_strategy", Set),
    ("memory_reservation", Set),
    ("memory_may_move", Set),
    ("memory_guard_size", Set),
    ("memory_reservation_for_growth", Set),
    ("gc_heap_reservation", Absent("gc")),
    ("gc_heap_guard_size", Absent("gc")),
    ("gc_heap_reservation_for_growth", Absent("gc")),
    ("gc_heap_may_move", Absent("gc")),
    ("guard_before_linear_memory", Set),
    ("table_lazy_init", Set),
    (
        "module_version",
        Left(
            "compiled code says the exact version of the engine, and so does the name of its cache entry",
        ),
    ),
    ("parallel_compilation", Set),
    ("generate_address_map", Set),
    ("memory_init_cow", Set),
    ("force_memory_init_memfd", Left("how a copy-on-write image is held changes no byte of it")),
    ("coredump_on_trap", Absent("coredump")),
    ("wmemcheck", Absent("wmemcheck")),
    ("memory_guaranteed_dense_image_size", Set),
    ("compiler_inlining", Set),
    ("debug_adapter_modules", Left("bindings between components, of which there is one")),
    ("emit_clif", Left("writes the compiler's work to files, for who mends the compiler")),
    ("macos_use_mach_ports", Left("how macOS delivers a fault; the trap is the same")),
    (
        "detect_host_feature",
        Left("native code uses what the processor has; the results are those of wasm"),
    ),
    ("signals_based_traps", Set),
    ("gc_support", Absent("gc")),
    ("x86_float_abi_ok", Left("for targets without an operating system")),
    ("shared_memory", Set),
    ("concurrency_support", Set),
    ("rr", Absent("rr")),
    (
        "metadata_for_internal_asserts",
        Left("the engine's own checks of itself, in its debug builds"),
    ),
    ("metadata_for_gc_heap_corruption", Absent("gc")),
];

const POOL: &[(&str, Knob)] = &[
    ("max_unused_warm_slots", Set),
    ("decommit_batch_size", Set),
    ("async_stack_keep_resident", Left("calls are synchronous, there are no such stacks")),
    ("linear_memory_keep_resident", Set),
    ("table_keep_resident", Set),
    ("total_component_instances", Set),
    ("max_component_instance_size", Set),
    ("max_core_instances_per_component", Set),
    ("max_memories_per_component", Set),
    ("max_tables_per_component", Set),
    ("total_memories", Set),
    ("total_tables", Set),
    ("total_stacks", Absent("async")),
    ("total_core_instances", Set),
    ("max_core_instance_size", Set),
    ("max_tables_per_module", Set),
    ("table_elements", Set),
    ("max_memories_per_module", Set),
    ("max_memory_size", Set),
    ("memory_protection_keys", Absent("memory-protection-keys")),
    ("max_memory_protection_keys", Absent("memory-protection-keys")),
    ("total_gc_heaps", Absent("gc")),
    ("pagemap_scan", Set),
];

#[test]
fn every_knob_of_the_engine_is_decided() {
    let source = engine_source();
    check("Config", &source, CONFIG);
    check("PoolingAllocationConfig", &source, POOL);
}

/// Compares `table` with the options of `name` in `source`, and with what our configuration sets.
fn check(name: &str, source: &str, table: &[(&str, Knob)]) {
    let found = options(name, source);
    let decided: BTreeSet<&str> = table.iter().map(|(knob, _)| *knob).collect();
    assert_eq!(decided.len(), table.len(), "{name}: an option is in the table twice");
    let added: Vec<_> = found.difference(&decided).collect();
    assert!(added.is_empty(), "{name}: decide about {added:?}, in src/config.rs and in this table");
    let removed: Vec<_> = decided.difference(&found).collect();
    assert!(removed.is_empty(), "{name}: the engine has no {removed:?} any more");
    let ours = include_str!("../src/config.rs");
    for (knob, decision) in table {
        let is_set = ours.contains(&format!(".{knob}("));
        match decision {
            Set => assert!(is_set, "{name}::{knob}: src/config.rs does not set it"),
            Proposal => assert!(!is_set, "{name}::{knob}: belongs in the table FEATURES"),
            Absent(why) | Left(why) => assert!(!is_set, "{name}::{knob}: is set, against: {why}"),
        }
    }
}

/// The public methods that change a `name`, as the engine's source has them.
fn options<'a>(name: &str, source: &'a str) -> BTreeSet<&'a str> {
    let (_, body) = source.split_once(&format!("\nimpl {name} {{\n")).expect("its impl");
    let (body, _) = body.split_once("\n}\n").expect("the end of its impl");
    let methods = body.split("\n    pub ").skip(1).filter_map(|method| {
        let method = method.strip_prefix("unsafe ").unwrap_or(method).strip_prefix("fn ")?;
        let (name, parameters) = method.split_once('(')?;
        parameters.trim_start().starts_with("&mut self").then_some(name)
    });
    let found: BTreeSet<&str> = methods.collect();
    assert!(found.len() > 10, "{name}: only {found:?} found; does its source look different now?");
    found
}

/// `config.rs` of the version that this workspace is locked to.
fn engine_source() -> String {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--offline",
            "--locked",
            "--manifest-path",
            manifest,
        ])
        .output()
        .expect("`cargo metadata` runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata, which finds the engine's source: {text}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let engines: Vec<_> = packages.iter().filter(|package| package["name"] == "wasmtime").collect();
    let [engine] = engines[..] else { panic!("{} versions of wasmtime", engines.len()) };
    let manifest = PathBuf::from(engine["manifest_path"].as_str().unwrap());
    let path = manifest.with_file_name("src").join("config.rs");
    std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("the engine's source, {}: {error}; this test compares with it", path.display())
    })
}
