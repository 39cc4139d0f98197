//! Metered code does what it did before, and gives back what it took.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::config;
use wasmparser::Payload;
use wasmtime::{Engine, Global, Instance, Module as Compiled, Store, Trap, Val};

/// Modules of random code that are compared.
const MODULES: u32 = 150;
/// Fuel of a function of such a module.
const FUEL: u64 = 200_000;

/// The component that holds `module` and an instance of it.
fn wrapped(module: &[u8]) -> Vec<u8> {
    let mut component = Component::new();
    component.section(&wasm_encoder::RawSection { id: 1, data: module });
    let mut instances = InstanceSection::new();
    instances.instantiate::<[(&str, ModuleArg); 0], &str>(0, []);
    component.section(&instances);
    component.finish()
}

/// The core modules of a component, in order.
fn modules(component: &[u8]) -> Vec<Vec<u8>> {
    let payloads = Parser::new(0).parse_all(component);
    let ranges = payloads.filter_map(|payload| match payload.unwrap() {
        Payload::ModuleSection { unchecked_range, .. } => Some(unchecked_range),
        _ => None,
    });
    ranges.map(|range| component[range].to_vec()).collect()
}

fn engine() -> Engine {
    let mut config = config::semantics();
    config.epoch_interruption(false);
    config.compiler_inlining(wasmtime::Inlining::No);
    Engine::new(&config).unwrap()
}

/// An instance of a module, and its budget if it is metered.
struct Running {
    store: Store<()>,
    instance: Instance,
    left: Option<Global>,
}

impl Running {
    fn new(engine: &Engine, module: &[u8], gauge: Option<&[u8]>) -> Result<Self, wasmtime::Error> {
        let mut store = Store::new(engine, ());
        store.set_fuel(FUEL)?;
        let module = Compiled::new(engine, module)?;
        let mut linker = wasmtime::Linker::new(engine);
        let mut left = None;
        if let Some(gauge) = gauge {
            let gauge = Instance::new(&mut store, &Compiled::new(engine, gauge)?, &[])?;
            linker.instance(&mut store, MODULE, gauge)?;
            left = gauge.get_global(&mut store, LEFT);
        }
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Self { store, instance, left })
    }

    fn plain(engine: &Engine, module: &[u8]) -> Result<Self, wasmtime::Error> {
        Self::new(engine, module, None)
    }

    fn metered(engine: &Engine, module: &[u8]) -> Result<Self, wasmtime::Error> {
        let metered = modules(&meter(&wrapped(module)).map_err(wasmtime::Error::new)?);
        Self::new(engine, &metered[1], Some(&metered[0]))
    }

    fn left(&mut self) -> i32 {
        self.left.unwrap().get(&mut self.store).unwrap_i32()
    }

    /// What a function gives for zeros: results or trap, in words.
    fn call(&mut self, name: &str) -> String {
        self.store.set_fuel(FUEL).unwrap();
        let function = self.instance.get_func(&mut self.store, name).unwrap();
        let ty = function.ty(&self.store);
        let zeros: Vec<Val> =
            ty.params().map(|ty| Val::default_for_ty(&ty).expect("nullable")).collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        match function.call(&mut self.store, &zeros, &mut results) {
            Ok(()) => words(&results),
            Err(error) => format!("{:?}", error.downcast_ref::<Trap>()),
        }
    }

    /// Everything that an instance exports and that is no function.
    fn state(&mut self) -> String {
        let names: Vec<String> =
            self.instance.exports(&mut self.store).map(|export| export.name().into()).collect();
        let mut state = String::new();
        for name in names {
            if let Some(global) = self.instance.get_global(&mut self.store, &name) {
                state += &words(&[global.get(&mut self.store)]);
            }
            if let Some(memory) = self.instance.get_memory(&mut self.store, &name) {
                state += &format!("{} ", blake3::hash(memory.data(&self.store)));
            }
            if let Some(table) = self.instance.get_table(&mut self.store, &name) {
                state += &format!("{} ", table.size(&self.store));
            }
        }
        state
    }
}

fn words(values: &[Val]) -> String {
    let word = |value: &Val| match value {
        Val::FuncRef(function) => format!("func {}", function.is_some()),
        Val::ExternRef(value) => format!("extern {}", value.is_some()),
        Val::V128(bits) => format!("{:x}", bits.as_u128()),
        value => format!("{value:?}"),
    };
    values.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A module of random code that ends by itself, from `seed`.
fn random(seed: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4_000];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    let config = wasm_smith::Config {
        min_funcs: 3,
        max_funcs: 12,
        min_types: 2,
        max_imports: 0,
        max_instructions: 300,
        max_tables: 3,
        max_table_elements: 100,
        max_memory32_bytes: 4 << 16,
        memory_max_size_required: true,
        export_everything: true,
        allow_start_export: false,
        // What the sandbox does not offer.
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        ..wasm_smith::Config::default()
    };
    let mut module =
        wasm_smith::Module::new(config, &mut arbitrary::Unstructured::new(&bytes)).unwrap();
    module.ensure_termination(500).unwrap();
    module.to_bytes()
}

#[test]
fn random_code_computes_what_it_did() {
    let engine = engine();
    let (mut calls, mut returned) = (0, 0);
    for seed in 0..MODULES {
        let module = random(seed);
        let Ok(mut plain) = Running::plain(&engine, &module) else {
            assert!(Running::metered(&engine, &module).is_err(), "seed {seed}");
            continue;
        };
        let mut metered = Running::metered(&engine, &module).unwrap();
        let full = metered.left();
        let exports: Vec<String> = plain
            .instance
            .exports(&mut plain.store)
            .filter(|export| export.clone().into_func().is_some())
            .map(|export| export.name().into())
            .collect();
        for name in exports {
            let before = metered.left();
            let (expected, found) = (plain.call(&name), metered.call(&name));
            let out_of_fuel = "Some(OutOfFuel)";
            if expected == out_of_fuel || found == out_of_fuel {
                break;
            }
            assert_eq!(expected, found, "seed {seed}, {name}");
            calls += 1;
            if !found.starts_with("Some(") {
                returned += 1;
                assert_eq!(metered.left(), before, "seed {seed}, {name}: it took some");
            }
        }
        assert!(metered.left() <= full);
        assert_eq!(plain.state(), metered.state(), "seed {seed}");
    }
    assert!(calls > 200 && returned > 50, "{calls} calls, {returned} returned");
}

/// `body` gives `result` and leaves the budget as it was.
fn gives_back(body: &str, result: &str) {
    let text = format!(
        r#"(module
             (table 1 funcref) (elem (i32.const 0) $leaf)
             (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
             (func $several (result i32 i64 i32)
               (drop (call $leaf (i32.const 0)))
               (return (i32.const 1) (i64.const 2) (i32.const 3)))
             (func (export "f") (result i32) (local $n i32) {body}))"#
    );
    let module = wat::parse_str(text).unwrap();
    let mut running = Running::metered(&engine(), &module).unwrap();
    assert_eq!(running.left(), limits::STACK_BUDGET.cast_signed());
    assert_eq!(running.call("f"), result, "{body}");
    assert_eq!(running.left(), limits::STACK_BUDGET.cast_signed(), "{body}");
}

#[test]
fn every_way_out_gives_back() {
    for body in [
        "(call $leaf (i32.const 6))",
        "(return (call $leaf (i32.const 6)))",
        "(br 0 (call $leaf (i32.const 6)))",
        "(drop (call $leaf (i32.const 0))) (block (loop (br 2 (i32.const 7)))) unreachable",
        "(drop (call $leaf (i32.const 0))) (block (loop (return (i32.const 7)))) unreachable",
        "(if (call $leaf (i32.const 0)) (then (return (i32.const 7)))) (i32.const 8)",
        "(br_if 0 (i32.const 7) (call $leaf (i32.const 0))) drop (i32.const 8)",
        "(drop (block (result i32) (br_table 0 1 (i32.const 7) (call $leaf (i32.const 0))))) unreachable",
        "(call_indirect (param i32) (result i32) (i32.const 6) (i32.const 0))",
        "(loop $again
           (local.set $n (call $leaf (local.get $n)))
           (br_if $again (i32.lt_u (local.get $n) (i32.const 7))))
         (local.get $n)",
        "(call $several) (local.set $n) drop drop (i32.add (local.get $n) (i32.const 4))",
    ] {
        gives_back(body, "I32(7)");
    }
}

#[test]
fn a_leaf_only_checks() {
    let leaf =
        wat::parse_str(r#"(module (func (export "f") (result i32) (i32.const 1)))"#).unwrap();
    assert_eq!(global_sets(&modules(&meter(&wrapped(&leaf)).unwrap())[1]), 0);
    let caller = wat::parse_str(r#"(module (func $f (call $f)))"#).unwrap();
    assert_eq!(global_sets(&modules(&meter(&wrapped(&caller)).unwrap())[1]), 2);
}

/// Each component with modules has a budget of its own: they add up to the whole.
#[test]
fn components_divide_the_budget() {
    let component = wat::parse_str(
        "(component
           (component $inner (core module $m (func)) (core instance (instantiate $m)))
           (component $outer
             (component $deep (core module $m (func)) (core instance (instantiate $m)))
             (instance (instantiate $deep))
             (instance (instantiate $deep)))
           (core module $m (func (drop (i64.const 1000000000)) (drop (i64.const 1000000000))))
           (core instance (instantiate $m))
           (instance (instantiate $outer))
           (instance (instantiate $inner)))",
    )
    .unwrap();
    let metered = meter(&component).unwrap();
    wasmparser::Validator::new_with_features(config::features()).validate_all(&metered).unwrap();
    let budgets: Vec<i32> = modules(&metered).iter().filter_map(|module| budget(module)).collect();
    // In the order in which the components begin; that in the middle comes to life twice.
    let [inner, deep, outermost] = budgets[..] else { panic!("{budgets:?}") };
    assert!(inner > 60_000 && deep > 60_000 && outermost > inner + deep, "{budgets:?}");
    let all = limits::STACK_BUDGET.cast_signed();
    assert!((all - 10..=all).contains(&(inner + 2 * deep + outermost)), "{budgets:?}");
}

/// What a module that holds a budget starts with.
fn budget(module: &[u8]) -> Option<i32> {
    Parser::new(0).parse_all(module).find_map(|payload| match payload.unwrap() {
        Payload::GlobalSection(globals) => {
            let global = globals.into_iter().next().unwrap().unwrap();
            match global.init_expr.get_operators_reader().read().unwrap() {
                wasmparser::Operator::I32Const { value } => Some(value),
                operator => panic!("{operator:?}"),
            }
        }
        _ => None,
    })
}

/// How often a module sets a global.
fn global_sets(module: &[u8]) -> usize {
    let mut count = 0;
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CodeSectionEntry(body) = payload.unwrap() {
            for operator in body.get_operators_reader().unwrap() {
                count += usize::from(matches!(
                    operator.unwrap(),
                    wasmparser::Operator::GlobalSet { .. }
                ));
            }
        }
    }
    count
}
