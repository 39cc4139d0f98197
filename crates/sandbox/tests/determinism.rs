//! One test for each way in which two machines could come to differ. The same data runs on every
//! kind of engine: compiled and interpreted, with a pool and without, with memory that is copied
//! when written and with memory that is copied before.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::{Hash, Kind};
use althing_sandbox::{
    Backend, Call, Engine, EngineOptions, Finished, Image, LoadError, Reservation, limits,
};
use common::{
    FUEL, Memory,
    actor::{self, Guest},
    apply, component, load, module, on_stack, query,
};
use std::sync::OnceLock;

/// Every way of running a guest that a node may choose, by name. The first is the usual one.
fn engines() -> &'static [(&'static str, Engine)] {
    static ENGINES: OnceLock<Vec<(&str, Engine)>> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let usual = EngineOptions { instances_max: 12, ..EngineOptions::default() };
        let portable = EngineOptions { backend: Backend::Portable, ..usual.clone() };
        let all = [
            ("native", usual.clone()),
            ("on demand", EngineOptions { pooling: false, ..usual.clone() }),
            ("copied", EngineOptions { copy_on_write: false, ..usual.clone() }),
            ("small", EngineOptions { reservation: Reservation::Small, ..usual.clone() }),
            (
                "on demand, copied, full",
                EngineOptions {
                    pooling: false,
                    copy_on_write: false,
                    reservation: Reservation::Full,
                    ..usual
                },
            ),
            ("portable", portable.clone()),
            ("portable, on demand", EngineOptions { pooling: false, ..portable.clone() }),
            ("portable, copied", EngineOptions { copy_on_write: false, ..portable }),
        ];
        all.map(|(name, options)| (name, Engine::new(&options).unwrap())).into()
    })
}

fn host() -> Memory {
    let pairs = (0..100_u8).rev().map(|key| (vec![b'k', key], [key; 3][..].into()));
    Memory { db: pairs.collect(), ..Memory::default() }
}

/// Calls with a fresh host: what came out, what it cost, and what it did to the host.
fn call(image: &Image, call: Call<'_>) -> (Finished, String) {
    let (host, finished) = on_stack(|| image.call(host(), call));
    (finished.unwrap(), format!("{:?} {:?} {:?}", host.db, host.events, host.logs))
}

/// `body` gives the same on all engines, the first time and the second. Returns what it gives.
fn check(items: &str, body: &str) -> Finished {
    let component = component(&module(items, body));
    let mut first: Option<(Finished, String)> = None;
    for (name, engine) in engines() {
        let image = load(engine, &component);
        for round in 0..2 {
            let found = call(&image, apply(b"args"));
            let expected = first.get_or_insert_with(|| found.clone());
            assert_eq!(*expected, found, "{name}, round {round}");
        }
    }
    first.unwrap().0
}

/// As [`check`]; it returns these bytes.
fn gives(items: &str, body: &str, expected: &[u8]) {
    assert_eq!(check(items, body).output.unwrap(), expected);
}

/// No engine loads it, and all say the same, which contains `why`.
fn refused(items: &str, body: &str, why: &str) {
    let component = component(&module(items, body));
    let texts: Vec<String> = engines()
        .iter()
        .map(|(_, engine)| match engine.load(&Hash::of(&component), &component) {
            Err(LoadError::Refused(error)) => error.message,
            Err(LoadError::Halt(halt)) => panic!("{halt}"),
            Ok(_) => panic!("loaded: {body}"),
        })
        .collect();
    assert!(texts[0].contains(why), "{}", texts[0]);
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}

/// Operations on NaNs with bits of their own: what comes out has the canonical ones.
#[test]
fn nan_bits() {
    let nan32 = "(f32.reinterpret_i32 (i32.const 0xffa12345))";
    let nan64 = "(f64.reinterpret_i64 (i64.const 0xfff4123456789abc))";
    let quiet32 = 0x7fc0_0000_u32.to_le_bytes();
    let quiet64 = 0x7ff8_0000_0000_0000_u64.to_le_bytes();
    let mut body = String::new();
    let mut expected = Vec::new();
    let mut add = |ty: &str, value: String, bits: &[u8]| {
        body += &format!("({ty}.store (i32.const {}) {value})", 1024 + expected.len());
        expected.extend_from_slice(bits);
    };
    for op in ["add", "sub", "mul", "div", "min", "max"] {
        add("f32", format!("(f32.{op} {nan32} (f32.const 1))"), &quiet32);
        add("f32", format!("(f32.{op} (f32.const 1) {nan32})"), &quiet32);
        add("f64", format!("(f64.{op} {nan64} (f64.const 1))"), &quiet64);
        add("f64", format!("(f64.{op} (f64.const 1) {nan64})"), &quiet64);
        let lanes = |shape: &str, nan: &str| {
            format!("({shape}.{op} ({shape}.splat {nan}) (v128.const i32x4 1 2 3 4))")
        };
        add("v128", lanes("f32x4", nan32), &quiet32.repeat(4));
        add("v128", lanes("f64x2", nan64), &quiet64.repeat(2));
    }
    for op in ["sqrt", "ceil", "floor", "trunc", "nearest"] {
        add("f32", format!("(f32.{op} {nan32})"), &quiet32);
        add("f64", format!("(f64.{op} {nan64})"), &quiet64);
        add("v128", format!("(f32x4.{op} (f32x4.splat {nan32}))"), &quiet32.repeat(4));
        add("v128", format!("(f64x2.{op} (f64x2.splat {nan64}))"), &quiet64.repeat(2));
    }
    // Made of numbers.
    add("f32", "(f32.div (f32.const 0) (f32.const 0))".into(), &quiet32);
    add("f64", "(f64.sqrt (f64.const -1))".into(), &quiet64);
    add("f32", "(f32.sub (f32.const inf) (f32.const inf))".into(), &quiet32);
    add("f32", format!("(f32.demote_f64 {nan64})"), &quiet32);
    add("f64", format!("(f64.promote_f32 {nan32})"), &quiet64);
    // Operations on bits leave them alone.
    add("f32", format!("(f32.neg {nan32})"), &0x7fa1_2345_u32.to_le_bytes());
    add("f64", format!("(f64.abs {nan64})"), &0x7ff4_1234_5678_9abc_u64.to_le_bytes());
    let body = format!("{body} (call $ok (i32.const 1024) (i32.const {}))", expected.len());
    gives("", &body, &expected);
}

#[test]
fn growth_at_the_limit() {
    // One page at a time, to the limit; then what all ways of asking for more give.
    let pages = u32::try_from(common::MEMORY >> 16).unwrap();
    let body = "(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))
       (i32.store (i32.const 512) (memory.size))
       (i32.store (i32.const 516) (memory.grow (i32.const 1)))
       (i32.store (i32.const 520) (memory.grow (i32.const 65535)))
       (i32.store (i32.const 524) (memory.grow (i32.const 2)))
       (i32.store (i32.const 528) (memory.grow (i32.const 0)))
       ;; The last byte is there, and is zero.
       (i32.store (i32.const 532)
         (i32.load8_u (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 1))))
       (call $ok (i32.const 512) (i32.const 24))";
    let words = [pages, u32::MAX, u32::MAX, u32::MAX, pages, 0];
    gives("", body, &words.map(u32::to_le_bytes).concat());
    // At once, to the limit and beyond it.
    for (grow, fits) in [(pages - 4, true), (pages - 3, false)] {
        let body = format!(
            "(i32.store (i32.const 512) (memory.grow (i32.const {grow})))
             (call $ok (i32.const 512) (i32.const 4))"
        );
        gives("", &body, &if fits { 4 } else { u32::MAX }.to_le_bytes());
    }
    let most = u32::try_from(limits::TABLE_ELEMENTS_MAX).unwrap();
    for (grow, fits) in [(most - 2, true), (most - 1, false), (40_000, false)] {
        for maximum in ["", "40000", "0xffffffff"] {
            let body = format!(
                "(i32.store (i32.const 512) (table.grow $t (ref.null func) (i32.const {grow})))
                 (i32.store (i32.const 516) (table.size $t))
                 (call $ok (i32.const 512) (i32.const 8))"
            );
            let words = if fits { [2, most] } else { [u32::MAX, 2] };
            let expected = words.map(u32::to_le_bytes).concat();
            gives(&format!("(table $t 2 {maximum} funcref)"), &body, &expected);
        }
    }
}

/// The deepest recursion that returns, and one deeper: as recorded, on all engines.
#[test]
fn stack_depth() {
    for (depth, fits) in [(149_793, true), (149_794, false)] {
        let items = "(func $deep (param i32)
          (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))";
        let body =
            format!("(call $deep (i32.const {depth})) (call $ok (i32.const 0) (i32.const 0))");
        let finished = check(items, &body);
        assert_eq!(finished.output.is_ok(), fits, "{depth}: {finished:?}");
        if let Err(error) = finished.output {
            let text = "guest: run trapped: stack overflow (recursion too deep)";
            assert_eq!((error.message.as_str(), finished.fuel_used), (text, FUEL));
        }
    }
}

/// Proposals whose results depend on the processor.
#[test]
fn relaxed_simd() {
    for body in [
        "(i32x4.relaxed_trunc_f32x4_s (v128.const f32x4 nan 1 2 3)) drop unreachable",
        "(f32x4.relaxed_madd (v128.const i32x4 1 1 1 1) (v128.const i32x4 1 1 1 1)
           (v128.const i32x4 1 1 1 1)) drop unreachable",
        "(i8x16.relaxed_swizzle (v128.const i32x4 1 1 1 1) (v128.const i32x4 1 1 1 1)) drop
         unreachable",
    ] {
        refused("", body, "relaxed SIMD");
    }
}

/// Memory that others write to at the same time, and what waits for them.
#[test]
fn threads() {
    for body in [
        "(drop (i32.atomic.load (i32.const 0))) unreachable",
        "(drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))) unreachable",
        "(drop (memory.atomic.notify (i32.const 0) (i32.const 1))) unreachable",
        "(atomic.fence) unreachable",
    ] {
        refused("", body, "threads");
    }
    let shared = wat::parse_str("(component (core module (memory 1 1 shared)))").unwrap();
    let error = althing_sandbox::inspect(&shared).unwrap_err();
    assert!(error.message.contains("threads"), "{error}");
}

/// Each trap has its text, and costs all of the fuel wherever the engine had counted to.
#[test]
fn kinds_of_traps() {
    let items = "(table 2 funcref) (elem (i32.const 1) func $grow) (elem $e func $grow)
                 (data $d \"x\")";
    let out_of_bounds = "memory access out of bounds";
    for (body, why) in [
        ("unreachable", "unreachable code (a panic or an abort)"),
        ("(i32.div_u (local.get $len) (i32.const 0))", "integer division by zero"),
        ("(i32.rem_s (local.get $len) (i32.const 0))", "integer division by zero"),
        ("(i64.div_s (i64.const 1) (i64.const 0)) drop unreachable", "integer division by zero"),
        ("(i32.div_s (i32.const 0x80000000) (i32.const -1))", "integer overflow"),
        (
            "(i64.div_s (i64.const 0x8000000000000000) (i64.const -1)) drop unreachable",
            "integer overflow",
        ),
        ("(i32.trunc_f64_s (f64.const nan))", "conversion of a float that is no integer"),
        ("(i32.trunc_f32_u (f32.const -1))", "integer overflow"),
        ("(i32.trunc_f64_s (f64.const 1e10))", "integer overflow"),
        ("(i32.load (i32.const -1))", out_of_bounds),
        ("(i32.load (i32.const 0x3fffd))", out_of_bounds),
        ("(i32.load offset=0xffffffff (i32.const 0))", out_of_bounds),
        ("(v128.store (i32.const 0x3fff1) (v128.const i32x4 0 0 0 0)) unreachable", out_of_bounds),
        (
            "(memory.fill (i32.const 0x3ffff) (i32.const 0) (i32.const 2)) unreachable",
            out_of_bounds,
        ),
        ("(memory.copy (i32.const 0) (i32.const -1) (i32.const 1)) unreachable", out_of_bounds),
        ("(memory.init $d (i32.const 0) (i32.const 1) (i32.const 1)) unreachable", out_of_bounds),
        ("(call_indirect (result i32) (i32.const 9))", "table access out of bounds"),
        ("(drop (table.get 0 (i32.const 2))) unreachable", "table access out of bounds"),
        (
            "(table.init 0 $e (i32.const 0) (i32.const 1) (i32.const 1)) unreachable",
            "table access out of bounds",
        ),
        ("(call_indirect (result i32) (i32.const 0))", "call of a null function"),
        ("(call_indirect (result i32) (i32.const 1))", "call of a function of another type"),
    ] {
        let finished = check(items, body);
        let error = finished.output.unwrap_err();
        assert_eq!(error.message, format!("guest: run trapped: {why}"), "{body}");
        assert_eq!((error.kind, finished.fuel_used), (Kind::GuestFailed, FUEL), "{body}");
    }
    let finished = check("", "(loop $l (br $l)) unreachable");
    assert_eq!(finished.output.unwrap_err().kind, Kind::Exhausted);
    assert_eq!(finished.fuel_used, FUEL);
}

/// Work of each kind that is charged: operators, calls, bytes moved, pages and elements, host calls.
const WORK: &str = "(local $n i32)
  (drop (memory.grow (i32.const 3)))
  (drop (table.grow $t (ref.null func) (i32.const 7)))
  (memory.fill (i32.const 2048) (i32.const 7) (i32.const 1000))
  (memory.copy (i32.const 4096) (i32.const 2048) (i32.const 900))
  (loop $again
    (i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.load (i32.const 204800))))
    (call $log (i32.const 2) (local.get $args) (local.get $len))
    (call $put (local.get $args) (i32.const 4) (i32.const 2048) (i32.const 100) (global.get $ret))
    (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 9))))
  (call $get (local.get $args) (i32.const 4) (global.get $ret))
  (call $ok (i32.const 512) (i32.const 64))";

#[test]
fn fuel() {
    let items = "(table $t 2 funcref) (data (i32.const 204800) \"start\")";
    let expected = check(items, WORK);
    assert!(expected.output.is_ok(), "{expected:?}");
    // Compiled just now, and taken from the disk.
    let component = component(&module(items, WORK));
    for backend in [Backend::Native, Backend::Portable] {
        let dir = tempfile::tempdir().unwrap();
        let options = EngineOptions {
            backend,
            instances_max: 12,
            cache_dir: Some(dir.path().to_owned()),
            ..EngineOptions::default()
        };
        for _ in ["cold", "cached"] {
            let image = load(&Engine::new(&options).unwrap(), &component);
            assert_eq!(call(&image, apply(b"args")).0, expected);
        }
    }
    // Slots of a pool are used again, with what the last call left wiped.
    for (name, engine) in engines() {
        let image = load(engine, &component);
        for round in 1..=1_000 {
            let (_, finished) = image.call(host(), apply(b"args"));
            assert_eq!(finished.unwrap(), expected, "{name}, round {round}");
        }
    }
}

/// Pages of the host come in the order of their keys, whatever order they were written in.
#[test]
fn order_of_host_results() {
    // prefix "k", order, limit 100: the second byte of each key.
    let scan = |order: u32| {
        format!(
            "(local $at i32) (local $end i32) (local $out i32)
             (i32.store8 (i32.const 1000) (i32.const 107))
             (call $scan (i32.const 1000) (i32.const 1)
               (i32.const 0) (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const 0)
               (i32.const {order}) (i32.const 100) (global.get $ret))
             (local.set $at (i32.load offset=4 (global.get $ret)))
             (local.set $end (i32.add (local.get $at)
               (i32.mul (i32.const 16) (i32.load offset=8 (global.get $ret)))))
             (local.set $out (i32.const 2048))
             (loop $next
               (i32.store8 (local.get $out) (i32.load8_u offset=1 (i32.load (local.get $at))))
               (local.set $out (i32.add (local.get $out) (i32.const 1)))
               (local.set $at (i32.add (local.get $at) (i32.const 16)))
               (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
             (call $ok (i32.const 2048) (i32.sub (local.get $out) (i32.const 2048)))"
        )
    };
    let up: Vec<u8> = (0..100).collect();
    let down: Vec<u8> = (0..100).rev().collect();
    gives("", &scan(0), &up);
    gives("", &scan(1), &down);
}

/// What a guest can read of an error, and branch on.
#[test]
fn texts_that_reach_guests() {
    for (body, text) in [
        (
            "(call $get (i32.const 0) (i32.const 0) (global.get $ret)) (call $told (i32.const 0))",
            "key of db.get: empty",
        ),
        (
            "(call $get (i32.const 0) (i32.const 5000) (global.get $ret)) (call $told (i32.const 0))",
            "key of db.get: 5000 bytes, the limit is 4096",
        ),
        (
            "(call $emit (i32.const 0) (i32.const 300) (i32.const 0) (i32.const 0)
               (global.get $ret)) (call $told (i32.const 0))",
            "topic of events.emit: 300 bytes, the limit is 256",
        ),
    ] {
        let error = check("", body).output.unwrap_err();
        assert!(error.message.contains(text), "{error}");
        for machine in ["0x", "/", "wasmtime", "wasm function", "backtrace"] {
            assert!(!error.message.contains(machine), "{machine}: {error}");
        }
    }
    // In a query too.
    let put =
        "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (global.get $ret))
               (call $told (i32.const 0))";
    let component = component(&module("", put));
    let texts: Vec<Finished> =
        engines().iter().map(|(_, engine)| call(&load(engine, &component), query(b"")).0).collect();
    assert!(texts.iter().all(|finished| *finished == texts[0]), "{texts:?}");
    assert!(texts[0].output.is_err());
}

/// Memory and tables start as the component says, however they are filled, after whatever ran before.
#[test]
fn what_an_instance_starts_with() {
    let items = "(table $t 300 funcref) (elem (i32.const 299) func $grow)
                 (data (i32.const 65530) \"across pages\") (data (i32.const 250000) \"\\ff\")";
    let body = "(memory.copy (i32.const 512) (i32.const 65524) (i32.const 24))
       (i32.store8 (i32.const 536) (i32.load8_u (i32.const 250000)))
       (i32.store8 (i32.const 537) (ref.is_null (table.get $t (i32.const 298))))
       (i32.store8 (i32.const 538) (ref.is_null (table.get $t (i32.const 299))))
       (memory.fill (i32.const 65524) (i32.const 1) (i32.const 24))
       (i32.store8 (i32.const 250000) (i32.const 9))
       (table.set $t (i32.const 298) (ref.func $grow))
       (table.set $t (i32.const 299) (ref.null func))
       (call $ok (i32.const 512) (i32.const 27))";
    gives(items, body, b"\0\0\0\0\0\0across pages\0\0\0\0\0\0\xff\x01\x00");
}

/// An actor: its state, its fuel and what it logs, in a turn that goes well and in those that do not.
#[test]
fn turns_of_an_actor() {
    let work = "(local $n i32) (loop $again
        (call $log (local.get $state) (local.get $state_len))
        (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))
          (i32.const 50))))
      (i32.eq (local.get $state_len) (i32.const 2))";
    let handles = [
        "(call $send 'bank/bob' '{\"n\": 1e2}') (call $text '{ }')",
        "(call $text '[1]')",
        "(call $text '{')",
        "(call $log 'why') unreachable",
        "(loop $l (br $l)) unreachable",
    ];
    for handle in handles {
        let component = Guest { handle, state_contract: work, ..Guest::default() }.component();
        let mut first = None;
        for (name, engine) in engines() {
            let image = load(engine, &component);
            for round in 0..2 {
                let found = actor::turn(&image, r#"{"n":1}"#, "{}");
                assert!(found.fuel_used > 100_000 && !found.logs.is_empty());
                let expected = first.get_or_insert_with(|| found.clone());
                assert_eq!(*expected, found, "{name}, round {round}, {handle}");
            }
        }
    }
}
