//! Time stops a query, and never anything else.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::Kind;
use althing_sandbox::{
    Call, Deadline, Engine, EngineOptions, limits::RESERVED_INSTANCES, limits::THREAD_STACK_BYTES,
};
use common::{Memory, apply, component, fails, image, load, module, query, run};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const FOREVER: &str = "(loop $again (br $again)) (unreachable)";
const PLENTY: u64 = 1 << 60;

#[test]
fn a_query_that_loops_is_stopped_and_told_why() {
    let image = image("", FOREVER);
    let begun = Instant::now();
    let late = Call { fuel: PLENTY, deadline: Some(Deadline::after_ms(50)), ..query(b"") };
    let (error, fuel) = fails(&image, late);
    assert_eq!(error.kind, Kind::Exhausted);
    for part in ["guest: run", "longer than 50 ms", "sandbox.query_deadline_ms"] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
    assert!(fuel < PLENTY, "what it used, not the limit");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn a_deadline_that_has_passed_lets_nothing_run_for_long() {
    let passed = Deadline::after_ms(0);
    let late = Call { fuel: PLENTY, deadline: Some(passed), ..query(b"") };
    assert_eq!(fails(&image("", FOREVER), late).0.kind, Kind::Exhausted);
}

#[test]
fn one_in_time_answers() {
    let image = image("", "(call $ok (local.get 0) (local.get 1))");
    let soon = Call { deadline: Some(Deadline::after_ms(60_000)), ..query(b"answer") };
    assert_eq!(run(&image, soon).1.output.unwrap(), b"answer");
}

/// The invariant of the apply thread: whatever the epoch does meanwhile, fuel alone ends a call.
#[test]
fn no_epoch_stops_what_has_no_deadline() {
    let engine =
        Engine::new(&EngineOptions { pooling: false, ..EngineOptions::default() }).unwrap();
    let image = load(&engine, &component(&module("", FOREVER)));
    let quiet = fails(&image, apply(b""));
    assert_eq!(quiet.0.kind, Kind::Exhausted);
    assert!(quiet.0.message.contains("fuel"), "{}", quiet.0);
    let stop = Arc::new(AtomicBool::new(false));
    let ticking = {
        let (engine, stop) = (engine.wasmtime().clone(), Arc::clone(&stop));
        thread::spawn(move || {
            let mut ticks = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                engine.increment_epoch();
                ticks += 1;
            }
            ticks
        })
    };
    for call in [apply(b""), query(b"")] {
        assert_eq!(fails(&image, call), quiet);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(ticking.join().unwrap() > 1_000);
}

#[test]
fn queries_leave_the_instances_of_apply_alone() {
    let options =
        EngineOptions { instances_max: RESERVED_INSTANCES + 1, ..EngineOptions::default() };
    let engine = Engine::new(&options).unwrap();
    assert_eq!(engine.query_instances_max(), 1);
    let reads = "(call $get (i32.const 512) (i32.const 1) (global.get $ret))
        (call $ok (i32.const 512) (i32.const 0))";
    let image = load(&engine, &component(&module("", reads)));
    let deadline = Some(Deadline::after_ms(60_000));
    // A query of another program, inside a query: there is one instance for both.
    let nested = Memory { nested: Some(image.clone()), ..Memory::default() };
    let (host, outer) = image.call(nested, Call { deadline, ..query(b"") });
    outer.unwrap().output.unwrap();
    // The host of the tests calls without a deadline, as apply does: that instance was kept.
    host.nested_result.unwrap().unwrap().output.unwrap();
    // And it is free again.
    run(&image, Call { deadline, ..query(b"") }).1.output.unwrap();

    let none = EngineOptions { instances_max: RESERVED_INSTANCES, ..EngineOptions::default() };
    let image = load(&Engine::new(&none).unwrap(), &component(&module("", reads)));
    let (error, fuel) = fails(&image, Call { deadline, ..query(b"") });
    assert_eq!((error.kind, fuel), (Kind::Exhausted, 0));
    assert!(error.retry_after_ms.is_some() && error.message.contains("sandbox.instances_max"));
    run(&image, apply(b"")).1.output.unwrap();
}

/// Programs call each other as deep as they may, each from deep in its own recursion.
#[test]
fn a_thread_holds_all_nested_stacks() {
    let dive = |depth: u32| {
        let items = "(func $dive (param $depth i32)
            (if (local.get $depth)
              (then (call $dive (i32.sub (local.get $depth) (i32.const 1))))
              (else (call $get (i32.const 512) (i32.const 1) (global.get $ret)))))";
        let body =
            format!("(call $dive (i32.const {depth})) (call $ok (i32.const 512) (i32.const 0))");
        image(items, &body)
    };
    let (too_deep, deep) = (dive(300_000), dive(100_000));
    assert_eq!(fails(&too_deep, apply(b"")).0.kind, Kind::GuestFailed);
    let nested_depth = althing_protocol::limits::CALL_DEPTH_MAX - 1;
    let run = move || {
        let host = Memory { nested: Some(deep.clone()), nested_depth, ..Memory::default() };
        let (host, finished) = deep.call(host, apply(b""));
        finished.unwrap().output.unwrap();
        host.nested_result.unwrap().unwrap().output.unwrap();
    };
    let thread = thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn(run).unwrap();
    thread.join().unwrap();
}
