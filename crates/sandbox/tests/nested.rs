//! Calling other programs, as far as the sandbox has to do with it: limits and fuel.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::{Error, Kind, limits};
use althing_sandbox::{Call, Halt, HostError, Image};
use common::{FUEL, Memory, apply, fails, halts, image, query, run};

/// Calls with a program, a method and args of these lengths, all made of the arguments.
fn calling(import: &str, program: usize, method: usize, args: usize) -> Image {
    let body = format!(
        "(call ${import} (local.get $args) (i32.const {program}) (local.get $args)
           (i32.const {method}) (local.get $args) (i32.const {args}) (global.get $ret))
         (if (result i32) (i32.load8_u (global.get $ret))
           (then (i32.store8 (i32.load offset=8 (global.get $ret))
               (i32.add (i32.const 48) (i32.load8_u offset=4 (global.get $ret))))
             (call $err (i32.load offset=8 (global.get $ret)) (i32.load offset=12 (global.get $ret))))
           (else (call $ok (i32.load offset=4 (global.get $ret))
             (i32.load offset=8 (global.get $ret)))))"
    );
    image("", &body)
}

fn with(callee: Result<Vec<u8>, Error>, fuel: u64) -> Memory {
    Memory { callee: Some((callee, fuel)), ..Memory::default() }
}

#[test]
fn the_answer_comes_back() {
    for (import, mark) in [("call", "!"), ("ask", "?")] {
        let (host, finished) = run(&calling(import, 3, 2, 4), apply(b"abcd"));
        assert_eq!(finished.output.unwrap(), format!("abcab{mark}abcd").as_bytes());
        assert_eq!(host.called.len(), 1);
    }
    let (_, finished) = run(&calling("ask", 3, 2, 4), query(b"abcd"));
    assert!(finished.output.is_ok(), "a query may ask");
}

#[test]
fn a_failure_is_a_value_of_its_kind() {
    let image = calling("call", 1, 1, 1);
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        let (_, finished) = image.call(with(Err(Error::new(kind, "_why")), 5), apply(b"x"));
        let error = finished.unwrap().output.unwrap_err();
        assert_eq!(error.message, format!("guest: {at}why"), "{kind}");
    }
    let halt = Halt::new("disk");
    assert_eq!(halts(&image, apply(b"x"), HostError::Halt(halt.clone())), Err(halt));
}

#[test]
fn the_callee_is_paid_for() {
    let image = calling("call", 1, 1, 1);
    let cost = |used, call| {
        let (host, finished) = image.call(with(Ok(vec![b'y']), used), call);
        (host.called[0].1, finished.unwrap())
    };
    let (offered, free) = cost(0, apply(b"x"));
    assert!(free.fuel_used > 100_000, "calling has a price: {}", free.fuel_used);
    assert!(offered < FUEL - 100_000, "which is taken before");
    let (_, used) = cost(7_000_000, apply(b"x"));
    assert_eq!(used.fuel_used, free.fuel_used + 7_000_000);
    // A callee that used all that was left leaves nothing to go on with.
    let (_, all) = cost(offered, apply(b"x"));
    assert_eq!(all.output.unwrap_err().kind, Kind::Exhausted);
    assert_eq!(all.fuel_used, FUEL);
    // Failing costs the same.
    let failed = image.call(with(Err(Error::denied("no")), 7_000_000), apply(b"x")).1.unwrap();
    assert!(failed.fuel_used > 7_100_000, "{}", failed.fuel_used);
    // The output is copied into the guest.
    let long = image.call(with(Ok(vec![0; 50_000]), 0), apply(b"x")).1.unwrap();
    assert!(long.fuel_used >= free.fuel_used + 49_999, "{}", long.fuel_used);
}

#[test]
fn little_fuel_stops_it_before_the_callee_runs() {
    let image = calling("call", 1, 1, 1);
    let (host, finished) = run(&image, Call { fuel: 100_000, ..apply(b"x") });
    assert_eq!(finished.output.unwrap_err().kind, Kind::Exhausted);
    assert!(host.called.is_empty());
}

#[test]
fn sizes_are_refused_by_name() {
    let long = vec![b'a'; limits::INSTRUCTION_BYTES_MAX + 1];
    for (lengths, what) in [
        ((limits::PROGRAM_ID_BYTES_MAX + 1, 1, 1), "rogram of programs.call: 65 bytes"),
        ((1, limits::METHOD_BYTES_MAX + 1, 1), "ethod of programs.call: 129 bytes"),
        ((1, 1, limits::INSTRUCTION_BYTES_MAX + 1), "rgs of programs.call: 1048577 bytes"),
    ] {
        let (program, method, args) = lengths;
        let (error, _) = fails(&calling("call", program, method, args), apply(&long));
        assert!(error.message.contains(what), "{error}");
    }
}

/// The longest lists and texts that a guest can point at, in a loop: it pays, nobody copies.
#[test]
fn huge_texts_and_lists_in_a_loop() {
    for args in ["(i32.const 0x4000000) (i32.const 1)", "(i32.const 1) (i32.const 0x4000000)"] {
        let body = format!(
            "(drop (memory.grow (i32.const 1040)))
             (loop $l (call $call (i32.const 0) {args_1} (i32.const 0) (i32.const 1)
               (i32.const 0) {args_2} (global.get $ret)) (br $l)) unreachable",
            args_1 = args.split(") ").next().unwrap().to_owned() + ")",
            args_2 = args.split(") ").last().unwrap(),
        );
        let image = image("", &body);
        let call = Call { memory_bytes_max: 128 << 20, ..apply(b"") };
        let (error, fuel) = fails(&image, call);
        assert!(matches!(error.kind, Kind::Exhausted | Kind::GuestFailed), "{error}");
        assert_eq!(fuel, FUEL);
    }
}

/// Pointers that lead out of memory, in every place where one is passed.
#[test]
fn pointers_out_of_range() {
    let bad = "(i32.const 0x7ffffff0) (i32.const 64)";
    let good = "(i32.const 0) (i32.const 1)";
    let ret = "(global.get $ret)";
    let bodies = [
        format!("(call $call {bad} {good} {good} {ret})"),
        format!("(call $call {good} {bad} {good} {ret})"),
        format!("(call $call {good} {good} {bad} {ret})"),
        format!("(call $ask {good} {good} {good} (i32.const 0x7ffffff0))"),
        format!("(call $hash (i32.const 0) {bad} {ret})"),
        format!("(call $hash (i32.const 1) {good} (i32.const -4))"),
        format!("(drop (call $verify {bad} {good} {good}))"),
        format!("(drop (call $verify {good} {good} {bad}))"),
        format!("(call $delete-prefix {bad} (i32.const 1) {ret})"),
        format!(
            "(call $scan {good} (i32.const 1) {bad} (i32.const 0) (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 9) {ret})"
        ),
        format!(
            "(call $scan {good} (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) {bad}
               (i32.const 1) (i32.const 9) {ret})"
        ),
        "(call $caller (i32.const 0x7ffffff0))".to_owned(),
    ];
    for body in bodies {
        let image = image("", &format!("{body} unreachable"));
        let (error, fuel) = fails(&image, apply(b""));
        let abi = error.message.contains("broke the canonical ABI");
        assert!(abi, "{body}: {error}");
        assert_eq!(fuel, FUEL);
    }
}
