//! Guests that misuse WASI: each costs its own call, and gets the same words everywhere.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::{Hash, Kind};
use althing_sandbox::{Call, LoadError};
use common::{FUEL, apply, engine, fails, load, query, wasi::guest};

/// The call fails as `text` says, and costs all of its fuel.
fn faults(body: &str, kind: Kind, text: &str) {
    let image = load(engine(), &guest("", body));
    for call in [apply(b""), query(b"")] {
        let (error, fuel) = fails(&image, call);
        assert_eq!(error.message, format!("guest: run {text}"), "{body}");
        assert_eq!((error.kind, fuel), (kind, FUEL));
    }
}

const ABI: &str = "broke the canonical ABI: it passed or returned a value that is malformed, out of \
                   bounds or larger than 2097152 bytes";
const FUEL_TEXT: &str = "used all its fuel; do less in one call, or raise fuel_max in its manifest";

#[test]
fn polls_nothing() {
    let body = "(call $poll (i32.const 0) (i32.const 0) (i32.const 64)) unreachable";
    faults(body, Kind::GuestFailed, "polled an empty list, which would never be ready");
}

#[test]
fn polls_too_much() {
    let body = "(local $p i32) (local $n i32)
                (local.set $p (call $after (i64.const 1)))
                (loop $l
                  (i32.store (i32.add (i32.const 2048) (i32.shl (local.get $n) (i32.const 2))) (local.get $p))
                  (local.set $n (i32.add (local.get $n) (i32.const 1)))
                  (br_if $l (i32.lt_u (local.get $n) (i32.const 1025))))
                (call $poll (i32.const 2048) (i32.const 1025) (i32.const 64)) unreachable";
    // Each of them is a handle that is lent.
    faults(body, Kind::GuestFailed, ABI);
    for body in [
        // A list that claims more than there is memory, one beyond it, and what are no handles.
        "(call $poll (i32.const 0) (i32.const -1) (i32.const 64)) unreachable",
        "(call $poll (i32.const 0x7ffffffc) (i32.const 1) (i32.const 64)) unreachable",
        "(call $poll (i32.const 2048) (i32.const 3) (i32.const 64)) unreachable",
    ] {
        faults(body, Kind::GuestFailed, ABI);
    }
}

#[test]
fn uses_what_it_has_dropped() {
    for body in [
        "(call $drop_pollable (local.get $p)) (call $block (local.get $p))",
        "(call $drop_pollable (local.get $p)) (call $drop_pollable (local.get $p))",
        "(call $drop_pollable (i32.add (local.get $p) (i32.const 1)))",
        // One handle is not the other.
        "(call $flush (local.get $p) (i32.const 64))",
        "(call $block (call $stdout))",
        "(call $drop_network (call $fields))",
        "(call $drop_in (call $stdout))",
        // Given away.
        "(local.set $p (call $fields)) (drop (call $request (local.get $p)))
         (drop (call $request (local.get $p)))",
    ] {
        let body =
            format!("(local $p i32) (local.set $p (call $at (i64.const 0))) {body} unreachable");
        faults(&body, Kind::GuestFailed, ABI);
    }
}

#[test]
fn drops_in_any_order() {
    let body = "(local $out i32) (local $ready i32) (local $again i32)
                (local.set $out (call $stdout))
                (local.set $ready (call $out_ready (local.get $out)))
                (call $drop_out (local.get $out))
                (call $block (local.get $ready))
                (local.set $again (call $at (i64.const 0)))
                (call $drop_pollable (local.get $ready))
                (call $drop_pollable (local.get $again))
                (call $drop_in (call $stdin))
                (call $ok (i32.const 1024) (i32.const 0))";
    let image = load(engine(), &guest("", body));
    assert!(common::run(&image, apply(b"")).1.output.is_ok());
}

#[test]
fn holds_on_to_everything() {
    let text = "has more than 1024 pollables; drop some";
    let body = "(loop $l (drop (call $after (i64.const 1))) (br $l)) unreachable";
    faults(body, Kind::GuestFailed, text);
    for make in ["$stdout", "$stderr", "$stdin", "$fields", "$network", "$options"] {
        let body = format!("(loop $l (drop (call {make})) (br $l)) unreachable");
        faults(&body, Kind::GuestFailed, ABI);
    }
}

#[test]
fn waits_for_ever() {
    for body in [
        "(loop $l (drop (call $mono)) (br $l))",
        "(loop $l (call $wall (i32.const 64)) (br $l))",
        "(loop $l (call $block (local.get $p)) (br $l))",
        "(loop $l (br_if $l (i32.eqz (call $ready (local.get $p)))))
         (loop $l (call $drop_pollable (call $after (i64.const -1))) (br $l))",
        "(loop $l (call $flush (call $stdout) (i32.const 64)) (br $l))",
        "(loop $l (call $random (i64.const 0) (i32.const 64)) (br $l))",
        "(loop $l (call $environment (i32.const 64)) (br $l))",
    ] {
        let ends = body.contains("$stdout");
        let body =
            format!("(local $p i32) (local.set $p (call $at (i64.const 0))) {body} unreachable");
        if ends {
            // Each turn takes a handle.
            faults(&body, Kind::GuestFailed, ABI);
        } else {
            faults(&body, Kind::Exhausted, FUEL_TEXT);
        }
    }
}

#[test]
fn asks_for_too_much_chance() {
    for (call, kind, text) in [
        ("(call $random (i64.const -1) (i32.const 64))", Kind::Exhausted, FUEL_TEXT),
        ("(call $insecure (i64.const 0x100000000) (i32.const 64))", Kind::Exhausted, FUEL_TEXT),
        (
            "(call $random (i64.const 1048577) (i32.const 64))",
            Kind::GuestFailed,
            "asked for 1048577 random bytes at once, the limit is 1048576",
        ),
    ] {
        faults(&format!("{call} unreachable"), kind, text);
    }
    // Each turn gives the bytes a place of their own.
    let body = "(loop $l (call $random (i64.const 1048576) (i32.const 64))
                  (global.set $heap (i32.const 131072)) (br $l)) unreachable";
    faults(body, Kind::Exhausted, FUEL_TEXT);
}

#[test]
fn writes_what_it_has_not() {
    for body in [
        "(call $write (call $stdout) (i32.const 0) (i32.const -1) (i32.const 64)) unreachable",
        "(call $write2 (call $stderr) (i32.const 0) (i32.const 0x7fffffff) (i32.const 64)) unreachable",
        "(call $write (call $stdout) (i32.const -4) (i32.const 8) (i32.const 64)) unreachable",
        // The result would lie outside of its memory.
        "(call $write (call $stdout) (i32.const 0) (i32.const 1) (i32.const -4)) unreachable",
        "(call $append (call $fields) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0)
           (i32.const 64)) unreachable",
        // As values of their own, so many bytes are too many for the host.
        "(call $append (call $fields) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 200000)
           (i32.const 64)) unreachable",
    ] {
        faults(body, Kind::GuestFailed, ABI);
    }
    let zeroes = |count: i64| {
        format!("(call $zeroes (call $stdout) (i64.const {count}) (i32.const 64)) unreachable")
    };
    faults(&zeroes(-1), Kind::Exhausted, FUEL_TEXT);
    faults(&zeroes(65_537), Kind::GuestFailed, "wrote 65537 zeroes at once, the limit is 65536");
}

#[test]
fn ends_millions_of_lines() {
    let body = "(memory.fill (i32.const 0) (i32.const 10) (i32.const 0x30000))
                (local.set $out (call $stdout))
                (loop $l
                  (call $write (local.get $out) (i32.const 0) (i32.const 0x30000) (i32.const 64))
                  (memory.fill (i32.const 64) (i32.const 10) (i32.const 16))
                  (br $l)) unreachable";
    faults(&format!("(local $out i32) {body}"), Kind::Exhausted, FUEL_TEXT);
}

#[test]
fn pays_before_it_gets() {
    let body = "(call $random (i64.const 1000) (i32.const 64))
                (memory.fill (i32.const 2048) (i32.const 10) (i32.const 10))
                (call $write (call $stdout) (i32.const 2048) (i32.const 1000) (i32.const 64))
                (call $append (call $fields) (i32.const 0) (i32.const 50) (i32.const 0)
                  (i32.const 50) (i32.const 64))
                (call $ok (i32.const 1024) (i32.const 0))";
    let image = load(engine(), &guest("", body));
    let (_, finished) = common::run(&image, apply(b""));
    let enough = finished.fuel_used;
    assert!(enough > 1_000 * 4 + 1_000 * 2 + 10 * 200 + 50 + 50 * 50, "{enough}");
    for fuel in (0..enough).step_by(113).chain([enough - 1, enough]) {
        let (error, used) = fails(&image, Call { fuel, ..apply(b"") });
        assert_eq!((error.kind, used), (Kind::Exhausted, fuel), "with {fuel} of {enough}");
    }
    let (_, finished) = common::run(&image, Call { fuel: enough + 1, ..apply(b"") });
    assert_eq!((finished.output, finished.fuel_used), (Ok(vec![]), enough));
}

#[test]
fn starts_with_wasi() {
    for (start, why) in [
        ("(drop (call $mono))", "called the import monotonic-clock.now while it was instantiated"),
        ("(drop (call $random64))", "called the import random.get-random-u64 while"),
        ("(drop (call $network))", "instance-network, while it was instantiated"),
    ] {
        let wasm = guest(&format!("(func $s {start}) (start $s)"), "unreachable");
        let loaded = engine().load(&Hash::of(&wasm), &wasm);
        let Err(LoadError::Refused(error)) = loaded else { panic!("not refused: {start}") };
        assert!(error.message.contains(why), "{error}");
    }
}

#[test]
fn imports_another_type() {
    let wasm = wat::parse_str(
        r#"(component
             (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u32)))))
             (core module $m
               (memory (export "memory") 1)
               (func (export "f") (param i32 i32 i32 i32) (result i32) unreachable)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
             (core instance $i (instantiate $m))
             (type $f (func (param "method" string) (param "args" (list u8))
               (result (result (list u8) (error string)))))
             (func $f (type $f) (canon lift (core func $i "f")
               (memory (core memory $i "memory"))
               (realloc (core func $i "realloc"))))
             (export "apply" (func $f))
             (export "query" (func $f)))"#,
    )
    .unwrap();
    let Err(LoadError::Refused(error)) = engine().load(&Hash::of(&wasm), &wasm) else { panic!() };
    assert!(error.message.contains("wasi:clocks/monotonic-clock@0.2.0"), "{error}");
}
