//! Components inside components: compilers make them, so they run; what they are made of is counted.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::Kind;
use althing_sandbox::{Backend, Call, Engine, EngineOptions, Finished, inspect, limits};
use common::{Memory, apply, engine, load};

const TYPE: &str = r#"(type $t (func (param "method" string) (param "args" (list u8))
                         (result (result (list u8) (error string)))))"#;
const LIBC: &str = r#"(core module $libc
    (memory (export "memory") 1)
    (global $heap (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $heap)
      (global.set $heap (i32.add (global.get $heap)
        (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8))))))
  (core instance $libc (instantiate $libc))"#;
const OPTIONS: &str =
    r#"(memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))"#;

/// A component that hands what it is called with to one inside, which has a memory of its own and
/// does `body`. It leaves what it returns at address 16.
fn nested(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
  (component $inner
    {TYPE} {LIBC}
    (core module $m
      (import "libc" "memory" (memory 1))
      (func (export "f") (param $method i32) (param $len i32) (param $args i32) (param $args_len i32)
        (result i32)
        {body}
        (i32.const 16)))
    (core instance $i (instantiate $m (with "libc" (instance $libc))))
    (func (export "f") (type $t) (canon lift (core func $i "f") {OPTIONS})))
  (component $outer
    {TYPE} (import "f" (func $f (type $t))) {LIBC}
    (core func $f (canon lower (func $f) {OPTIONS}))
    (core module $m
      (import "inner" "f" (func $f (param i32 i32 i32 i32 i32)))
      (func (export "f") (param i32 i32 i32 i32) (result i32)
        (call $f (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 16))
        (i32.const 16)))
    (core instance $i (instantiate $m (with "inner" (instance (export "f" (func $f))))))
    (func (export "f") (type $t) (canon lift (core func $i "f") {OPTIONS})))
  (instance $inner (instantiate $inner))
  (instance $outer (instantiate $outer (with "f" (func $inner "f"))))
  (export "apply" (func $outer "f"))
  (export "query" (func $outer "f")))"#
    );
    wat::parse_str(text).unwrap()
}

/// Gives the arguments back.
const ECHO: &str = "(i32.store8 (i32.const 16) (i32.const 0))
                    (i32.store (i32.const 20) (local.get $args))
                    (i32.store (i32.const 24) (local.get $args_len))";

fn run(engine: &Engine, wasm: &[u8], call: Call<'_>) -> Finished {
    load(engine, wasm).call(Memory::default(), call).1.unwrap()
}

#[test]
fn a_call_between_components_is_the_same_everywhere() {
    let wasm = nested(ECHO);
    let args = vec![7; 10_000];
    let native = run(engine(), &wasm, apply(&args));
    assert_eq!(native.output.as_ref().unwrap(), &args);
    let on_demand = EngineOptions { pooling: false, ..EngineOptions::default() };
    let portable = EngineOptions { backend: Backend::Portable, ..EngineOptions::default() };
    for options in [on_demand, portable] {
        assert_eq!(run(&Engine::new(&options).unwrap(), &wasm, apply(&args)), native);
    }
    // The copy from memory to memory is paid for.
    let little = run(engine(), &wasm, apply(b""));
    assert!(native.fuel_used - little.fuel_used >= 2 * 10_000, "{native:?} {little:?}");
}

#[test]
fn their_memories_are_limited_together() {
    let pages = "(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))
                 (i32.store (i32.const 512) (memory.size))
                 (i32.store8 (i32.const 16) (i32.const 0))
                 (i32.store (i32.const 20) (i32.const 512))
                 (i32.store (i32.const 24) (i32.const 4))";
    let wasm = nested(pages);
    assert_eq!(inspect(&wasm).unwrap().memory_bytes_min, 2 << 16);
    let call = |pages: u64| Call { memory_bytes_max: pages << 16, ..apply(b"") };
    let grown = run(engine(), &wasm, call(10)).output.unwrap();
    assert_eq!(grown, 9_u32.to_le_bytes(), "one page is the other's");
    let error = run(engine(), &wasm, call(1)).output.unwrap_err();
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(error.message.contains("needs 131072 bytes of memory to start"), "{error}");
}

#[test]
fn traps_and_nonsense_inside_are_the_guests() {
    for (body, words) in [
        ("unreachable", "trapped: unreachable code"),
        ("(loop $l (br $l))", "used all its fuel"),
        // A list beyond its memory, and a discriminant that there is not.
        ("(i32.store (i32.const 24) (i32.const -1))", "trapped: "),
        ("(i32.store8 (i32.const 16) (i32.const 2))", "trapped: "),
    ] {
        let finished = run(engine(), &nested(body), apply(b"x"));
        let error = finished.output.unwrap_err();
        assert!(error.message.starts_with(&format!("guest: run {words}")), "{body}: {error}");
        assert_eq!(finished.fuel_used, common::FUEL);
    }
}

/// As many components as there may be, each calling the one before.
#[test]
fn a_chain_of_components_fits_the_pool() {
    // The whole, the first, and the one that is called from outside, are components too.
    let last = limits::COMPONENT_INSTANCES_MAX - 3;
    let links: String = (1..=last)
        .map(|link| {
            let before = link - 1;
            format!(
                r#"(component $c{link}
                     (import "f" (func $f (result u32)))
                     (core func $f (canon lower (func $f)))
                     (core module $m (import "" "f" (func $f (result i32)))
                       (func (export "f") (result i32) (i32.add (call $f) (i32.const 1))))
                     (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
                     (func (export "f") (result u32) (canon lift (core func $i "f"))))
                   (instance $i{link} (instantiate $c{link} (with "f" (func $i{before} "f"))))"#
            )
        })
        .collect();
    let text = format!(
        r#"(component
             (component $c0
               (core module $m (func (export "f") (result i32) (i32.const 40)))
               (core instance $i (instantiate $m))
               (func (export "f") (result u32) (canon lift (core func $i "f"))))
             (instance $i0 (instantiate $c0))
             {links}
             (component $outer
               {TYPE} (import "f" (func $f (result u32))) {LIBC}
               (core func $f (canon lower (func $f)))
               (core module $m
                 (import "libc" "memory" (memory 1))
                 (import "chain" "f" (func $f (result i32)))
                 (func (export "f") (param i32 i32 i32 i32) (result i32)
                   (i32.store (i32.const 512) (call $f))
                   (i32.store (i32.const 20) (i32.const 512))
                   (i32.store (i32.const 24) (i32.const 4))
                   (i32.const 16)))
               (core instance $i (instantiate $m (with "libc" (instance $libc))
                 (with "chain" (instance (export "f" (func $f))))))
               (func (export "f") (type $t) (canon lift (core func $i "f") {OPTIONS})))
             (instance $outer (instantiate $outer (with "f" (func $i{last} "f"))))
             (export "apply" (func $outer "f"))
             (export "query" (func $outer "f")))"#
    );
    let wasm = wat::parse_str(text).unwrap();
    let finished = run(engine(), &wasm, apply(b""));
    assert_eq!(finished.output.unwrap(), (40 + last).to_le_bytes());
}

fn refused(text: &str, why: &str) {
    let error = inspect(&wat::parse_str(text).unwrap()).unwrap_err();
    assert!(error.message.contains(why), "{text}: {error}");
}

#[test]
fn what_comes_to_life_is_counted() {
    let many = |item: &str, count: u32| item.repeat(count as usize);
    let twenty = many("(instance (instantiate $c))", 20);
    refused(&format!("(component (component $c) {twenty})"), "more component instances than 16");
    // Few in the text, and more with each step outwards.
    let doubled = "(component $c (component $c (component $c
                     (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m))
                     (core instance (instantiate $m)) (core instance (instantiate $m)))
                     (instance (instantiate $c)) (instance (instantiate $c)) (instance (instantiate $c)))
                     (instance (instantiate $c)) (instance (instantiate $c)) (instance (instantiate $c)))";
    refused(
        &format!("(component {doubled} (instance (instantiate $c)))"),
        "core instances than 32",
    );
    let memories = "(component $c (core module $m (memory 1)) (core instance (instantiate $m)))
                    (instance (instantiate $c)) (instance (instantiate $c)) (instance (instantiate $c))";
    refused(&format!("(component {memories})"), "more memories than 2");
    let large = memories.replace("(memory 1)", "(memory 3000)");
    refused(&format!("(component {large})"), "starts with 393216000 bytes of memory");
    let tables = memories.replace("(memory 1)", &many("(table 1 funcref)", 3));
    refused(&format!("(component {tables})"), "more tables than 8");
    let lowered = many("(core func (canon lower (func $f)))", 1_001);
    let inner = format!("(component (import \"f\" (func $f)) {lowered})");
    refused(&format!("(component {inner} {inner})"), "more lowered functions than 2000");
    let deep = format!("{}{}", many("(component ", 6), many(")", 6));
    refused(&deep, "more components inside each other than 4");
}

#[test]
fn a_module_has_one_memory() {
    for module in [
        "(memory 1) (memory 1)",
        "(import \"a\" \"b\" (memory 1)) (memory 1)",
        "(import \"a\" \"b\" (memory 1)) (import \"a\" \"c\" (memory 1))",
    ] {
        refused(&format!("(component (core module {module}))"), "more memories in a module than 1");
    }
}

#[test]
fn code_is_not_passed_on() {
    let why = "imports, exports or passes on a module or a component";
    for text in [
        "(component (import \"m\" (core module)))",
        "(component (import \"c\" (component)))",
        "(component (core module $m) (export \"m\" (core module $m)))",
        "(component (component $c) (export \"c\" (component $c)))",
        "(component (core module $m) (component (alias outer 1 $m (core module))))",
        "(component (component $m) (component (alias outer 1 $m (component))))",
        "(component (component $m) (component $c (import \"m\" (component)))
           (instance (instantiate $c (with \"m\" (component $m)))))",
    ] {
        refused(text, why);
    }
}
