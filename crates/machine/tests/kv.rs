//! `sys`: keys, values, revisions, conditions, transactions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Kind, limits, sys, v1};
use common::{World, failure, founder, output};
use prost::Message;
use v1::{compare_and_swap::Expected, condition::Comparison, condition::Target, op};

fn run(world: &mut World, instruction: v1::Instruction) -> v1::Outcome {
    world.run(&founder(), instruction)
}

fn revision(outcome: &v1::Outcome) -> (u64, u64) {
    let written = v1::Written::decode(output(outcome).as_slice()).unwrap();
    let revision = written.revision.unwrap();
    (revision.create, revision.modify)
}

#[test]
fn revisions_are_the_indices_of_entries() {
    let mut world = World::new();
    let first = run(&mut world, sys::put("/a", "1"));
    assert_eq!(revision(&first), (first.index, first.index));
    let second = run(&mut world, sys::put("/a", "2"));
    assert_eq!(revision(&second), (first.index, second.index));
    let gone = run(&mut world, sys::delete("/a"));
    assert!(v1::Deleted::decode(output(&gone).as_slice()).unwrap().existed);
    let gone = run(&mut world, sys::delete("/a"));
    assert!(!v1::Deleted::decode(output(&gone).as_slice()).unwrap().existed);
    let third = run(&mut world, sys::put("/a", "3"));
    assert_eq!(revision(&third), (third.index, third.index));
}

#[test]
#[allow(deprecated)]
fn legacy_operations_give_the_same_result() {
    let (mut new, mut old) = (World::new(), World::new());
    let author = founder().public();
    let sessions = (new.open(&founder()), old.open(&founder()));
    let put = v1::Put { key: b"/a".to_vec(), value: b"1".to_vec() };
    let body = v1::Body {
        realm: old.realm.0.to_vec(),
        author: author.0.to_vec(),
        session: sessions.1,
        sequence: 1,
        payloads: vec![v1::Payload { payload: Some(v1::payload::Payload::Put(put)) }],
    };
    // Signed by hand: what we build ourselves are instructions only.
    let body = body.encode_to_vec();
    let secret = ed25519_zebra::SigningKey::from(*founder().seed());
    let message = [b"althing signed batch v1\0".as_slice(), &body].concat();
    let signature: [u8; 64] = secret.sign(&message).into();
    let legacy = v1::Envelope { body, signature: signature.to_vec() };
    let modern = new.envelope(&founder(), sessions.0, 1, vec![sys::put("/a", "1")]);
    let (legacy, modern) = (old.apply_all(&legacy), new.apply_all(&modern));
    assert_eq!(legacy.result, modern.result);
    assert_eq!(legacy.writes.digest(), modern.writes.digest());
}

#[test]
fn compare_and_swap() {
    let mut world = World::new();
    let swap = |expected, new_value: &str| {
        let new_value = new_value.into();
        let args = v1::CompareAndSwap { key: b"/a".to_vec(), expected, new_value };
        sys::compare_and_swap(&args)
    };
    let made = run(&mut world, swap(Some(Expected::Absent(true)), "1"));
    let cases = [
        (Expected::Absent(true), false),
        (Expected::Value(b"0".to_vec()), false),
        (Expected::Value(b"1".to_vec()), true),
        (Expected::Modify(made.index), false),
    ];
    for (expected, holds) in cases {
        let outcome = run(&mut world, swap(Some(expected.clone()), "2"));
        match holds {
            true => drop(output(&outcome)),
            false => assert_eq!(failure(&outcome).kind, Kind::Conflict, "{expected:?}"),
        }
    }
    assert_eq!(world.value("/a").unwrap(), b"2");
    for none in [None, Some(Expected::Absent(false))] {
        assert_eq!(failure(&run(&mut world, swap(none, "3"))).kind, Kind::Invalid);
    }
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let mut world = World::new();
    let made = run(&mut world, sys::put("/a", "m"));
    let put = |key: &str, value: &str| v1::Op {
        op: Some(op::Op::Put(v1::Put { key: key.into(), value: value.into() })),
    };
    let condition = |key: &str, comparison: Comparison, target| v1::Condition {
        key: key.into(),
        comparison: comparison.into(),
        target: Some(target),
    };
    let value = |v: &str| Target::Value(v.into());
    let cases = [
        (condition("/a", Comparison::Equal, value("m")), true),
        (condition("/a", Comparison::NotEqual, value("m")), false),
        (condition("/a", Comparison::Less, value("z")), true),
        (condition("/a", Comparison::Greater, value("a")), true),
        (condition("/none", Comparison::Equal, value("")), false),
        (condition("/none", Comparison::Less, value("z")), false),
        (condition("/none", Comparison::NotEqual, value("")), true),
        (condition("/none", Comparison::Equal, Target::Create(0)), true),
        (condition("/a", Comparison::Equal, Target::Modify(made.index)), true),
        (condition("/a", Comparison::Less, Target::Create(made.index)), false),
    ];
    for (condition, holds) in cases {
        let shown = format!("{condition:?}");
        let get = v1::Op { op: Some(op::Op::Get(v1::Get { key: b"/branch".to_vec() })) };
        let txn = v1::Txn {
            conditions: vec![condition],
            success: vec![put("/branch", "success"), get.clone()],
            failure: vec![put("/branch", "failure"), get],
        };
        let outcome = run(&mut world, sys::txn(&txn));
        let result = v1::TxnResult::decode(output(&outcome).as_slice()).unwrap();
        assert_eq!(result.succeeded, holds, "{shown}");
        let Some(v1::op_result::Result::Get(found)) = &result.results[1].result else {
            panic!("the second result is a get");
        };
        let branch: &[u8] = if holds { b"success" } else { b"failure" };
        assert_eq!(found.pair.as_ref().unwrap().value, branch, "{shown}: it sees its own writes");
    }
}

#[test]
fn what_breaks_a_limit_or_is_unknown_is_refused_by_name() {
    let mut world = World::new();
    let long = "k".repeat(limits::KEY_BYTES_MAX + 1);
    let big = vec![0; limits::INSTRUCTION_BYTES_MAX - 10];
    let cases = [
        (sys::put("", "v"), Kind::Invalid, "key"),
        (sys::put(long.as_str(), "v"), Kind::Invalid, "key"),
        (sys::txn(&v1::Txn::default()), Kind::Invalid, "transaction"),
        (v1::Instruction::new("sys", "putt", Vec::new()), Kind::NotFound, "putt"),
        (v1::Instruction::new("sys", "put", vec![0xff]), Kind::Invalid, "args of sys"),
        (v1::Instruction::new("sys", "put", vec![0x28, 1]), Kind::Invalid, "unknown fields"),
        (v1::Instruction::new("nobody", "x", Vec::new()), Kind::NotFound, "nobody"),
    ];
    for (instruction, kind, words) in cases {
        let error = failure(&run(&mut world, instruction));
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    output(&run(&mut world, sys::put("/big", big)));
}
