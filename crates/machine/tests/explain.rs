//! Explaining an entry: the same run, told step by step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod common;
#[path = "../../sandbox/tests/common/mod.rs"]
mod guests;
#[path = "common/relay.rs"]
mod relay;

use althing_machine::{EntryAt, Explained, HOST_CALLS_EXPLAINED_MAX, HostCall};
use althing_protocol::{sys, v1};
use common::{World, founder, grant, key, output};
use prost::Message;
use relay::{all, relay, to};

fn world(programs: &[&str]) -> World {
    let mut world = World::new();
    let image = world.upload(&relay()).0.to_vec();
    for program in programs {
        let manifest = Some(v1::Manifest { version: "1".into(), ..v1::Manifest::default() });
        let (program, staged) = ((*program).to_owned(), image.clone());
        let stage =
            v1::Stage { program: program.clone(), image: staged, manifest, signature: None };
        output(&world.run(&founder(), sys::stage(&stage)));
        let activate = v1::Activate { program: program.clone(), image: image.clone() };
        output(&world.run(&founder(), sys::activate(&activate)));
        world.grant(v1::Grant {
            subject: format!("program:{program}"),
            program: "*".into(),
            method: "run".into(),
            ..v1::Grant::default()
        });
    }
    world
}

/// Explains what the instructions would do next, and sees that applying does just that.
fn explain(world: &mut World, instructions: Vec<v1::Instruction>) -> Explained {
    let session = world.open(&founder());
    let envelope = world.envelope(&founder(), session, 1, instructions);
    let kind = Some(v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope) }));
    let entry = v1::Entry { timestamp_us: world.now_us, seed: vec![5; 16], kind };
    let at = EntryAt { index: world.index + 1, entry: &entry, is_verified: false };
    let explained = world.machine.explain(world.view(), at).unwrap();
    let applied = world.machine.apply(world.view(), at).unwrap();
    assert_eq!(explained.applied.result.encode_to_vec(), applied.result.encode_to_vec());
    assert_eq!(explained.applied.logs, applied.logs);
    explained
}

fn relayed(program: &str, item: &[u8]) -> v1::Instruction {
    v1::Instruction::new(program, "run", item.to_vec())
}

fn functions(calls: &[HostCall]) -> Vec<&'static str> {
    calls.iter().map(|call| call.observed.function).collect()
}

#[test]
fn calls_of_programs_are_told_where_they_happen() {
    let mut world = world(&["a", "b"]);
    let item = all(&[b"pk1", &to('t', "b", all(&[b"pk2", b"fno"])), &to('c', "b", b"pk3"), b"gk"]);
    let explained = explain(&mut world, vec![relayed("a", &item)]);
    let [told] = &*explained.instructions else { panic!("{explained:?}") };
    assert_eq!(functions(&told.calls), ["db.put", "programs.call", "programs.call", "db.get"]);
    let failed = &told.calls[1];
    assert_eq!(failed.observed.result, "guest-failed: b: no");
    let callee = failed.callee.as_ref().unwrap();
    assert_eq!((&*callee.grant.subject, functions(&callee.calls)), ("program:a", vec!["db.put"]));
    assert!(failed.observed.fuel > callee.calls[0].observed.fuel + 100_000);
    assert_eq!(told.calls[3].observed.result, "\"1\"");
    // What the failed call wrote is not there; what the other one wrote is.
    let changed: Vec<_> =
        told.changes.iter().map(|c| (c.key.keyspace(), c.new.as_deref())).collect();
    assert_eq!(changed, [("a", Some(&b"1"[..])), ("b", Some(b"3"))]);
    assert!(told.changes.iter().all(|change| change.old.is_none()));
    assert_eq!(told.grants[0].need.to_string(), "a/run");
}

#[test]
fn changes_name_what_was_there_in_the_same_entry() {
    let mut world = world(&["a"]);
    let instructions = vec![relayed("a", b"pk1"), relayed("a", b"pk2"), relayed("a", b"fno")];
    let explained = explain(&mut world, instructions);
    let olds: Vec<_> = explained.instructions.iter().map(|told| told.changes.first()).collect();
    assert_eq!(olds[0].unwrap().old, None);
    assert_eq!(olds[1].unwrap().old.as_deref(), Some(&b"1"[..]));
    assert_eq!(olds[2], None);
    assert!(explained.instructions[2].ran);
}

#[test]
fn what_is_refused_did_not_run() {
    let mut world = world(&["a"]);
    let author = key(2);
    world.grant(grant(&author, "sys", "put", ""));
    let session = world.open(&author);
    let envelope = world.envelope(&author, session, 1, vec![relayed("a", b"w")]);
    let kind = Some(v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope.clone()) }));
    let entry = v1::Entry { kind, ..v1::Entry::default() };
    let at = EntryAt { index: 1_000, entry: &entry, is_verified: true };
    let explained = world.machine.explain(world.view(), at).unwrap();
    let told = &explained.instructions[0];
    assert!(!told.ran && told.grants.is_empty() && told.calls.is_empty());

    // A bad signature refuses the envelope, and there is nothing to tell.
    let signature = vec![0; 64];
    let envelope = Some(v1::Envelope { signature, ..envelope });
    let kind = Some(v1::entry::Kind::Signed(v1::Signed { envelope }));
    let entry = v1::Entry { kind, ..v1::Entry::default() };
    let at = EntryAt { index: 1_000, entry: &entry, is_verified: false };
    let explained = world.machine.explain(world.view(), at).unwrap();
    assert!(explained.instructions.is_empty() && explained.applied.result.outcomes.len() == 1);
}

#[test]
fn notes_are_bounded() {
    let mut world = world(&["a", "b"]);
    let many: Vec<&[u8]> = std::iter::repeat_n(b"a".as_slice(), 6_000).collect();
    let call = to('c', "b", all(&many));
    let item = all(&[&call, b"gk"]);
    let items = |count| std::iter::repeat_n(item.as_slice(), count).collect::<Vec<_>>();
    let explained = explain(&mut world, vec![relayed("a", &all(&items(3)))]);
    let told = &explained.instructions[0];
    fn count(calls: &[HostCall]) -> usize {
        let inner = |call: &HostCall| call.callee.as_ref().map_or(0, |callee| count(&callee.calls));
        calls.iter().map(|call| 1 + inner(call)).sum()
    }
    let noted = count(&told.calls);
    assert!(noted <= HOST_CALLS_EXPLAINED_MAX && noted > HOST_CALLS_EXPLAINED_MAX / 2, "{noted}");
    assert!(told.calls_dropped > 0);
}
