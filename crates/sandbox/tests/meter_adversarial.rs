//! Functions made to take more of the native stack than they cost. On every backend the meter ends
//! them: were the native stack the first to end, the call would halt.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::Kind;
use althing_sandbox::{Backend, Call, Engine, EngineOptions};
use common::{apply, component, load, module, run};
use std::sync::OnceLock;

fn engines() -> &'static [Engine; 2] {
    static ENGINES: OnceLock<[Engine; 2]> = OnceLock::new();
    ENGINES.get_or_init(|| {
        [Backend::Native, Backend::Portable].map(|backend| {
            let options = EngineOptions { backend, instances_max: 12, ..EngineOptions::default() };
            Engine::new(&options).unwrap()
        })
    })
}

/// `items` define `$deep`, which calls itself for ever.
fn overflows(items: &str) {
    let component = component(&module(items, "(call $deep) unreachable"));
    for engine in engines() {
        let image = load(engine, &component);
        let (_, finished) = run(&image, Call { fuel: 100_000_000_000, ..apply(b"") });
        let error = finished.output.unwrap_err();
        assert_eq!(error.kind, Kind::GuestFailed);
        assert_eq!(error.message, "guest: run trapped: stack overflow (recursion too deep)");
    }
}

/// A loop that calls `$deep` and then adds up `values`, none of which changes in it: a compiler
/// computes them once, before the loop, and keeps them all.
fn invariant(globals: &str, locals: &str, values: impl Iterator<Item = String>) {
    let values: String = values.collect();
    overflows(&format!(
        "{globals}
         (func $deep (local $x v128) {locals}
           (local.set $x (v128.load (i32.const 0)))
           (loop $again
             (call $deep)
             local.get $x {values} local.set $x
             (br_if $again (v128.any_true (local.get $x))))
           (v128.store (i32.const 0) (local.get $x)))"
    ));
}

/// Computed before a call and again after it, so it is kept meanwhile.
fn repeated(locals: &str, first: &str, again: &str) {
    overflows(&format!("(func $deep {locals} {first} (call $deep) {again})"));
}

#[test]
fn repeated_divisions() {
    for n in [400, 4_000] {
        let divide = "(local.set $x (f32x4.div (local.get $x) (local.get $a)))";
        let first = format!(
            "(local.set $x (v128.load (i32.const 0))) (local.set $a (local.get $x))
             {} (v128.store (i32.const 16) (local.get $x))",
            divide.repeat(n)
        );
        let store = format!("{divide} (v128.store (i32.const 32) (local.get $x))");
        let again = format!("(local.set $x (local.get $a)) {}", store.repeat(n));
        repeated("(local $x v128) (local $a v128)", &first, &again);
    }
}

#[test]
fn constants_of_a_loop() {
    for n in [400, 4_000] {
        let constant = |k| format!(" v128.const i32x4 {k} 5 {k} 7");
        invariant("", "", (0..n).map(|k| format!("{} i32x4.add", constant(k))));
        invariant("", "", (0..n).map(|k| format!("{} f32x4.sqrt f32x4.add", constant(k))));
        // Two kept values for one operator.
        let select = |k| format!("{} {} v128.bitselect", constant(k), constant(k + 5_000));
        invariant("", "", (0..n).map(|k| format!(" local.set $x {} ", select_with(k, &select))));
    }
}

/// A choice between two constants by `$x`.
fn select_with(k: u32, select: &impl Fn(u32) -> String) -> String {
    select(k).replace(" v128.bitselect", " local.get $x v128.bitselect")
}

#[test]
fn globals_of_a_loop() {
    let globals: String =
        (0..1_000).map(|k| format!("(global $v{k} v128 (v128.const i32x4 {k} 1 2 3))")).collect();
    invariant(&globals, "", (0..1_000).map(|k| format!(" global.get $v{k} i32x4.add")));
    let globals: String = (0..1_000)
        .map(|k| format!("(global $v{k} (mut v128) (v128.const i32x4 {k} 1 2 3))"))
        .collect();
    invariant(&globals, "", (0..1_000).map(|k| format!(" global.get $v{k} i32x4.add")));
}

/// Values written to globals before the call, which need not be read back after it.
#[test]
fn forwarded_globals() {
    let n = 500;
    let globals: String =
        (0..n).map(|k| format!("(global $g{k} (mut i64) (i64.const {k}))")).collect();
    let set: String =
        (0..n).map(|k| format!("(global.set $g{k} (i64.load (i32.const {})))", 8 * k)).collect();
    let read: String = (0..n).map(|k| format!(" global.get $g{k} i64.add")).collect();
    overflows(&format!(
        "{globals} (func $deep (local $x i64) {set} local.get $x {read} local.set $x (call $deep)
           local.get $x {read} local.set $x (i64.store (i32.const 0) (local.get $x)))"
    ));
}

/// What is computed late keeps what it is computed from.
#[test]
fn choices_of_old_values() {
    for (ty, load, choose) in [
        ("v128", "v128.load", "(v128.bitselect (local.get $a) (local.get $b) (local.get $x))"),
        ("i64", "i64.load", "(i64.mul (i64.add (local.get $a) (local.get $b)) (local.get $x))"),
        ("i64", "i64.load", "(select (local.get $a) (local.get $b) (i64.eqz (local.get $x)))"),
    ] {
        let round = format!(
            "(if (i32.load (i32.const 4)) (then
               (local.set $a ({load} (i32.const 32))) (local.set $b ({load} (i32.const 48)))))
             (local.set $x {choose})"
        );
        let locals = format!("(local $x {ty}) (local $a {ty}) (local $b {ty})");
        let store = load.replace("load", "store");
        let again = format!("({store} (i32.const 16) (local.get $x))");
        repeated(&locals, &round.repeat(1_000), &again);
    }
}

#[test]
fn many_locals() {
    for ty in ["i32", "f64", "v128"] {
        let locals = format!("(local {})", format!("{ty} ").repeat(4_000));
        let set: String =
            (0..4_000).map(|k| format!("(local.set {k} ({ty}.load (i32.const {k})))")).collect();
        let store: String =
            (0..4_000).map(|k| format!("({ty}.store (i32.const {k}) (local.get {k}))")).collect();
        repeated(&locals, &set, &store);
    }
}

#[test]
fn many_operands() {
    let push: String = (0..4_000).map(|k| format!("(v128.load (i32.const {k}))")).collect();
    let pop = "i32x4.add ".repeat(3_999);
    repeated("(local $x v128)", &push, &format!("{pop} local.set $x"));
}

#[test]
fn many_parameters_and_results() {
    for ty in ["i32", "v128"] {
        let (params, results) = (format!("{ty} ").repeat(64), format!("{ty} ").repeat(16));
        let gets: String = (0..64).map(|k| format!(" local.get {k}")).collect();
        let loads: String = (0..64).map(|k| format!(" ({ty}.load (i32.const {k}))")).collect();
        let drops = "drop ".repeat(16);
        overflows(&format!(
            "(func $pass (param {params}) (result {results})
               {gets} (call $pass) {drops} {gets} (call $pass))
             (func $deep {loads} (call $pass) {drops})"
        ));
    }
}

#[test]
fn a_huge_table_of_branches() {
    let depth = 200;
    let blocks = "(block ".repeat(depth);
    let targets: String = (0..20_000).map(|k| format!("{} ", k % depth)).collect();
    let ends = "(call $deep))".repeat(depth);
    overflows(&format!(
        "(func $deep {blocks} (br_table {targets} (i32.load (i32.const 0))) {ends})"
    ));
}

/// Blocks and loops that hold each other, each with a value that waits outside the next one.
#[test]
fn deep_nesting() {
    let depth = 1_000;
    for open in ["block", "loop"] {
        let body = (0..depth)
            .fold("(call $deep) (i64.load (i32.const 8))".to_owned(), |inner, _| {
                format!("(i64.load (i32.const 8)) ({open} (result i64) {inner}) i64.xor")
            });
        overflows(&format!("(func $deep {body} drop)"));
    }
}

#[test]
fn through_a_table() {
    overflows(
        "(table 2 funcref) (elem (i32.const 0) $deep $other)
         (func $other (call_indirect (i32.load (i32.const 0))))
         (func $deep (call_indirect (i32.const 1)))",
    );
}

/// Each frame has been in a function of the host, which returned.
#[test]
fn through_functions_of_the_host() {
    overflows(
        "(table $t 1 funcref)
         (func $deep
           (memory.copy (i32.const 0) (i32.const 256) (i32.const 64))
           (memory.fill (i32.const 0) (i32.const 0) (i32.const 64))
           (drop (table.grow $t (ref.null func) (i32.const 0)))
           (drop (memory.grow (i32.const 0)))
           (drop (call $index))
           (call $deep)
           (memory.copy (i32.const 0) (i32.const 256) (i32.const 64)))",
    );
}

/// Addresses of memory that are used before the call and after it.
#[test]
fn repeated_addresses() {
    let n = 400;
    let locals = format!("(local {})", "i32 ".repeat(n));
    let load: String =
        (0..n).map(|k| format!("(local.set {k} (i32.load (i32.const {})))", 4 * k)).collect();
    let store: String = (0..n)
        .map(|k| format!("(i32.store (i32.mul (local.get {k}) (local.get {k})) (i32.const 1))"))
        .collect();
    repeated(&locals, &format!("{load} {store}"), &store);
}

/// A resource's destructor drops another one of the same, and so on.
#[test]
fn through_destructors() {
    let component = wat::parse_str(
        r#"(component
             (core module $indirect
               (table (export "t") 1 funcref)
               (type $f (func (param i32)))
               (func (export "dtor") (param i32)
                 (call_indirect (type $f) (local.get 0) (i32.const 0))))
             (core instance $indirect (instantiate $indirect))
             (alias core export $indirect "dtor" (core func $dtor))
             (type $r (resource (rep i32) (dtor (core func $dtor))))
             (core func $new (canon resource.new $r))
             (core func $drop (canon resource.drop $r))
             (core module $m
               (import "i" "t" (table 1 funcref))
               (import "r" "new" (func $new (param i32) (result i32)))
               (import "r" "drop" (func $drop (param i32)))
               (memory (export "memory") 4)
               (global $heap (mut i32) (i32.const 131072))
               (elem (i32.const 0) $dtor)
               (func $dtor (param i32) (call $drop (call $new (local.get 0))))
               (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                 (local.get 3) (i32.add (global.get $heap)) (global.set $heap)
                 (i32.sub (global.get $heap) (local.get 3)))
               (func (export "run") (param i32 i32 i32 i32) (result i32)
                 (call $dtor (i32.const 1)) (i32.const 16)))
             (core instance $m (instantiate $m
               (with "i" (instance $indirect))
               (with "r" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
             (alias core export $m "memory" (core memory $memory))
             (alias core export $m "run" (core func $run))
             (alias core export $m "realloc" (core func $realloc))
             (type $t (func (param "method" string) (param "args" (list u8))
               (result (result (list u8) (error string)))))
             (func $f (type $t) (canon lift (core func $run) (memory $memory) (realloc $realloc)))
             (export "apply" (func $f))
             (export "query" (func $f)))"#,
    )
    .unwrap();
    for engine in engines() {
        let image = load(engine, &component);
        let (_, finished) = run(&image, Call { fuel: 100_000_000_000, ..apply(b"") });
        let error = finished.output.unwrap_err();
        assert_eq!(error.message, "guest: run trapped: stack overflow (recursion too deep)");
    }
}
