//! A contract in text form that does what its arguments say, so that one guest serves every test of
//! programs that call each other.
//!
//! An item is a letter and what it is about:
//!
//! ```text
//!   p K V      puts V (all that follows) under the one byte K
//!   g K        gets K
//!   c N P I    calls `run` of the program P, whose name has N bytes, with the item I
//!   q N P I    queries it
//!   t N P I    calls it, and returns a failure as text: its kind as a digit, and the message
//!   s (L I)*   does the items I, each after its length L in two bytes, and stops at a failure
//!   e T        emits an event under the topic T
//!   o T        logs T
//!   f T        fails with T
//!   w          who calls: `p` and a program, or `k` and a key
//!   a          the author
//!   r          the seed
//!   d N I      calls itself N times (two bytes) and does the item I then
//!   l          loops for ever
//!   x          traps
//!   m          puts a tiny value under one key after another, without end
//! ```

#![allow(dead_code, unreachable_pub)]

use crate::guests;

/// The component.
pub fn relay() -> Vec<u8> {
    guests::component(&module())
}

/// The same with a `migrate` that does the item it is given as the version.
pub fn migrating() -> Vec<u8> {
    let migrate = r#"(func (export "althing:contract/migration@0.1.0#migrate")
        (param $from i32) (param $len i32) (result i32)
        (local $done i32)
        (local.set $done (call $do (local.get $from) (local.get $len)))
        ;; `ok` has nothing in it.
        (local.get $done))"#;
    let items = format!("{} {migrate}", items());
    guests::component_of("migrating-contract", &guests::module(&items, BODY))
}

const BODY: &str = "(call $do (local.get $args) (local.get $len))";

fn module() -> String {
    guests::module(&items(), BODY)
}

fn items() -> String {
    let is = |letter: char| {
        format!("(i32.eq (i32.load8_u (local.get $at)) (i32.const {}))", letter as u32)
    };
    // Program, method and item of `c N P I`.
    let callee = "(i32.add (local.get $at) (i32.const 2)) (i32.load8_u offset=1 (local.get $at))
                  (i32.const 1024) (i32.const 3)
                  (i32.add (i32.add (local.get $at) (i32.const 2))
                    (i32.load8_u offset=1 (local.get $at)))
                  (i32.sub (i32.sub (local.get $len) (i32.const 2))
                    (i32.load8_u offset=1 (local.get $at)))
                  (global.get $ret)";
    let rest = "(i32.add (local.get $at) (i32.const 1)) (i32.sub (local.get $len) (i32.const 1))";
    format!(
        r#"(data (i32.const 1024) "run")
  (func $output (result i32)
    (if (result i32) (i32.load8_u (global.get $ret))
      (then (call $err (i32.load offset=8 (global.get $ret)) (i32.load offset=12 (global.get $ret))))
      (else (call $ok (i32.load offset=4 (global.get $ret)) (i32.load offset=8 (global.get $ret))))))
  (func $nothing (result i32) (call $told (i32.const 0)))
  (func $sequence (param $at i32) (param $len i32) (result i32)
    (local $end i32) (local $size i32)
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (drop (call $ok (i32.const 0) (i32.const 0)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $size (i32.load16_u (local.get $at)))
        (drop (call $do (i32.add (local.get $at) (i32.const 2)) (local.get $size)))
        (br_if $done (i32.load8_u (i32.const 16)))
        (local.set $at (i32.add (local.get $at) (i32.add (i32.const 2) (local.get $size))))
        (br $next)))
    (i32.const 16))
  (func $deep (param $n i32) (param $at i32) (param $len i32) (result i32)
    (if (result i32) (local.get $n)
      (then (call $deep (i32.sub (local.get $n) (i32.const 1)) (local.get $at) (local.get $len)))
      (else (call $do (local.get $at) (local.get $len)))))
  (func $do (param $at i32) (param $len i32) (result i32)
    (if {p} (then
      (call $put (i32.add (local.get $at) (i32.const 1)) (i32.const 1)
        (i32.add (local.get $at) (i32.const 2)) (i32.sub (local.get $len) (i32.const 2))
        (global.get $ret))
      (return (call $nothing))))
    (if {g} (then
      (call $get {rest} (global.get $ret))
      (if (i32.load8_u (global.get $ret)) (then (return (call $nothing))))
      (if (i32.load8_u offset=4 (global.get $ret))
        (then (return (call $ok (i32.load offset=8 (global.get $ret))
          (i32.load offset=12 (global.get $ret))))))
      (return (call $ok (i32.const 0) (i32.const 0)))))
    (if {c} (then (call $call {callee}) (return (call $output))))
    (if {q} (then (call $ask {callee}) (return (call $output))))
    (if {t} (then
      (call $call {callee})
      (if (i32.load8_u (global.get $ret)) (then
        ;; The digit goes before the message, into the room that every allocation has.
        (i32.store8 (i32.sub (i32.load offset=8 (global.get $ret)) (i32.const 1))
          (i32.add (i32.const 48) (i32.load8_u offset=4 (global.get $ret))))
        (return (call $ok (i32.sub (i32.load offset=8 (global.get $ret)) (i32.const 1))
          (i32.add (i32.load offset=12 (global.get $ret)) (i32.const 1))))))
      (return (call $output))))
    (if {s} (then (return (call $sequence {rest}))))
    (if {e} (then
      (call $emit {rest} (i32.const 0) (i32.const 0) (global.get $ret))
      (return (call $nothing))))
    (if {o} (then (call $log (i32.const 1) {rest}) (return (call $ok (i32.const 0) (i32.const 0)))))
    (if {f} (then (return (call $err {rest}))))
    (if {w} (then
      (call $caller (global.get $ret))
      (i32.store8 (i32.sub (i32.load offset=4 (global.get $ret)) (i32.const 1))
        (select (i32.const 112) (i32.const 107) (i32.load8_u (global.get $ret))))
      (return (call $ok (i32.sub (i32.load offset=4 (global.get $ret)) (i32.const 1))
        (i32.add (i32.load offset=8 (global.get $ret)) (i32.const 1))))))
    (if {a} (then (call $author (global.get $ret)) (return (call $ok
      (i32.load (global.get $ret)) (i32.load offset=4 (global.get $ret))))))
    (if {r} (then (call $seed (global.get $ret)) (return (call $ok
      (i32.load (global.get $ret)) (i32.load offset=4 (global.get $ret))))))
    (if {d} (then (return (call $deep (i32.load16_u offset=1 (local.get $at))
      (i32.add (local.get $at) (i32.const 3)) (i32.sub (local.get $len) (i32.const 3))))))
    (if {l} (then (loop $for-ever (br $for-ever))))
    (if {m} (then (loop $more
      (i32.store (i32.const 512) (i32.add (i32.const 1) (i32.load (i32.const 512))))
      (call $put (i32.const 512) (i32.const 4) (i32.const 512) (i32.const 1) (global.get $ret))
      (br_if $more (i32.eqz (i32.load8_u (global.get $ret)))))
      (return (call $nothing))))
    unreachable)"#,
        p = is('p'),
        g = is('g'),
        c = is('c'),
        q = is('q'),
        t = is('t'),
        s = is('s'),
        e = is('e'),
        o = is('o'),
        f = is('f'),
        w = is('w'),
        a = is('a'),
        r = is('r'),
        d = is('d'),
        l = is('l'),
        m = is('m'),
    )
}

/// An item that calls (`c`), queries (`q`) or tries (`t`) `program`.
pub fn to(how: char, program: &str, item: impl AsRef<[u8]>) -> Vec<u8> {
    let head = [how as u8, program.len() as u8];
    [&head[..], program.as_bytes(), item.as_ref()].concat()
}

/// An item that does others in turn.
pub fn all(items: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![b's'];
    for item in items {
        bytes.extend((item.len() as u16).to_le_bytes());
        bytes.extend(*item);
    }
    bytes
}
