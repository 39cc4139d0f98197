//! Programs that call programs: what is kept, what is undone, who may, and what it costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod common;
#[path = "../../sandbox/tests/common/mod.rs"]
mod guests;
#[path = "common/relay.rs"]
mod relay;

use althing_machine::{EntryAt, Fault};
use althing_protocol::{Error, Kind, limits, sys, v1};
use althing_sandbox::Deadline;
use althing_state::Key;
use common::{World, failure, founder, grant, key, output};
use prost::Message;
use relay::{all, relay, to};

/// A realm with these programs, of which each may call every other.
fn world(programs: &[&str]) -> World {
    let mut world = World::new();
    let image = world.upload(&relay());
    for program in programs {
        deploy(&mut world, program, image, 0);
        world.grant(v1::Grant {
            subject: format!("program:{program}"),
            program: "*".into(),
            method: "*".into(),
            ..v1::Grant::default()
        });
    }
    world
}

fn deploy(world: &mut World, program: &str, image: althing_protocol::Hash, fuel_max: u64) {
    let manifest = Some(v1::Manifest { version: "1".into(), fuel_max, ..v1::Manifest::default() });
    let image = image.0.to_vec();
    let (id, staged) = (program.to_owned(), image.clone());
    let stage = sys::stage(&v1::Stage { program: id.clone(), image, manifest, signature: None });
    output(&world.run(&founder(), stage));
    output(&world.run(&founder(), sys::activate(&v1::Activate { program: id, image: staged })));
}

fn run(world: &mut World, program: &str, item: &[u8]) -> v1::Outcome {
    world.run(&founder(), v1::Instruction::new(program, "run", item.to_vec()))
}

/// Runs an item that must succeed.
fn text(world: &mut World, program: &str, item: &[u8]) -> String {
    String::from_utf8(output(&run(world, program, item))).unwrap()
}

fn value(world: &World, program: &str, key: &str) -> Option<Vec<u8>> {
    world.view().get(&Key::new(program, key.as_bytes())).unwrap().map(|value| value.to_vec())
}

fn ask(world: &World, program: &str, item: &[u8]) -> Result<Vec<u8>, Error> {
    let deadline = Deadline::after_ms(60_000);
    let asked = world.machine.query(world.view(), key(1).public(), program, "run", item, deadline);
    match asked {
        Ok((output, ..)) => Ok(output),
        Err(Fault::Outcome(error)) => Err(error),
        Err(Fault::Halt(halt)) => panic!("{halt}"),
    }
}

#[test]
fn a_callee_writes_into_its_own_keyspace_for_its_caller() {
    let mut world = world(&["a", "b"]);
    let item = all(&[b"pkmine", &to('c', "b", b"pkyours")]);
    output(&run(&mut world, "a", &item));
    assert_eq!(value(&world, "a", "k").unwrap(), b"mine");
    assert_eq!(value(&world, "b", "k").unwrap(), b"yours");
    assert_eq!(text(&mut world, "a", &to('c', "b", b"w")), "pa");
    let author = founder().public().0;
    assert_eq!(output(&run(&mut world, "a", &to('c', "b", b"a"))), author);
    assert_eq!(output(&run(&mut world, "a", b"w")), [b"k".as_slice(), &author].concat());
}

#[test]
fn only_the_callee_is_undone_when_it_fails() {
    let mut world = world(&["a", "b", "c"]);
    let inner = all(&[b"pkno", b"eno", b"ostays", &to('c', "c", b"pkno"), b"fboom"]);
    let item = all(&[b"p1yes", b"eyes", &to('t', "b", inner), b"p2yes"]);
    let session = world.open(&founder());
    let instruction = v1::Instruction::new("a", "run", item);
    let envelope = world.envelope(&founder(), session, 1, vec![instruction]);
    let applied = world.apply_all(&envelope);
    let outcome = &applied.result.outcomes[0];
    output(outcome);
    assert_eq!(
        (value(&world, "a", "1"), value(&world, "a", "2")),
        (Some(b"yes".into()), Some(b"yes".into()))
    );
    assert_eq!((value(&world, "b", "k"), value(&world, "c", "k")), (None, None));
    let topics: Vec<_> = outcome.events.iter().map(|event| event.topic.as_str()).collect();
    assert_eq!(topics, ["yes"]);
    let logs: Vec<_> = applied.logs.iter().map(|l| (l.program.as_str(), l.text.as_str())).collect();
    assert_eq!(logs, [("b", "stays")]);
    // And the failure is a value: kind `guest-failed`, with the text.
    assert_eq!(text(&mut world, "a", &to('t', "b", b"fboom")), "6b: boom");
}

#[test]
fn a_caller_that_fails_undoes_its_callees() {
    let mut world = world(&["a", "b"]);
    let item = all(&[&to('c', "b", all(&[b"pkv", b"eno"])), b"fno"]);
    let outcome = run(&mut world, "a", &item);
    assert_eq!(failure(&outcome).message, "a: no");
    assert!(outcome.events.is_empty());
    assert_eq!(value(&world, "b", "k"), None);
}

#[test]
fn the_caller_needs_the_grant_whoever_signed() {
    let mut world = World::new();
    let image = world.upload(&relay());
    for program in ["a", "b"] {
        deploy(&mut world, program, image, 0);
    }
    let error = failure(&run(&mut world, "a", &to('c', "b", b"w")));
    assert_eq!(error.kind, Kind::GuestFailed);
    let words =
        "a: program a lacks a grant for b/run; who may grant runs: althing grant program:a b/run";
    assert_eq!(error.message, words);
    // The author's own grants are of no use to the program, nor the program's to the author.
    let author = key(2);
    world.grant(grant(&author, "*", "*", ""));
    assert!(text(&mut world, "a", &to('t', "b", b"w")).starts_with('2'));
    let error = ask(&world, "a", &to('q', "b", b"w")).unwrap_err();
    assert!(error.message.contains("program a lacks a grant for b/run"), "{error}");

    let (subject, program, method) = ("program:a".into(), "b".into(), "run".into());
    let id = world.grant(v1::Grant { subject, program, method, ..v1::Grant::default() });
    assert_eq!(text(&mut world, "a", &to('c', "b", b"w")), "pa");
    assert_eq!(ask(&world, "a", &to('q', "b", b"w")).unwrap(), b"pa");
    output(&world.run(&founder(), sys::revoke(id)));
    assert!(text(&mut world, "a", &to('t', "b", b"w")).starts_with('2'));
}

#[test]
fn nobody_is_entered_twice() {
    let mut world = world(&["a", "b"]);
    let own = text(&mut world, "a", &to('t', "a", b"w"));
    assert_eq!(own, "3program a: runs already, and cannot be entered again before it ends: a -> a");
    let back = text(&mut world, "a", &to('t', "b", to('c', "a", b"w")));
    assert!(back.contains("a -> b -> a"), "{back}");
    let asked = text(&mut world, "a", &to('t', "b", to('q', "a", b"w")));
    assert!(asked.contains("a -> b -> a"), "{asked}");
    // One after the other is no recursion.
    let twice = all(&[&to('c', "b", b"w"), &to('c', "b", b"w")]);
    assert_eq!(text(&mut world, "a", &twice), "pa");
}

#[test]
fn eight_calls_may_be_nested() {
    guests::on_stack(|| {
        let names: Vec<String> = (b'a'..=b'j').map(|name| char::from(name).to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut world = world(&names);
        // Every program recurses before it calls the next one: each needs a stack of its own.
        let deep = |item: &[u8]| [b"d\x88\x13".as_slice(), item].concat();
        let chain = |how: char, programs: &[&str]| {
            programs.iter().rev().fold(deep(b"w"), |item, program| deep(&to(how, program, item)))
        };
        let depth = limits::CALL_DEPTH_MAX as usize;
        let last = format!("p{}", names[depth - 1]);
        assert_eq!(text(&mut world, "a", &chain('c', &names[1..=depth])), last);
        let asked = ask(&world, "a", &chain('q', &names[1..=depth])).unwrap();
        assert_eq!(asked, last.as_bytes());
        let error = failure(&run(&mut world, "a", &chain('c', &names[1..=depth + 1])));
        assert!(error.message.contains("program j: 8 calls are nested already"), "{error}");
    });
}

#[test]
fn a_callee_has_its_own_limit_within_that_of_its_caller() {
    let mut world = world(&["a"]);
    let image = world.upload(&relay());
    let fuel_max = 3_000_000;
    deploy(&mut world, "b", image, fuel_max);
    let loops = run(&mut world, "a", &to('t', "b", b"l"));
    assert!(String::from_utf8(output(&loops)).unwrap().starts_with("4b: run used all its fuel"));
    assert!((fuel_max..fuel_max + 200_000).contains(&loops.fuel), "{}", loops.fuel);
    // Any trap costs the callee's whole limit.
    let trapped = run(&mut world, "a", &to('t', "b", b"x"));
    assert!(String::from_utf8(output(&trapped)).unwrap().starts_with("6b: run trapped"));
    assert!((fuel_max..fuel_max + 200_000).contains(&trapped.fuel), "{}", trapped.fuel);
    // A failure that it returns costs what it used.
    let failed = run(&mut world, "a", &to('t', "b", b"fno"));
    assert!(failed.fuel < 200_000, "{}", failed.fuel);

    // A callee with a larger limit gets no more than its caller has.
    deploy(&mut world, "small", image, 1_000_000);
    world.grant(v1::Grant {
        subject: "program:small".into(),
        program: "a".into(),
        method: "*".into(),
        ..v1::Grant::default()
    });
    let outcome = run(&mut world, "small", &to('t', "a", b"l"));
    assert_eq!((failure(&outcome).kind, outcome.fuel), (Kind::Exhausted, 1_000_000));
}

#[test]
fn calls_without_end_are_bounded_by_fuel() {
    let mut world = world(&["a", "b"]);
    let call = to('t', "b", b"pkv");
    let items: Vec<&[u8]> = std::iter::repeat_n(call.as_slice(), 2_000).collect();
    let outcome = run(&mut world, "a", &all(&items));
    assert_eq!(failure(&outcome).kind, Kind::Exhausted);
    assert_eq!(outcome.fuel, limits::FUEL_DEFAULT);
    assert_eq!(value(&world, "b", "k"), None);
}

#[test]
fn a_million_tiny_writes_end_with_the_fuel() {
    let mut world = world(&["a", "b"]);
    for item in [b"m".to_vec(), to('c', "b", b"m")] {
        let outcome = run(&mut world, "a", &item);
        assert_eq!((failure(&outcome).kind, outcome.fuel), (Kind::Exhausted, limits::FUEL_DEFAULT));
    }
    let page = world.view().scan("a", std::ops::Bound::Unbounded, b"", 10, 1 << 20).unwrap();
    assert!(page.pairs.is_empty());
}

#[test]
fn events_and_logs_are_bounded_for_all_together() {
    let mut world = world(&["a", "b"]);
    let emits: Vec<&[u8]> = std::iter::repeat_n(b"et".as_slice(), limits::EVENTS_MAX - 1).collect();
    let item = all(&[&all(&emits), &to('c', "b", b"et"), &to('t', "b", b"et")]);
    let outcome = run(&mut world, "a", &item);
    let said = String::from_utf8(output(&outcome)).unwrap();
    assert!(said.starts_with("6b: events of the instruction: the limits are 256"), "{said}");
    assert_eq!(outcome.events.len(), limits::EVENTS_MAX);
    assert_eq!(outcome.events.last().unwrap().program, "b");

    let line = [b"o".as_slice(), &[b'x'; 10_000]].concat();
    let item = all(&[&line, &to('c', "b", &line), &to('c', "b", b"oshort")]);
    let session = world.open(&founder());
    let instruction = v1::Instruction::new("a", "run", item);
    let envelope = world.envelope(&founder(), session, 1, vec![instruction]);
    let logs = world.apply_all(&envelope).logs;
    let told: Vec<_> = logs.iter().map(|line| (line.program.as_str(), line.text.len())).collect();
    assert_eq!(told[..2], [("a", 10_000), ("b", 5)]);
    assert!(logs[2].text.starts_with("1 lines dropped"), "{}", logs[2].text);
}

#[test]
fn queries_query_and_do_not_call() {
    let mut world = world(&["a", "b"]);
    output(&run(&mut world, "b", b"pkv"));
    assert_eq!(ask(&world, "a", &to('q', "b", b"gk")).unwrap(), b"v");
    let error = ask(&world, "a", &to('c', "b", b"gk")).unwrap_err();
    assert!(error.message.contains("programs.call: a query cannot change anything"), "{error}");
    // What is asked inside an instruction sees its writes, and cannot write either.
    let item = all(&[&to('c', "b", b"pknew"), &to('q', "b", b"gk")]);
    assert_eq!(text(&mut world, "a", &item), "new");
    let error = failure(&run(&mut world, "a", &to('q', "b", b"pkno")));
    assert!(error.message.contains("db.put: a query cannot change anything"), "{error}");
    let through = to('q', "b", to('c', "a", b"w"));
    let error = failure(&run(&mut world, "a", &through));
    assert!(error.message.contains("programs.call: a query"), "{error}");
}

#[test]
fn what_cannot_be_called_says_why() {
    let mut world = world(&["a", "b"]);
    let image = world.upload(&relay());
    let manifest = Some(v1::Manifest { version: "1".into(), ..v1::Manifest::default() });
    let (program, image) = ("staged".to_owned(), image.0.to_vec());
    let stage = sys::stage(&v1::Stage { program, image, manifest, signature: None });
    output(&world.run(&founder(), stage));
    output(&world.run(&founder(), sys::disable("b")));
    for (program, words) in [
        ("sys", "0program sys: is part of the node"),
        ("No", "0program \"No\": not a program id"),
        ("nobody", "1program nobody: not in this realm"),
        ("staged", "1program staged: staged but not active"),
        ("b", "3program b: disabled by key"),
    ] {
        let said = text(&mut world, "a", &to('t', program, b"w"));
        assert!(said.starts_with(words), "{said}");
    }
}

#[test]
fn each_call_has_a_seed_of_its_own() {
    let mut world = world(&["a", "b"]);
    let mut seeds = Vec::new();
    for items in [
        vec![b"r".to_vec()],
        vec![to('c', "b", b"r")],
        vec![to('c', "b", b"w"), to('c', "b", b"r")],
    ] {
        let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
        let entry = v1::Instruction::new("a", "run", all(&items));
        // The same entry, so the same seed of the entry.
        let session = world.open(&founder());
        let envelope = world.envelope(&founder(), session, 1, vec![entry]);
        let kind = Some(v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope) }));
        let entry = v1::Entry { kind, seed: vec![7; 16], ..v1::Entry::default() };
        let at = EntryAt { index: 1_000, entry: &entry, is_verified: true };
        let one = world.machine.apply(world.view(), at).unwrap();
        let two = world.machine.apply(world.view(), at).unwrap();
        assert_eq!(one.result.encode_to_vec(), two.result.encode_to_vec());
        seeds.push(output(&one.result.outcomes[0]));
    }
    seeds.sort();
    seeds.dedup();
    assert_eq!(seeds.len(), 3);
}
