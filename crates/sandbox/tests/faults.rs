//! Guests that misbehave: each costs its own call, and gets the same words everywhere.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::{Hash, Kind};
use althing_sandbox::{Call, Engine, EngineOptions, LoadError};
use common::{
    FUEL, MEMORY, Memory, apply, component, engine, fails, image, load, module, query, run,
};

/// The call fails as `text` says, and costs all of its fuel.
fn faults(items: &str, body: &str, kind: Kind, text: &str) {
    let image = image(items, body);
    for call in [apply(b"x"), query(b"x")] {
        let (error, fuel) = fails(&image, call);
        assert_eq!(error.message, format!("guest: run {text}"));
        assert_eq!((error.kind, fuel), (kind, FUEL));
    }
}

const ABI: &str = "broke the canonical ABI: it passed or returned a value that is malformed, out of \
                   bounds or larger than 2097152 bytes";
const FUEL_TEXT: &str = "used all its fuel; do less in one call, or raise fuel_max in its manifest";

#[test]
fn loops_forever() {
    faults("", "(loop $l (br $l)) unreachable", Kind::Exhausted, FUEL_TEXT);
}

#[test]
fn recurses() {
    let items = "(func $deep (param i32) (result i32) (i32.add (i32.const 1)
                   (call $deep (i32.add (i32.const 1) (local.get 0)))))";
    faults(
        items,
        "(call $deep (i32.const 0))",
        Kind::GuestFailed,
        "trapped: stack overflow (recursion too deep)",
    );
}

#[test]
fn traps() {
    for (body, why) in [
        ("unreachable", "unreachable code (a panic or an abort)"),
        ("(i32.div_u (local.get $len) (i32.const 0))", "integer division by zero"),
        ("(i32.div_s (i32.const 0x80000000) (i32.const -1))", "integer overflow"),
        ("(i32.trunc_f64_s (f64.const nan))", "conversion of a float that is no integer"),
        ("(i32.load (i32.const -1))", "memory access out of bounds"),
        ("(call_indirect (result i32) (i32.const 9))", "table access out of bounds"),
        ("(call_indirect (result i32) (i32.const 0))", "call of a null function"),
        ("(call_indirect (result i32) (i32.const 1))", "call of a function of another type"),
    ] {
        let items = "(table 2 funcref) (elem (i32.const 1) func $grow)";
        faults(items, body, Kind::GuestFailed, &format!("trapped: {why}"));
    }
}

#[test]
fn grows_to_the_limit_and_no_further() {
    let image = image(
        "",
        "(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))
         (i32.store (i32.const 512) (memory.size))
         (call $ok (i32.const 512) (i32.const 4))",
    );
    for memory_bytes_max in [4 << 16, MEMORY, 64 << 20] {
        let (_, finished) = run(&image, Call { memory_bytes_max, ..apply(b"") });
        let pages = u32::try_from(memory_bytes_max >> 16).unwrap();
        assert_eq!(finished.output.unwrap(), pages.to_le_bytes());
        assert!(finished.fuel_used >= u64::from(pages - 4) * 255, "growing costs");
    }
}

#[test]
fn grows_a_table_to_the_limit_and_no_further() {
    let image = image(
        "(table $t 2 funcref)",
        "(loop $more (br_if $more (i32.ne (i32.const -1)
           (table.grow $t (ref.null func) (i32.const 1000)))))
         (i32.store (i32.const 512) (table.size $t))
         (call $ok (i32.const 512) (i32.const 4))",
    );
    assert_eq!(run(&image, apply(b"")).1.output.unwrap(), 32_002_u32.to_le_bytes());
}

#[test]
fn returns_too_much() {
    // 1 GiB that it does not have, 8 MiB that it has, and what the ABI lets through.
    faults("", "(call $ok (i32.const 0) (i32.const 0x40000000))", Kind::GuestFailed, ABI);
    let grown =
        "(drop (memory.grow (i32.const 128))) (call $ok (i32.const 0) (i32.const 0x800000))";
    faults("", grown, Kind::GuestFailed, ABI);
    let image = image("", "(call $ok (local.get $args) (local.get $len))");
    let (error, fuel) = fails(&image, apply(&vec![0; 100_000]));
    assert_eq!(
        error.message,
        "guest: output of run: 100000 bytes, the limit is 65536; return less, or a page of it"
    );
    assert!(fuel < FUEL);
}

#[test]
fn returns_nonsense() {
    for body in [
        "(i32.const -4)",
        "(i32.const 17)",
        "(call $return (i32.const 2) (i32.const 0) (i32.const 0))",
        "(i32.store8 (i32.const 512) (i32.const 0xff)) (call $err (i32.const 512) (i32.const 1))",
    ] {
        faults("", body, Kind::GuestFailed, ABI);
    }
}

#[test]
fn passes_huge_buffers_in_a_loop() {
    let huge = |import: &str| {
        format!("(drop (memory.grow (i32.const 1040))) (loop $l {import} (br $l)) unreachable")
    };
    let roomy = |body: &str| {
        let image = image("", body);
        let call = Call { memory_bytes_max: 128 << 20, ..apply(b"x") };
        let (error, fuel) = fails(&image, call);
        assert_eq!(fuel, FUEL);
        error
    };
    for import in [
        "(call $get (i32.const 0) (i32.const 0x4000000) (global.get $ret))",
        "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0x4000000) (global.get $ret))",
        "(call $scan (i32.const 0) (i32.const 0x4000000) (i32.const 0) (i32.const 0) (i32.const 0)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (global.get $ret))",
        "(call $delete-prefix (i32.const 0) (i32.const 0x4000000) (i32.const 1) (global.get $ret))",
        "(call $hash (i32.const 0) (i32.const 0) (i32.const 0x4000000) (global.get $ret))",
        "(call $emit (i32.const 0) (i32.const 0x4000000) (i32.const 0) (i32.const 0) (global.get $ret))",
        "(call $log (i32.const 0) (i32.const 0) (i32.const 0x4000000))",
    ] {
        assert_eq!(roomy(&huge(import)).message, format!("guest: run {ABI}"));
    }
    // As much as the ABI lets through: refused or dropped each time, until the fuel is gone.
    for import in [
        "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0x180000) (global.get $ret))",
        "(call $emit (i32.const 0) (i32.const 0x180000) (i32.const 0) (i32.const 0) (global.get $ret))",
        "(call $log (i32.const 0) (i32.const 0) (i32.const 0x180000))",
    ] {
        // The messages of refusals fill its memory before the fuel is gone, unless it forgets them.
        let forget = "(global.set $heap (i32.const 131072))";
        assert_eq!(roomy(&huge(&format!("{import} {forget}"))).kind, Kind::Exhausted);
    }
}

#[test]
fn logs_what_is_no_text() {
    let body = "(i32.store8 (i32.const 512) (i32.const 0xff))
                (call $log (i32.const 0) (i32.const 512) (i32.const 1)) unreachable";
    let text = "passed a text to log.log that is not valid Unicode";
    faults("", body, Kind::GuestFailed, text);
    let level = "(call $log (i32.const 4) (i32.const 0) (i32.const 0)) unreachable";
    faults("", level, Kind::GuestFailed, ABI);
}

#[test]
fn writes_until_its_fuel_is_gone() {
    let body = "(loop $l (call $put (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0x10000)
                  (global.get $ret))
                  (i32.store (i32.const 0) (i32.add (i32.const 1) (i32.load (i32.const 0))))
                  (br $l)) unreachable";
    let image = image("", body);
    let (host, finished) = run(&image, apply(b""));
    assert_eq!(finished.output.unwrap_err().kind, Kind::Exhausted);
    let bytes: usize = host.db.values().map(|value| value.len()).sum();
    assert!(bytes as u64 * 4 <= FUEL, "every byte was paid for");
}

#[test]
fn a_call_with_little_fuel_stops_wherever_it_is() {
    let body =
        "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1000) (global.get $ret))
                (call $told (i32.const 0))";
    let image = image("", body);
    let (_, finished) = run(&image, apply(b""));
    let enough = finished.fuel_used;
    for fuel in (0..enough).step_by(97).chain([enough - 1, enough]) {
        let (error, used) = fails(&image, Call { fuel, ..apply(b"") });
        assert_eq!((error.kind, used), (Kind::Exhausted, fuel), "with {fuel} of {enough}");
    }
    let (_, finished) = run(&image, Call { fuel: enough + 1, ..apply(b"") });
    assert_eq!((finished.output, finished.fuel_used), (Ok(vec![]), enough));
}

/// Refused when it is loaded, with a text that says why.
fn does_not_start(items: &str, why: &str) {
    let component = component(&module(items, "unreachable"));
    match engine().load(&Hash::of(&component), &component) {
        Err(LoadError::Refused(error)) => assert!(error.message.contains(why), "{error}"),
        Err(LoadError::Halt(halt)) => panic!("{halt}"),
        Ok(_) => panic!("it started"),
    }
}

#[test]
fn misbehaves_while_it_starts() {
    let start = |body: &str| format!("(func $s {body}) (start $s)");
    does_not_start(&start("(drop (call $index))"), "called the import context.index while");
    // Imports that need its memory are not even there yet.
    let log = "(call $log (i32.const 0) (i32.const 0) (i32.const 1))";
    does_not_start(&start(log), "call of a null function");
    does_not_start(&start("(loop $l (br $l))"), "used all its fuel");
    does_not_start(&start("unreachable"), "unreachable code");
    does_not_start("(data (i32.const 0x7ffffff0) \"x\")", "memory access out of bounds");
}

#[test]
fn passes_nonsense_while_it_starts() {
    let component = wat::parse_str(
        r#"(component
             (import "althing:contract/log@0.1.0" (instance $log
               (type $names (enum "debug" "info" "warn" "error"))
               (export "level" (type $level (eq $names)))
               (export "log" (func (param "level" $level) (param "message" string)))))
             (core module $memory
               (memory (export "memory") 1)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
               (func (export "f") (param i32 i32 i32 i32) (result i32) unreachable))
             (core instance $m (instantiate $memory))
             (alias core export $m "memory" (core memory $memory))
             (alias core export $m "realloc" (core func $realloc))
             (alias core export $m "f" (core func $f))
             (alias export $log "log" (func $log))
             (core func $lowered (canon lower (func $log) (memory $memory)))
             (core module $starts
               (import "host" "log" (func $log (param i32 i32 i32)))
               (func $start (call $log (i32.const 9) (i32.const 0) (i32.const -1)))
               (start $start))
             (core instance (instantiate $starts
               (with "host" (instance (export "log" (func $lowered))))))
             (type $t (func (param "method" string) (param "args" (list u8))
               (result (result (list u8) (error string)))))
             (func $f (type $t) (canon lift (core func $f) (memory $memory) (realloc $realloc)))
             (export "apply" (func $f))
             (export "query" (func $f)))"#,
    )
    .unwrap();
    let loaded = engine().load(&Hash::of(&component), &component);
    let Err(LoadError::Refused(error)) = loaded else { panic!("not refused") };
    assert!(error.message.contains(ABI), "{error}");
}

#[test]
fn one_call_too_many_for_the_pool_halts() {
    let body =
        "(call $get (i32.const 0) (i32.const 1) (global.get $ret)) (call $told (i32.const 0))";
    let component = component(&module("", body));
    for (instances_max, runs) in [(1, false), (2, true)] {
        let options = EngineOptions { instances_max, ..EngineOptions::default() };
        let image = load(&Engine::new(&options).unwrap(), &component);
        let nested = Some(image.clone());
        let (host, outer) = image.call(Memory { nested, ..Memory::default() }, apply(b""));
        assert!(outer.unwrap().output.is_ok());
        // The node's own trouble, not the guest's.
        let inner = host.nested_result.unwrap();
        assert_eq!(inner.is_ok(), runs, "{inner:?}");
    }
}
