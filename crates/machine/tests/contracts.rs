//! WASM programs: staged, activated, called, each in its own keyspace.
// Tests may read files; the machine may not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod common;

use althing_machine::Fault;
use althing_protocol::{Hash, Kind, limits, sys, v1};
use althing_sandbox::Deadline;
use althing_state::Key;
use common::{World, failure, founder, grant, key, output};

/// The sample contract, as `cargo xtask guests` builds it.
fn counter() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests/counter.wasm");
    std::fs::read(path).expect("target/guests/counter.wasm is missing: run `cargo xtask guests`")
}

fn stage(program: &str, image: Hash) -> v1::Instruction {
    let manifest = Some(v1::Manifest { version: "1".into(), ..v1::Manifest::default() });
    let (program, image) = (program.into(), image.0.to_vec());
    sys::stage(&v1::Stage { program, image, manifest, signature: None })
}

fn activate(program: &str, image: Hash) -> v1::Instruction {
    sys::activate(&v1::Activate { program: program.into(), image: image.0.to_vec() })
}

fn increment(program: &str, by: u64) -> v1::Instruction {
    v1::Instruction::new(program, "increment", format!("{{\"by\":{by}}}").into_bytes())
}

fn deploy(world: &mut World, program: &str) -> Hash {
    let image = world.upload(&counter());
    output(&world.run(&founder(), stage(program, image)));
    output(&world.run(&founder(), activate(program, image)));
    image
}

fn value(world: &World, program: &str) -> String {
    let asked = world.machine.query(
        world.view(),
        key(1).public(),
        program,
        "value",
        b"{}",
        Deadline::after_ms(60_000),
    );
    String::from_utf8(asked.unwrap().0).unwrap()
}

#[test]
fn a_program_runs_once_it_is_activated() {
    let mut world = World::new();
    let image = world.upload(&counter());
    let call = increment("counter", 2);
    let unknown = failure(&world.run(&founder(), call.clone()));
    assert_eq!(unknown.kind, Kind::NotFound);
    let staged = world.run(&founder(), stage("counter", image));
    assert_eq!(staged.events[0].topic, "program.staged");
    let error = failure(&world.run(&founder(), call.clone()));
    assert!(error.message.contains("staged but not active"), "{error}");
    let other = failure(&world.run(&founder(), activate("counter", Hash::of(b"other"))));
    assert_eq!(other.kind, Kind::Conflict);
    output(&world.run(&founder(), activate("counter", image)));
    let ran = world.run(&founder(), call);
    assert_eq!(output(&ran), b"2");
    assert!(ran.fuel > 0 && ran.fuel < limits::FUEL_DEFAULT);
    assert_eq!(value(&world, "counter"), "2");
}

#[test]
fn programs_do_not_see_each_other() {
    let mut world = World::new();
    deploy(&mut world, "counter");
    deploy(&mut world, "other");
    output(&world.run(&founder(), sys::put("default", "of sys")));
    output(&world.run(&founder(), increment("counter", 7)));
    assert_eq!(value(&world, "counter"), "7");
    assert_eq!(value(&world, "other"), "0");
    assert_eq!(world.value("default").unwrap(), b"of sys");
    assert!(world.view().get(&Key::new("counter", b"default")).unwrap().is_some());
    assert!(world.view().get(&Key::new("other", b"default")).unwrap().is_none());
}

#[test]
fn what_fails_leaves_nothing_and_spoils_nothing() {
    let mut world = World::new();
    deploy(&mut world, "counter");
    let session = world.open(&founder());
    let instructions = vec![
        increment("counter", 1),
        v1::Instruction::new("counter", "increment", b"{\"by\":\"many\"}".to_vec()),
        increment("counter", u64::MAX),
        sys::put("/after", "x"),
        increment("counter", 2),
    ];
    let envelope = world.envelope(&founder(), session, 1, instructions);
    let outcomes = world.apply(&envelope);
    assert_eq!(output(&outcomes[0]), b"1");
    assert_eq!(failure(&outcomes[1]).kind, Kind::GuestFailed);
    assert!(outcomes[2].fuel > 0, "a failure is not free");
    assert!(failure(&outcomes[2]).message.contains("too large"));
    output(&outcomes[3]);
    assert_eq!(output(&outcomes[4]), b"3");
    assert_eq!(value(&world, "counter"), "3");
}

#[test]
fn calls_need_a_grant_for_program_and_method() {
    let mut world = World::new();
    deploy(&mut world, "counter");
    let author = key(2);
    world.grant(grant(&author, "counter", "increment", ""));
    output(&world.run(&author, increment("counter", 1)));
    let reset = v1::Instruction::new("counter", "reset", b"{}".to_vec());
    let error = failure(&world.run(&author, reset));
    assert_eq!(error.kind, Kind::Denied);
    assert!(error.message.contains("counter/reset"), "{error}");
}

#[test]
fn a_component_that_asks_for_more_is_refused_by_name() {
    let mut world = World::new();
    let check = |world: &mut World, text: &str, words: &str| {
        let image = world.upload(&wat::parse_str(text).unwrap());
        let error = failure(&world.run(&founder(), stage("bad", image)));
        assert_eq!(error.kind, Kind::Invalid, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert!(world.machine.programs(&world.view()).unwrap().is_empty());
    };
    let wasi = r#"(component (import "wasi:nn/graph@0.2.0" (instance)))"#;
    check(&mut world, wasi, "wasi:nn/graph@0.2.0");
    check(&mut world, "(component)", "apply");
    check(&mut world, "(module)", "component");
}

#[test]
fn a_missing_image_halts_and_is_no_outcome() {
    let mut world = World::new();
    let instruction = stage("counter", Hash::of(b"nowhere"));
    let session = world.open(&founder());
    let envelope = world.envelope(&founder(), session, 1, vec![instruction]);
    let entry = v1::Entry {
        kind: Some(v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope) })),
        ..v1::Entry::default()
    };
    let at = althing_machine::EntryAt { index: 99, entry: &entry, is_verified: true };
    let halt = world.machine.apply(world.view(), at).unwrap_err();
    assert!(halt.to_string().contains("missing"), "{halt}");
}

#[test]
fn an_upgrade_keeps_the_state() {
    let mut world = World::new();
    deploy(&mut world, "counter");
    output(&world.run(&founder(), increment("counter", 5)));
    // The same code with a custom section is another image.
    let mut bytes = counter();
    bytes.extend([0, 5, 1, b'v', 2, 0, 0]);
    let image = world.upload(&bytes);
    output(&world.run(&founder(), stage("counter", image)));
    output(&world.run(&founder(), increment("counter", 1)));
    output(&world.run(&founder(), activate("counter", image)));
    output(&world.run(&founder(), increment("counter", 1)));
    assert_eq!(value(&world, "counter"), "7");
}

#[test]
fn a_query_of_sys_is_an_operation_of_its_own() {
    let world = World::new();
    let asked = world.machine.query(
        world.view(),
        key(1).public(),
        "sys",
        "get",
        b"",
        Deadline::after_ms(60_000),
    );
    let Err(Fault::Outcome(error)) = asked else { panic!("wants an outcome") };
    assert_eq!(error.kind, Kind::Invalid);
}
