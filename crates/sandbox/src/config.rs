//! The engine's configuration: every option that can change what a guest computes or costs is set
//! here, on or off, with its reason. Nothing is left to a default.

use crate::{Backend, EngineOptions, Reservation, fuel, functions::Functions, limits};
use althing_protocol::limits::GUEST_MEMORY_BYTES_MAX;
use std::sync::Arc;
use wasmparser::WasmFeatures as F;
use wasmtime::{
    Config, Enabled, Inlining, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    ProfilingStrategy, RegallocAlgorithm, Strategy,
};

/// The interpreter's instructions, for 64-bit hosts.
const PORTABLE_TARGET: &str = "pulley64";
/// More than any component within the limits needs.
const INSTANCE_BYTES_MAX: usize = 64 << 20;
/// Slots of a pool that has little address space: 4 GiB in all.
const SMALL_SLOTS_MAX: u32 = 16;

/// Core instances of a call: the engine adds one before each of the guest's at most, to pass values
/// between nested components, and one in the end; the meter adds one to each component.
const CORE_SLOTS: u32 = 2 * limits::CORE_INSTANCES_MAX + 1 + limits::COMPONENT_INSTANCES_MAX;
/// Tables of a call: the meter adds one to each component.
const TABLE_SLOTS: u32 = limits::TABLES_MAX + limits::COMPONENT_INSTANCES_MAX;

/// Each proposal of WebAssembly that the parser knows: is it on, and why.
///
/// A test fails when the parser learns a new one.
pub(crate) const FEATURES: &[(F, bool, &str)] = &[
    (F::COMPONENT_MODEL, true, "guests are components"),
    (F::MUTABLE_GLOBAL, true, "the stack pointer of every compiler"),
    (F::SATURATING_FLOAT_TO_INT, true, "emitted by default, fully specified"),
    (F::SIGN_EXTENSION, true, "emitted by default, fully specified"),
    (F::REFERENCE_TYPES, true, "needed by wit-component's tables; function references only"),
    (F::CALL_INDIRECT_OVERLONG, true, "encoding only, emitted with reference types"),
    (F::MULTI_VALUE, true, "emitted by default, fully specified"),
    (F::BULK_MEMORY, true, "memcpy and memset; charged per byte"),
    (F::BULK_MEMORY_OPT, true, "part of the above"),
    (F::EXTENDED_CONST, true, "constant expressions only"),
    (F::SIMD, true, "128-bit, fully specified but for NaNs, which are canonicalised"),
    (F::FLOATS, true, "fully specified but for NaNs, which are canonicalised"),
    (F::RELAXED_SIMD, false, "results depend on the processor"),
    (F::THREADS, false, "results depend on timing"),
    (F::SHARED_EVERYTHING_THREADS, false, "results depend on timing"),
    (F::TAIL_CALL, false, "no guest needs it, and it would have to be metered"),
    (
        F::MULTI_MEMORY,
        true,
        "the engine copies between nested components; guests have one a module",
    ),
    (F::MEMORY64, false, "costs bounds checks, and no guest needs more than the limit"),
    (F::EXCEPTIONS, false, "needs garbage collection"),
    (F::LEGACY_EXCEPTIONS, false, "superseded"),
    (F::GC, false, "when a collection runs is not specified"),
    (F::GC_TYPES, false, "the engine is built without a collector"),
    (F::FUNCTION_REFERENCES, false, "needs the types of garbage collection"),
    (F::STACK_SWITCHING, false, "not settled, and one processor only"),
    (F::CUSTOM_PAGE_SIZES, false, "memory is charged by pages of 64 KiB"),
    (F::MEMORY_CONTROL, false, "not settled"),
    (F::WIDE_ARITHMETIC, false, "not settled"),
    (F::CUSTOM_DESCRIPTORS, false, "not settled"),
    (F::COMPACT_IMPORTS, false, "not settled"),
    (F::CM_VALUES, false, "not settled"),
    (F::CM_NESTED_NAMES, false, "not settled"),
    (F::CM_ASYNC, false, "a replicated call is synchronous"),
    (F::CM_ASYNC_STACKFUL, false, "a replicated call is synchronous"),
    (F::CM_MORE_ASYNC_BUILTINS, false, "a replicated call is synchronous"),
    (F::CM_THREADING, false, "results depend on timing"),
    (F::CM_ERROR_CONTEXT, false, "its texts may differ between nodes"),
    (F::CM_FIXED_LENGTH_LISTS, false, "not settled"),
    (F::CM_GC, false, "the engine is built without a collector"),
    (F::CM_MAP, false, "not settled"),
    (F::CM64, false, "memories have 32-bit addresses"),
    (F::CM_CANON_NAMES, false, "not settled"),
    (F::CM_IMPLEMENTS, false, "not settled"),
];

/// The proposals that are on.
pub(crate) fn features() -> F {
    FEATURES.iter().filter(|(_, on, _)| *on).fold(F::empty(), |all, (feature, ..)| all | *feature)
}

/// What every node sets alike: what a guest computes, and what it costs.
pub(crate) fn semantics() -> Config {
    let mut config = Config::new();
    // Off first, whatever the parser knows now or later; then what is on by the table.
    config.wasm_features(F::all(), false);
    config.wasm_features(features(), true);

    // One compiler on every processor. Winch, the other one, does not canonicalise NaNs.
    config.strategy(Strategy::Cranelift);
    // The bits of a NaN differ by processor otherwise, and a guest can see them.
    config.cranelift_nan_canonicalization(true);
    // Off above; should it ever be on, then with the same results everywhere.
    config.relaxed_simd_deterministic(true);
    // Fuel is a function of the path through the guest, and bounds its time.
    config.consume_fuel(true);
    config.operator_cost(fuel::operator_cost());
    // Checks for a deadline are in the code of every node. Only queries have one: a call of the
    // apply thread has it beyond reach (`deadline.rs`), and fuel stops it alone.
    config.epoch_interruption(true);
    // How deep a guest may recurse is metered, since native frames differ by processor: this is a
    // limit that is never reached first, and stops the node if it is.
    config.max_wasm_stack(limits::STACK_BYTES_MAX);
    // Not used, and may not be less.
    config.async_stack_size(limits::STACK_BYTES_MAX);
    // Calls are synchronous; the state for concurrent ones costs time in each.
    config.concurrency_support(false);
    config.shared_memory(false);

    // Error texts reach outcomes: they must not hold frames, names or addresses.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config.debug_info(false);
    config.debug_symbols(false);
    config.profiler(ProfilingStrategy::None);

    // Speed of the code, not of compiling it: an image is compiled once per node.
    config.cranelift_opt_level(OptLevel::Speed);
    config.cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking);
    config.cranelift_debug_verifier(false);
    config.cranelift_wasmtime_debug_checks(false);
    config.compiler_inlining(Inlining::No);
    config.parallel_compilation(true);
    // Hints of the guest's compiler, which are not validated.
    config.wasm_branch_hinting(false);

    // A memory never moves: it is reserved whole.
    config.memory_may_move(false);
    // Fills tables as they are used. Not charged: fuel is set after instantiation.
    config.table_lazy_init(true);
    config
}

/// What of [`EngineOptions`] an engine got, after [`Reservation::Auto`] is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Slots, or none: then memory is asked for at each call.
    pub(crate) slots: Option<u32>,
    /// Whether a memory has all 4 GiB of address space.
    pub(crate) full: bool,
}

/// The layouts to try, best first.
pub(crate) fn layouts(options: &EngineOptions) -> Vec<Layout> {
    let full = Layout { slots: Some(options.instances_max.max(1)), full: true };
    let few = options.instances_max.clamp(1, SMALL_SLOTS_MAX);
    let small = Layout { slots: Some(few), full: false };
    let on_demand = Layout { slots: None, full: false };
    match (options.pooling, options.reservation, options.backend) {
        (true, Reservation::Full, _) => vec![full],
        (true, Reservation::Small, _) => vec![small],
        // The interpreter checks every access, whatever is reserved.
        (true, Reservation::Auto, Backend::Portable) => vec![small, on_demand],
        (true, Reservation::Auto, Backend::Native) => vec![full, small, on_demand],
        (false, Reservation::Full, _) => vec![Layout { slots: None, ..full }],
        (false, _, _) => vec![on_demand],
    }
}

/// The configuration of an engine: the semantics, and this node's way of running them.
pub(crate) fn config(
    options: &EngineOptions,
    layout: Layout,
    functions: &Arc<Functions>,
) -> wasmtime::Result<Config> {
    let mut config = semantics();
    // A function that was compiled before has the same code as one that is compiled now: its key is
    // a hash of all that the compiler looks at.
    config.enable_incremental_compilation(Arc::clone(functions) as _)?;
    match options.backend {
        Backend::Native => {
            // Bounds are checked by guard pages, divisions by the processor. The interpreter has
            // code for both. The outcome is the same trap.
            config.signals_based_traps(true);
        }
        Backend::Portable => {
            config.target(PORTABLE_TARGET)?;
            config.signals_based_traps(false);
        }
    }
    if layout.full {
        config.memory_reservation(4 << 30);
        config.memory_guard_size(32 << 20);
        config.guard_before_linear_memory(true);
    } else {
        config.memory_reservation(GUEST_MEMORY_BYTES_MAX);
        config.memory_guard_size(64 << 10);
        config.guard_before_linear_memory(false);
    }
    config.memory_reservation_for_growth(0);
    config.memory_init_cow(options.copy_on_write);
    // Up to this, an image is made of a memory whose data lies scattered, too.
    config.memory_guaranteed_dense_image_size(16 << 20);
    // Nobody unwinds the frames of a guest, and to announce them takes long for a large image.
    config.native_unwind_info(cfg!(windows));
    config.allocation_strategy(match layout.slots {
        Some(slots) => InstanceAllocationStrategy::Pooling(pool(slots)),
        None => InstanceAllocationStrategy::OnDemand,
    });
    Ok(config)
}

/// Slots for `calls` at once, each as large as the limits allow, so that no guest meets the end of
/// the pool before it meets a limit.
fn pool(calls: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(CORE_SLOTS))
        .total_memories(calls.saturating_mul(limits::MEMORIES_MAX))
        .total_tables(calls.saturating_mul(TABLE_SLOTS))
        .max_core_instances_per_component(CORE_SLOTS)
        .max_memories_per_component(limits::MEMORIES_MAX)
        .max_tables_per_component(TABLE_SLOTS)
        .max_memories_per_module(1)
        .max_tables_per_module(limits::TABLES_MAX)
        // One more than a guest may have: how the meter marks its own.
        .table_elements(limits::TABLE_ELEMENTS_MAX + 1)
        .max_memory_size(memory_bytes_max())
        // What the engine keeps about an instance lies on the heap, and is bounded by the limits of
        // the component: this must never be what refuses one, for without a pool nothing does.
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        // A slot keeps the memory image of what ran in it last, for as many images as there are.
        .max_unused_warm_slots(calls)
        // Slots are wiped at once: one that waits is one that the next call cannot have.
        .decommit_batch_size(1)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(memory_keep_bytes())
        .table_keep_resident(8 << 10);
    pool
}

/// Pages that a call dirtied are wiped in place, up to this much, and stay mapped for the next one.
/// The kernel tells which ones they are (Linux 6.7); without it, all of this is wiped each time.
fn memory_keep_bytes() -> usize {
    if PoolingAllocationConfig::is_pagemap_scan_available() { 1 << 20 } else { 128 << 10 }
}

fn memory_bytes_max() -> usize {
    usize::try_from(GUEST_MEMORY_BYTES_MAX).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_proposal_is_decided() {
        let decided = FEATURES.iter().fold(F::empty(), |all, (feature, ..)| all | *feature);
        assert_eq!(F::all() - decided, F::empty(), "proposals without a decision");
    }

    /// What the engine would do by itself may change with its version; what we told it may not.
    #[test]
    fn the_semantics_are_those_on_record() {
        // The engine keeps its compiler's settings in a map without an order.
        let config = format!("{:#?}\n", semantics());
        let (open, close) = ("settings: {\n", "            },\n            flags");
        let (head, tail) = config.split_once(open).unwrap();
        let (settings, tail) = tail.split_once(close).unwrap();
        let mut settings: Vec<&str> = settings.split_inclusive("),\n").collect();
        settings.sort_unstable();
        let found = [head, open, &settings.concat(), close, tail].concat();
        let recorded = include_str!("../tests/semantics-1.txt");
        for (line, (found, recorded)) in found.lines().zip(recorded.lines()).enumerate() {
            assert_eq!(found, recorded, "line {} of tests/semantics-1.txt", line + 1);
        }
        assert_eq!(found.len(), recorded.len(), "{found}");
    }
}
