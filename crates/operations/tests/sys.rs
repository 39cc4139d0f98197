//! Each `sys` action against the messages of the protocol, in both directions.
#![allow(clippy::unwrap_used)]

use althing_operations::{Descriptor, Registry, sys};
use althing_protocol::{Error, Kind, PublicKey, Result, sys as instructions, v1};
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn registry() -> Registry {
    Registry::new(sys::actions()).unwrap()
}

fn plan(name: &str, input: Value) -> Result<Vec<v1::Instruction>> {
    registry().resolve(name)?.plan(input)
}

fn gave(output: Vec<u8>) -> v1::Outcome {
    let result = Some(v1::outcome::Result::Output(output));
    v1::Outcome { index: 9, result, ..v1::Outcome::default() }
}

fn render(name: &str, output: &impl Message) -> Value {
    registry().resolve(name).unwrap().render(&[gave(output.encode_to_vec())]).unwrap()
}

fn refused(name: &str, input: Value) -> Error {
    let error = plan(name, input).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    error
}

fn written() -> v1::Written {
    v1::Written { revision: Some(v1::Revision { create: 3, modify: 9 }) }
}

#[test]
fn put() {
    let name = "action:kv.put.v1";
    let expected = Ok(vec![instructions::put("/a", "b")]);
    assert_eq!(plan(name, json!({"key": "/a", "value": "b"})), expected);
    assert_eq!(plan(name, json!({"key_base64": "L2E=", "value_base64": "Yg=="})), expected);
    assert_eq!(render(name, &written()), json!({"create": 3, "modify": 9}));
    for (input, says) in [
        (json!({"key": "/a"}), "value: missing"),
        (json!({"value": "b"}), "key: missing"),
        (json!({"key": "/a", "value": "b", "value_base64": "Yg=="}), "not both"),
        (json!({"key": "/a", "value_base64": "Yg"}), "value_base64: not base64"),
        (json!({"key": "/a", "valeu": "b"}), "valeu"),
    ] {
        let error = refused(name, input);
        assert!(error.message.contains(says), "{error}");
    }
}

#[test]
fn delete() {
    let name = "action:kv.delete.v1";
    assert_eq!(plan(name, json!({"key": "/a"})), Ok(vec![instructions::delete("/a")]));
    let output = render(name, &v1::Deleted { existed: true });
    assert_eq!(output, json!({"existed": true, "index": 9}));
}

#[test]
fn compare_and_swap() {
    use v1::compare_and_swap::Expected;
    let name = "action:kv.cas.v1";
    for (given, expected) in [
        (json!({"absent": true}), Expected::Absent(true)),
        (json!({"value": "x"}), Expected::Value(b"x".to_vec())),
        (json!({"value_base64": "eA=="}), Expected::Value(b"x".to_vec())),
        (json!({"modify": 7}), Expected::Modify(7)),
    ] {
        let (key, new_value) = (b"/a".to_vec(), b"b".to_vec());
        let args = v1::CompareAndSwap { key, expected: Some(expected), new_value };
        let input = json!({"key": "/a", "expected": given, "value": "b"});
        assert_eq!(plan(name, input), Ok(vec![instructions::compare_and_swap(&args)]));
    }
    for given in [json!({}), json!({"absent": false}), json!({"absent": true, "modify": 1})] {
        let error = refused(name, json!({"key": "/a", "expected": given, "value": "b"}));
        assert!(error.message.contains("exactly one"), "{error}");
    }
    assert_eq!(render(name, &written()), json!({"create": 3, "modify": 9}));
}

#[test]
fn txn() {
    use v1::{condition, op, op_result};
    let name = "action:kv.txn.v1";
    let condition = |comparison: condition::Comparison, target| v1::Condition {
        key: b"/a".to_vec(),
        comparison: comparison.into(),
        target: Some(target),
    };
    let op = |op| v1::Op { op: Some(op) };
    let put = v1::Put { key: b"/a".to_vec(), value: b"b".to_vec() };
    let args = v1::Txn {
        conditions: vec![
            condition(condition::Comparison::Equal, condition::Target::Value(b"x".to_vec())),
            condition(condition::Comparison::NotEqual, condition::Target::Create(0)),
            condition(condition::Comparison::Less, condition::Target::Modify(4)),
            condition(condition::Comparison::Greater, condition::Target::Modify(2)),
        ],
        success: vec![op(op::Op::Put(put)), op(op::Op::Delete(v1::Delete { key: b"/c".to_vec() }))],
        failure: vec![op(op::Op::Get(v1::Get { key: b"/a".to_vec() }))],
    };
    let input = json!({
        "conditions": [
            {"key": "/a", "value": "x"},
            {"key": "/a", "comparison": "not-equal", "create": 0},
            {"key": "/a", "comparison": "less", "modify": 4},
            {"key_base64": "L2E=", "comparison": "greater", "modify": 2},
        ],
        "success": [{"put": {"key": "/a", "value": "b"}}, {"delete": {"key": "/c"}}],
        "failure": [{"get": {"key": "/a"}}],
    });
    assert_eq!(plan(name, input), Ok(vec![instructions::txn(&args)]));

    let revision = Some(v1::Revision { create: 1, modify: 2 });
    let pair = v1::KeyValue { key: b"/a".to_vec(), value: vec![0xff], revision };
    let result = |result| v1::OpResult { result: Some(result) };
    let output = v1::TxnResult {
        succeeded: true,
        results: vec![
            result(op_result::Result::Put(written())),
            result(op_result::Result::Delete(v1::Deleted { existed: false })),
            result(op_result::Result::Get(v1::Found { pair: Some(pair) })),
            result(op_result::Result::Get(v1::Found { pair: None })),
        ],
    };
    let expected = json!({
        "succeeded": true,
        "index": 9,
        "results": [
            {"put": {"create": 3, "modify": 9}},
            {"delete": {"existed": false}},
            {"get": {"pair": {"key": "/a", "value_base64": "/w==", "create": 1, "modify": 2}}},
            {"get": {"pair": null}},
        ],
    });
    assert_eq!(render(name, &output), expected);
}

#[test]
fn a_bad_part_of_a_txn_is_named_by_its_place() {
    let name = "action:kv.txn.v1";
    let good = json!({"get": {"key": "/a"}});
    for (input, says) in [
        (json!({"success": [good, {"put": {"key": "/a"}}]}), "success[1].value: missing"),
        (json!({"failure": [{"get": {}}]}), "failure[0].key: missing"),
        (json!({"conditions": [{"key": "/a"}]}), "conditions[0].value"),
        (json!({"conditions": [{"key": "/a", "create": 1, "modify": 1}]}), "exactly one"),
        (json!({"success": [{"pot": {}}]}), "pot"),
        (json!({"success": [{"get": {"key": "/a", "value": "x"}}]}), "value"),
        (json!({"conditions": [{"key": "/a", "comparison": "like", "value": "x"}]}), "like"),
    ] {
        let error = refused(name, input);
        assert!(error.message.contains(says), "{error}");
    }
}

#[test]
fn grants_and_roles() {
    let key = "ab".repeat(32);
    let grant = v1::Grant {
        subject: "role:photographer".into(),
        program: "sys".into(),
        method: "put".into(),
        prefix: b"/photos".to_vec(),
        exclusive: true,
        expires_us: 5,
    };
    let input = json!({
        "subject": "role:photographer", "program": "sys", "method": "put", "prefix": "/photos",
        "exclusive": true, "expires_us": 5,
    });
    assert_eq!(plan("action:grant.add.v1", input), Ok(vec![instructions::grant(&grant)]));
    let everywhere = v1::Grant {
        subject: "any".into(),
        program: "*".into(),
        method: "*".into(),
        ..v1::Grant::default()
    };
    let input = json!({"subject": "any", "program": "*", "method": "*"});
    assert_eq!(plan("action:grant.add.v1", input), Ok(vec![instructions::grant(&everywhere)]));
    let added = render("action:grant.add.v1", &v1::GrantId { id: 4 });
    assert_eq!(added, json!({"id": 4, "index": 9}));

    assert_eq!(plan("action:grant.revoke.v1", json!({"id": 4})), Ok(vec![instructions::revoke(4)]));
    let member = v1::RoleMember { role: "photographer".into(), key: vec![0xab; 32] };
    let input = json!({"role": "photographer", "key": key});
    let added = plan("action:role.add.v1", input.clone());
    assert_eq!(added, Ok(vec![instructions::role_add(&member)]));
    let removed = plan("action:role.remove.v1", input);
    assert_eq!(removed, Ok(vec![instructions::role_remove(&member)]));
    for bad in ["", "ab", "zz", &key[1..]] {
        let error = refused("action:role.add.v1", json!({"role": "r", "key": bad}));
        assert!(error.message.starts_with("key: "), "{error}");
    }
}

#[test]
fn programs() {
    let image = "cd".repeat(32);
    let manifest = v1::Manifest {
        version: "1".into(),
        description: "Counts.".into(),
        fuel_max: 7,
        memory_bytes_max: 0,
    };
    let stage = |manifest| v1::Stage {
        program: "counter".into(),
        image: vec![0xcd; 32],
        manifest: Some(manifest),
        signature: None,
    };
    let input = json!({
        "program": "counter", "image": image,
        "manifest": {"version": "1", "description": "Counts.", "fuel_max": 7},
    });
    let staged = plan("action:program.stage.v1", input);
    assert_eq!(staged, Ok(vec![instructions::stage(&stage(manifest))]));
    let input = json!({"program": "counter", "image": image});
    let staged = plan("action:program.stage.v1", input.clone());
    assert_eq!(staged, Ok(vec![instructions::stage(&stage(v1::Manifest::default()))]));
    let activate = v1::Activate { program: "counter".into(), image: vec![0xcd; 32] };
    let activated = plan("action:program.activate.v1", input);
    assert_eq!(activated, Ok(vec![instructions::activate(&activate)]));
    let input = json!({"program": "counter", "image": image, "manifest": {"fuel": 1}});
    assert!(refused("action:program.stage.v1", input).message.contains("fuel"));
}

#[test]
fn what_manages_programs() {
    let (ab, cd) = ("ab".repeat(32), "cd".repeat(32));
    let counter = || "counter".to_owned();
    let rollback = |image| instructions::rollback(&v1::Rollback { program: counter(), image });
    let rules = |owner, role, publishers: Option<Vec<Vec<u8>>>| {
        let publishers = publishers.map(|keys| v1::Publishers { keys });
        instructions::program_rules(&v1::ProgramRules {
            program: counter(),
            owner,
            role,
            publishers,
        })
    };
    for (name, more, expected) in [
        ("rollback", json!({}), rollback(None)),
        ("rollback", json!({"image": cd}), rollback(Some(vec![0xcd; 32]))),
        ("disable", json!({}), instructions::disable("counter")),
        ("enable", json!({}), instructions::enable("counter")),
        ("remove", json!({}), instructions::remove("counter")),
        ("rules", json!({"owner": ab}), rules(Some(vec![0xab; 32]), None, None)),
        ("rules", json!({"role": ""}), rules(None, Some(String::new()), None)),
        (
            "rules",
            json!({"publishers": [ab, cd]}),
            rules(None, None, Some(vec![vec![0xab; 32], vec![0xcd; 32]])),
        ),
        ("rules", json!({"publishers": []}), rules(None, None, Some(Vec::new()))),
    ] {
        let mut input = json!({"program": "counter"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(plan(&format!("action:program.{name}.v1"), input), Ok(vec![expected]));
    }
    let removed = v1::Removed { keys: 10_000, more: true, grants: 0 };
    assert_eq!(
        render("action:program.remove.v1", &removed),
        json!({"keys": 10_000, "more": true, "grants": 0, "index": 9})
    );
    for (name, field, bad) in [
        ("rollback", "image", json!({"image": "cd"})),
        ("rules", "owner", json!({"owner": "nobody"})),
        ("rules", "publishers[1]", json!({"publishers": [ab, "cd"]})),
    ] {
        let mut input = json!({"program": "counter"});
        input.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        let error = refused(&format!("action:program.{name}.v1"), input);
        assert!(error.message.starts_with(field), "{error}");
    }
}

#[test]
fn members() {
    let ab = "ab".repeat(32);
    let invite = |role: v1::MemberRole| {
        let (invite, role) = (vec![0xab; 32], role.into());
        instructions::member_invite(&v1::MemberInvite { invite, role, expires_us: 7 })
    };
    let set = |change: v1::MemberSet| instructions::member_set(&v1::MemberSet { id: 2, ..change });
    let nothing = v1::MemberSet::default;
    let label = |name: &str, value: &str| v1::Label { name: name.into(), value: value.into() };
    let given = |labels| v1::MemberSet { given: Some(v1::Labels { labels }), ..nothing() };
    let learner = Some(v1::MemberRole::Learner.into());
    for (name, input, expected) in [
        (
            "invite",
            json!({"invite": ab, "role": "voter", "expires_us": 7}),
            invite(v1::MemberRole::Voter),
        ),
        (
            "invite",
            json!({"invite": ab, "role": "learner", "expires_us": 7}),
            invite(v1::MemberRole::Learner),
        ),
        ("uninvite", json!({"invite": ab}), instructions::member_uninvite(&PublicKey([0xab; 32]))),
        (
            "set",
            json!({"id": 2, "role": "learner"}),
            set(v1::MemberSet { role: learner, ..nothing() }),
        ),
        (
            "set",
            json!({"id": 2, "priority": 0}),
            set(v1::MemberSet { priority: Some(0), ..nothing() }),
        ),
        (
            "set",
            json!({"id": 2, "address": "pi:4100"}),
            set(v1::MemberSet { address: Some("pi:4100".into()), ..nothing() }),
        ),
        // In the order that the machine wants, whatever that of the input is.
        (
            "set",
            json!({"id": 2, "given": {"rack": "2", "gpu": "yes"}}),
            set(given(vec![label("gpu", "yes"), label("rack", "2")])),
        ),
        ("set", json!({"id": 2, "given": {}}), set(given(Vec::new()))),
        ("remove", json!({"id": 2}), instructions::member_remove(2)),
    ] {
        assert_eq!(plan(&format!("action:member.{name}.v1"), input), Ok(vec![expected]));
    }
    let registry = registry();
    for name in ["invite", "uninvite", "set", "remove"] {
        let action = registry.resolve(&format!("action:member.{name}.v1")).unwrap();
        assert_eq!(action.render(&[gave(Vec::new())]), Ok(json!({"index": 9})));
    }
    for (name, input, says) in [
        ("invite", json!({"invite": "ab", "role": "voter", "expires_us": 7}), "invite: "),
        ("invite", json!({"invite": ab, "role": "leader", "expires_us": 7}), "leader"),
        ("invite", json!({"invite": ab, "role": "voter"}), "expires_us"),
        ("uninvite", json!({"invite": "nobody"}), "invite: "),
        ("set", json!({"id": "pi"}), "pi"),
        ("set", json!({"id": 2, "labels": {}}), "labels"),
        ("remove", json!({"id": -1}), "-1"),
    ] {
        let error = refused(&format!("action:member.{name}.v1"), input);
        assert!(error.message.contains(says), "{error}");
    }
}

#[test]
fn a_signed_image() {
    let (image, publisher) = ("cd".repeat(32), "ab".repeat(32));
    let stage = |signature: &str| {
        json!({
            "program": "counter", "image": image, "manifest": {"version": "1"},
            "signature": {"publisher": publisher, "signature": signature},
        })
    };
    let expected = v1::Stage {
        program: "counter".into(),
        image: vec![0xcd; 32],
        manifest: Some(v1::Manifest { version: "1".into(), ..v1::Manifest::default() }),
        signature: Some(v1::ImageSignature { publisher: vec![0xab; 32], signature: vec![7; 64] }),
    };
    let planned = plan("action:program.stage.v1", stage(&"07".repeat(64)));
    assert_eq!(planned, Ok(vec![instructions::stage(&expected)]));
    let error = refused("action:program.stage.v1", stage("0"));
    assert!(error.message.starts_with("signature.signature"), "{error}");
}

#[test]
fn call() {
    let name = "action:program.call.v1";
    for (args, bytes) in [
        (json!({"args": {"by": 2}}), &br#"{"by":2}"#[..]),
        (json!({"args": "text"}), br#""text""#),
        (json!({"args_base64": "AAE="}), &[0, 1]),
        (json!({}), b""),
    ] {
        let mut input = json!({"program": "counter", "method": "add"});
        input.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        let expected = v1::Instruction::new("counter", "add", bytes.to_vec());
        assert_eq!(plan(name, input), Ok(vec![expected]));
    }
    refused(name, json!({"program": "counter", "method": "add", "args": 1, "args_base64": ""}));
    assert!(refused(name, json!({"program": "sys", "method": "put"})).message.contains("kv"));
    refused(name, json!({"program": "Counter", "method": "add"}));
}

#[test]
fn what_a_call_gave() {
    let event = |data: &[u8]| v1::Event {
        program: "counter".into(),
        topic: "added".into(),
        data: data.to_vec(),
    };
    let events = vec![event(b"{\"n\":1}"), event(&[0xff]), event(b"")];
    let outcome = v1::Outcome { events, fuel: 42, ..gave(b"[1, 2]".to_vec()) };
    let registry = registry();
    let call = registry.resolve("action:program.call.v1").unwrap();
    let expected = json!({
        "output": [1, 2], "fuel": 42, "index": 9,
        "events": [
            {"program": "counter", "topic": "added", "data": {"n": 1}},
            {"program": "counter", "topic": "added", "data_base64": "/w=="},
            {"program": "counter", "topic": "added"},
        ],
    });
    assert_eq!(call.render(&[outcome]), Ok(expected));
    for (output, field) in [(&[0xff][..], json!({"output_base64": "/w=="})), (b"", json!({}))] {
        let mut expected = json!({"fuel": 0, "index": 9, "events": []});
        expected.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        assert_eq!(call.render(&[gave(output.to_vec())]), Ok(expected));
    }
}

#[test]
fn any_instructions() {
    let name = "action:instruction.submit.v1";
    let input = json!({"instructions": [
        {"program": "counter", "method": "add", "args_base64": "AAE="},
        {"program": "sys", "method": "put"},
    ]});
    let expected = vec![
        v1::Instruction::new("counter", "add", vec![0, 1]),
        v1::Instruction::new("sys", "put", Vec::new()),
    ];
    assert_eq!(plan(name, input), Ok(expected));
    let outcomes = [gave(vec![1]), v1::Outcome { fuel: 3, ..gave(Vec::new()) }];
    let expected = json!({"index": 9, "outcomes": [
        {"output_base64": "AQ==", "fuel": 0},
        {"output_base64": "", "fuel": 3},
    ]});
    assert_eq!(registry().resolve(name).unwrap().render(&outcomes), Ok(expected));
    refused(name, json!({"instructions": []}));
    let bad = json!({"instructions": [{"program": "c", "method": "m", "args_base64": "?"}]});
    assert!(refused(name, bad).message.contains("instructions[0].args_base64"));
}

#[test]
fn sessions() {
    let closed = plan("action:session.close.v1", json!({"session": 3}));
    assert_eq!(closed, Ok(vec![instructions::session_close(3)]));
    let outcome = gave(Vec::new());
    let registry = registry();
    let close = registry.resolve("action:session.close.v1").unwrap();
    assert_eq!(close.render(&[outcome]), Ok(json!({"index": 9})));
}

#[test]
fn descriptors_are_complete_and_their_examples_work() {
    let registry = registry();
    let fields = |schema: &schemars::Schema| -> BTreeSet<String> {
        let properties = schema.get("properties").and_then(Value::as_object).unwrap();
        for (name, field) in properties {
            assert!(field.get("description").is_some(), "{name} has no description: {field}");
        }
        properties.keys().cloned().collect()
    };
    for descriptor in registry.list() {
        let name = &descriptor.name;
        assert!(descriptor.replicated, "{name}");
        assert!(descriptor.summary.ends_with('.'), "{name}");
        let inputs = fields(&descriptor.input);
        assert!(!fields(&descriptor.output).is_empty(), "{name}");
        for reference in ["$ref", "$defs"] {
            assert!(!descriptor.input.as_value().to_string().contains(reference), "{name}");
        }
        let example = descriptor.example.clone().unwrap();
        assert!(example.as_object().unwrap().keys().all(|key| inputs.contains(key)), "{name}");
        registry.resolve(name).unwrap().plan(example).unwrap();

        let json = serde_json::to_value(descriptor).unwrap();
        let read: Descriptor = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json);
    }
}
