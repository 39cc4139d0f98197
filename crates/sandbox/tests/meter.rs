//! How deep a guest may recurse: the same everywhere, and shared by all its modules.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::Kind;
use althing_sandbox::{Backend, Call, Engine, EngineOptions, Image, limits};
use common::{apply, component, load, module, run};

const TEXT: &str = "guest: run trapped: stack overflow (recursion too deep)";
/// Enough for the deepest recursion here.
const FUEL: u64 = 1_000_000_000;

/// One engine of each backend.
fn engines() -> [Engine; 2] {
    [Backend::Native, Backend::Portable].map(|backend| {
        Engine::new(&EngineOptions { backend, instances_max: 12, ..EngineOptions::default() })
            .unwrap()
    })
}

/// Does it return when asked to recurse `depth` deep? It overflows otherwise.
fn reaches(image: &Image, depth: u32) -> bool {
    let args = depth.to_le_bytes();
    let finished = run(image, Call { fuel: FUEL, ..apply(&args) }).1;
    match finished.output {
        Ok(_) => true,
        Err(error) => {
            assert_eq!((error.kind, error.message.as_str()), (Kind::GuestFailed, TEXT));
            assert_eq!(finished.fuel_used, FUEL, "a trap costs all of its fuel");
            false
        }
    }
}

/// How deep it goes before it overflows.
fn depth(image: &Image) -> u32 {
    let (mut reached, mut missed) = (0, limits::STACK_BUDGET);
    while missed - reached > 1 {
        let middle = reached + (missed - reached) / 2;
        if reaches(image, middle) {
            reached = middle;
        } else {
            missed = middle;
        }
    }
    reached
}

/// A guest that recurses as deep as its argument says: `items` define `$deep`, which takes how deep
/// it still has to go and gives anything.
fn recursing(items: &str) -> Vec<u8> {
    let body =
        "(drop (call $deep (i32.load (local.get $args)))) (call $ok (i32.const 0) (i32.const 0))";
    component(&module(items, body))
}

const PLAIN: &str = "(func $deep (param i32) (result i32)
  (if (result i32) (i32.eqz (local.get 0))
    (then (i32.const 0))
    (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))";

/// The numbers belong to the semantics: another cost of a frame is another outcome.
#[test]
fn a_recursion_ends_at_the_same_depth_on_every_backend() {
    let engines = engines();
    for (items, expected) in [
        (PLAIN, 123_358),
        // Vectors count twice.
        (
            "(func $deep (param i32) (result i32) (local $v v128)
               (local.set $v (i32x4.splat (local.get 0)))
               (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
               (local.set $v (i32x4.add (local.get $v)
                 (i32x4.splat (call $deep (i32.sub (local.get 0) (i32.const 1))))))
               (i32x4.extract_lane 1 (local.get $v)))",
            65_533,
        ),
        (
            "(table 1 funcref) (elem (i32.const 0) $deep)
             (func $deep (param i32) (result i32)
               (if (result i32) (i32.eqz (local.get 0))
                 (then (i32.const 0))
                 (else (call_indirect (param i32) (result i32)
                   (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))))",
            131_068,
        ),
    ] {
        let component = recursing(items);
        let found = depth(&load(&engines[0], &component));
        assert_eq!(found, expected, "{items}");
        let portable = load(&engines[1], &component);
        assert!(reaches(&portable, found) && !reaches(&portable, found + 1), "{items}");
    }
}

/// A second use of the stack is as deep as the first: frames give back what they took.
#[test]
fn what_returned_does_not_count() {
    let component = recursing(PLAIN);
    let twice = recursing(&PLAIN.replace("$deep", "$once").replace(
        "(func $once",
        "(func $deep (param i32) (result i32)
           (i32.add (call $once (local.get 0)) (call $once (local.get 0))))
         (func $once",
    ));
    for engine in &engines() {
        let found = depth(&load(engine, &component));
        let again = depth(&load(engine, &twice));
        assert!((found - 3..=found).contains(&again), "{found}, {again}");
    }
}

/// A component of two modules that call each other: `f` of the first, and `g` of the second through
/// the first one's table. `f` calls what `mask` says: its lowest bit at an even depth, the next one at
/// an odd depth; 0 is itself, 1 is `g`.
fn linked(mask: u32) -> Vec<u8> {
    let text = format!(
        r#"(component
             (core module $a
               (type $f (func (param i32) (result i32)))
               (memory (export "memory") 4)
               (global $heap (mut i32) (i32.const 131072))
               (table (export "table") 2 funcref)
               (elem (i32.const 0) $f)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                 (local.get 3) (i32.add (global.get $heap)) (global.set $heap)
                 (i32.sub (global.get $heap) (local.get 3)))
               (func $f (export "f") (param i32) (result i32)
                 (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
                 (call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1)) (i32.const {mask})))
               (func (export "run") (param i32 i32 i32 i32) (result i32)
                 (drop (call $f (i32.load (local.get 2))))
                 (i32.const 16)))
             (core instance $a (instantiate $a))
             (core module $b
               (type $f (func (param i32) (result i32)))
               (import "a" "table" (table 2 funcref))
               (elem (i32.const 1) $g)
               (func $g (type $f)
                 (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
                 (call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))
             (core instance (instantiate $b (with "a" (instance $a))))
             (alias core export $a "memory" (core memory $memory))
             (type $t (func (param "method" string) (param "args" (list u8))
               (result (result (list u8) (error string)))))
             (alias core export $a "run" (core func $run))
             (alias core export $a "realloc" (core func $realloc))
             (func $f (type $t) (canon lift (core func $run) (memory $memory) (realloc $realloc)))
             (export "apply" (func $f))
             (export "query" (func $f)))"#
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn modules_of_a_component_share_one_budget() {
    for engine in &engines() {
        // A frame of `f` and one of `g` cost the same: it is one budget, whoever takes of it.
        let alone = depth(&load(engine, &linked(0)));
        let both = depth(&load(engine, &linked(1)));
        assert_eq!(alone, both);
        assert!(alone > 50_000, "{alone}");
    }
}

/// What real programs do: a parser of nested data, some hundred bytes of state a frame.
#[test]
fn legal_recursion_is_deep() {
    let locals = "(local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)";
    let items = PLAIN.replace("(result i32)\n", &format!("(result i32) {locals}\n"));
    let component = recursing(&items);
    for engine in &engines() {
        assert!(reaches(&load(engine, &component), 50_000));
    }
}

#[test]
fn overflows_while_it_starts() {
    let items = format!("{PLAIN} (func $s (drop (call $deep (i32.const -1)))) (start $s)");
    let component = component(&module(&items, "unreachable"));
    for engine in &engines() {
        let hash = althing_protocol::Hash::of(&component);
        let refused = common::on_stack(|| engine.load(&hash, &component).map(drop).unwrap_err());
        assert!(refused.to_string().contains("does not start"), "{refused}");
        assert!(refused.to_string().contains("stack overflow (recursion too deep)"), "{refused}");
    }
}

/// Nobody reaches the budget but the meter.
#[test]
fn the_budget_is_out_of_reach() {
    for items in [
        r#"(import "althing:meter" "left" (global (mut i32)))"#,
        r#"(import "althing:meter" "overflow" (func))"#,
    ] {
        let component = format!(
            "(component (core module $m {items}) (core module $n)
               (core instance $n (instantiate $n))
               (core instance (instantiate $m (with \"althing:meter\" (instance $n)))))"
        );
        let Ok(component) = wat::parse_str(component) else { panic!("{items}") };
        let refused = althing_sandbox::inspect(&component).unwrap_err();
        assert!(refused.message.contains("the sandbox's own"), "{refused}");
    }
}

/// The mark of an overflow is a table with a maximum that no table of a guest has.
#[test]
fn a_guest_cannot_feign_an_overflow() {
    let most = limits::TABLE_ELEMENTS_MAX;
    for maximum in ["".to_owned(), most.to_string(), (most + 1).to_string(), (most + 2).to_string()]
    {
        let image = common::image(
            &format!("(table $t 0 {maximum} funcref)"),
            "(i32.store (i32.const 512) (table.grow $t (ref.null func) (i32.const 1)))
             (call $ok (i32.const 512) (i32.const 4))",
        );
        assert_eq!(run(&image, apply(b"")).1.output.unwrap(), 0_u32.to_le_bytes(), "{maximum}");
    }
}
