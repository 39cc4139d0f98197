//! Boards with little address space: another way of reserving memory, the same outcomes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::Kind;
use althing_sandbox::{Allocation, Backend, Engine, EngineOptions, Reservation};
use common::{MEMORY, apply, component, load, module, run};
use std::{env, process::Command};

/// Tells the child process what it may use, in bytes.
const LIMIT: &str = "ALTHING_TEST_ADDRESS_SPACE";
/// Writes behind the end of its memory: at its first page, and at the last address there is.
const OUT_OF_BOUNDS: [&str; 2] = ["(i32.shl (memory.size) (i32.const 16))", "(i32.const -4)"];

fn options(reservation: Reservation, pooling: bool, backend: Backend) -> EngineOptions {
    EngineOptions { reservation, pooling, backend, ..EngineOptions::default() }
}

/// What guests do at the edges of their memory, and what it costs.
fn edges(engine: &Engine) -> Vec<String> {
    let mut seen = Vec::new();
    for at in OUT_OF_BOUNDS {
        let body = format!("(i32.store {at} (i32.const 1)) (unreachable)");
        let finished = run(&load(engine, &component(&module("", &body))), apply(b"")).1;
        assert_eq!(finished.output.as_ref().unwrap_err().kind, Kind::GuestFailed);
        seen.push(format!("{finished:?}"));
    }
    // Grows to the limit and writes to the last word; one page more is refused.
    let pages = MEMORY >> 16;
    let body = format!(
        "(drop (memory.grow (i32.sub (i32.const {pages}) (memory.size))))
         (i32.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)) (i32.const 7))
         (i32.store (i32.const 1024) (memory.grow (i32.const 1)))
         (i32.store (i32.const 1028) (memory.size))
         (call $ok (i32.const 1024) (i32.const 8))"
    );
    let finished = run(&load(engine, &component(&module("", &body))), apply(b"")).1;
    let expected = [(-1_i32).to_le_bytes(), (pages as i32).to_le_bytes()].concat();
    assert_eq!(finished.output.as_ref().unwrap(), &expected);
    seen.push(format!("{finished:?}"));
    seen
}

#[test]
fn every_way_of_reserving_has_the_same_edges() {
    let reference = edges(common::engine());
    for backend in [Backend::Native, Backend::Portable] {
        for (reservation, pooling, allocation) in [
            (Reservation::Full, true, Allocation::Full),
            (Reservation::Small, true, Allocation::Small),
            (Reservation::Full, false, Allocation::OnDemand),
            (Reservation::Small, false, Allocation::OnDemand),
        ] {
            let engine = Engine::new(&options(reservation, pooling, backend)).unwrap();
            assert_eq!((engine.allocation(), engine.backend()), (allocation, backend));
            assert_eq!(edges(&engine), reference, "{backend} {reservation:?} {pooling}");
        }
    }
}

#[test]
fn few_slots_are_enough_for_apply_and_queries() {
    let engine = Engine::new(&options(Reservation::Small, true, Backend::Native)).unwrap();
    assert_eq!(engine.query_instances_max(), 6);
}

/// Runs in a process of its own, with an address space of its own: see below.
#[test]
fn with_the_address_space_that_is_left() {
    let Ok(limit) = env::var(LIMIT) else { return };
    let limit = Some(limit.parse().unwrap());
    rustix::process::setrlimit(
        rustix::process::Resource::As,
        rustix::process::Rlimit { current: limit, maximum: limit },
    )
    .unwrap();
    let full = Engine::new(&options(Reservation::Full, true, Backend::Native));
    assert!(full.is_err(), "a reservation that was asked for by name is not replaced");
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    edges(&engine);
    println!("allocation: {}", engine.allocation());
}

#[test]
fn what_does_not_fit_is_made_smaller() {
    for (gib, expected) in [(64_u64, "small"), (2, "on-demand")] {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "with_the_address_space_that_is_left", "--nocapture"])
            .args(["--test-threads", "1"])
            .env(LIMIT, (gib << 30).to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{gib} GiB: {text}{errors}");
        assert!(text.contains(&format!("allocation: {expected}\n")), "{gib} GiB: {text}");
    }
}
