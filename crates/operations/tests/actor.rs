//! Each action of `actor` against the messages of the protocol, and what is refused before it gets there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use althing_operations::{Registry, actor};
use althing_protocol::{Error, Kind, Result, actor as instructions, json::read, limits, v1};
use prost::Message;
use serde_json::{Value, json};

fn registry() -> Registry {
    Registry::new(actor::actions()).unwrap()
}

fn plan(name: &str, input: Value) -> Result<Vec<v1::Instruction>> {
    registry().resolve(&format!("action:actor.{name}.v1"))?.plan(input)
}

/// Plans what stands in `text`, as the surfaces read it.
fn plan_text(name: &str, text: &str) -> Result<Vec<v1::Instruction>> {
    plan(name, read("body", text.as_bytes())?)
}

fn render(name: &str, output: &impl Message) -> Value {
    let result = Some(v1::outcome::Result::Output(output.encode_to_vec()));
    let outcome = v1::Outcome { index: 9, result, ..v1::Outcome::default() };
    registry().resolve(&format!("action:actor.{name}.v1")).unwrap().render(&[outcome]).unwrap()
}

fn refused(name: &str, text: &str, words: &str) {
    let error: Error = plan_text(name, text).expect_err(words);
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(error.message.contains(words), "{words}: {error}");
    assert!(error.message.len() < 400, "{error}");
}

#[test]
fn inputs_become_instructions_with_canonical_json() {
    let message = json!({"b": 1.0, "a": [1e2]});
    let canonical = br#"{"a":[100],"b":1}"#;
    for (name, input, expected) in [
        (
            "spawn",
            json!({"actor": "bank/a", "program": "ledger"}),
            instructions::spawn("bank/a", "ledger"),
        ),
        ("send", json!({"actor": "a", "message": message}), instructions::send("a", *canonical)),
        (
            "request",
            json!({"actor": "a", "message": message}),
            instructions::request("a", *canonical),
        ),
        ("request", json!({"actor": "a", "message": null}), instructions::request("a", *b"null")),
        ("stop", json!({"actor": "a"}), instructions::stop("a")),
        ("remove", json!({"actor": "a"}), instructions::remove("a")),
        ("retry", json!({"actor": "a", "letter": 7}), instructions::retry("a", 7)),
        ("cancel", json!({"actor": "a", "timer": "t"}), instructions::cancel("a", "t")),
    ] {
        assert_eq!(plan(name, input), Ok(vec![expected]), "{name}");
    }
    for (state, given) in [(None, None), (Some(json!(null)), Some(b"null".to_vec()))] {
        let mut input = json!({"actor": "a", "to": 3});
        if let Some(state) = state {
            input["state"] = state;
        }
        let args = v1::ActorRollback { actor: "a".into(), to: 3, state: given };
        assert_eq!(plan("rollback", input), Ok(vec![instructions::rollback(&args)]));
    }
}

#[test]
fn timers_and_topics() {
    let message = b"1".to_vec();
    let (actor, timer) = ("a".to_owned(), "t".to_owned());
    let at = v1::ActorSendAt {
        actor: actor.clone(),
        timer: timer.clone(),
        at_us: 5,
        message: message.clone(),
    };
    let input = json!({"actor": "a", "timer": "t", "at_us": 5, "message": 1});
    assert_eq!(plan("send_at", input), Ok(vec![instructions::send_at(&at)]));
    let every = v1::ActorSendEvery {
        actor: actor.clone(),
        timer,
        first_us: 0,
        period_us: 100_000,
        message,
    };
    let input = json!({"actor": "a", "timer": "t", "period_us": 100_000, "message": 1});
    assert_eq!(plan("send_every", input), Ok(vec![instructions::send_every(&every)]));
    let topic = |program: &str, topic: &str, prefix: &[u8]| v1::ActorTopic {
        actor: actor.clone(),
        program: program.into(),
        topic: topic.into(),
        prefix: prefix.to_vec(),
    };
    for (input, expected) in [
        (json!({"actor": "a", "program": "shop", "topic": "sold"}), topic("shop", "sold", b"")),
        (
            json!({"actor": "a", "program": "sys", "topic": "kv", "prefix": "/r"}),
            topic("sys", "kv", b"/r"),
        ),
        (
            json!({"actor": "a", "program": "sys", "topic": "kv", "prefix_base64": "/w=="}),
            topic("sys", "kv", b"\xff"),
        ),
    ] {
        assert_eq!(plan("subscribe", input.clone()), Ok(vec![instructions::subscribe(&expected)]));
        assert_eq!(plan("unsubscribe", input), Ok(vec![instructions::unsubscribe(&expected)]));
    }
}

#[test]
fn what_is_no_json_of_ours_is_refused_with_words() {
    let with = |message: &str| format!(r#"{{"actor": "a", "message": {message}}}"#);
    for (message, words) in [
        (r#"{"a": 1, "a": 2}"#, "key \"a\" twice"),
        ("NaN", "no JSON"),
        ("1e400", "no double is as large"),
        ("9007199254740993", "no double is exactly that"),
        ("-9007199254740993", "no double is exactly that"),
        ("123456789012345678901234567890", "no double is exactly that"),
        (r#""\ud800""#, "surrogate"),
        (&format!("{}{}", "[".repeat(65), "]".repeat(65)), "levels"),
        (&format!("{}{}", "[".repeat(900), "]".repeat(900)), "levels"),
        (&format!("\"{}\"", "x".repeat(limits::ACTOR_MESSAGE_BYTES_MAX)), "the limit of 65536"),
    ] {
        for name in ["send", "request"] {
            refused(name, &with(message), words);
        }
    }
    let at_the_limit = format!("\"{}\"", "x".repeat(limits::ACTOR_MESSAGE_BYTES_MAX - 2));
    assert!(plan_text("send", &with(&at_the_limit)).is_ok());
    assert!(plan_text("send", &with(&format!("{}{}", "[".repeat(64), "]".repeat(64)))).is_ok());
    let state = format!("\"{}\"", "x".repeat(limits::ACTOR_STATE_BYTES_MAX));
    refused(
        "rollback",
        &format!(r#"{{"actor": "a", "to": 1, "state": {state}}}"#),
        "state: 524290 bytes",
    );
}

#[test]
fn what_names_nothing_is_refused_with_words() {
    let long = "t".repeat(limits::ACTOR_TIMER_BYTES_MAX + 1);
    for (name, input, words) in [
        ("spawn", json!({"actor": "bank//a", "program": "p"}), "not an actor id"),
        ("spawn", json!({"actor": "x".repeat(1 << 16), "program": "p"}), "not an actor id"),
        ("spawn", json!({"actor": "a", "program": "No Id"}), "program"),
        ("send", json!({"actor": "", "message": 1}), "not an actor id"),
        ("send", json!({"actor": "a"}), "missing field `message`"),
        ("send", json!({"actor": "a", "message": 1, "mesage": 2}), "mesage"),
        ("stop", json!({"actor": "a b"}), "not an actor id"),
        ("rollback", json!({"actor": "a", "to": 0}), "the first step of an actor is 1"),
        ("rollback", json!({"actor": "a", "to": -1}), "-1"),
        ("send_at", json!({"actor": "a", "timer": "", "at_us": 1, "message": 1}), "timer"),
        ("cancel", json!({"actor": "a", "timer": long}), "wants 1 to 64"),
        (
            "send_every",
            json!({"actor": "a", "timer": "t", "period_us": 99_999, "message": 1}),
            "100000",
        ),
        (
            "subscribe",
            json!({"actor": "a", "program": "shop", "topic": "sold", "prefix": "/"}),
            "prefix",
        ),
        ("subscribe", json!({"actor": "a", "program": "shop", "topic": ""}), "topic"),
    ] {
        refused(name, &input.to_string(), words);
    }
}

#[test]
fn outputs() {
    let info = v1::ActorInfo {
        actor: "bank/a".into(),
        program: "ledger".into(),
        spawned: 9,
        author: vec![1; 32],
        step: 1,
        chain: vec![2; 32],
        state_step: 1,
        state_hash: vec![3; 32],
        state_bytes: 14,
        history_bytes: 160,
        ..v1::ActorInfo::default()
    };
    let expected = json!({
        "actor": "bank/a", "program": "ledger", "status": "running", "spawned": 9,
        "author": "01".repeat(32), "step": 1, "chain": "02".repeat(32), "state_step": 1,
        "state_hash": "03".repeat(32), "state_bytes": 14, "history_bytes": 160, "waiting": 0,
        "generation": 0, "index": 9,
    });
    for name in ["spawn", "stop", "rollback"] {
        assert_eq!(render(name, &v1::ActorDone { info: Some(info.clone()) }), expected, "{name}");
    }
    for name in ["send", "retry"] {
        assert_eq!(render(name, &v1::ActorSent { waiting: 3 }), json!({"waiting": 3, "index": 9}));
    }
    let removed = v1::ActorRemoved { keys: 12, more: true };
    assert_eq!(render("remove", &removed), json!({"keys": 12, "more": true, "index": 9}));
    let out = |message: &[u8]| v1::ActorOut {
        to: "b".into(),
        message: message.to_vec(),
        hash: vec![4; 32],
    };
    let mut reply = v1::ActorReply {
        step: Some(v1::ActorStep {
            step: 2,
            after: vec![5; 32],
            fuel: 77,
            ..v1::ActorStep::default()
        }),
        chain: vec![6; 32],
        state: Some(br#"{"balance":5}"#.to_vec()),
        sends: vec![out(b"{\"pay\":1}")],
    };
    assert_eq!(
        render("request", &reply),
        json!({
            "step": 2, "state": {"balance": 5}, "state_hash": "05".repeat(32), "fuel": 77,
            "chain": "06".repeat(32), "index": 9,
            "sends": [{"to": "b", "message": {"pay": 1}, "hash": "04".repeat(32)}],
        })
    );
    // What is too long for an outcome is not there, which is not the same as null.
    (reply.state, reply.sends) = (None, vec![out(b"")]);
    let long = render("request", &reply);
    assert!(long.get("state").is_none() && long["sends"][0].get("message").is_none(), "{long}");
    reply.state = Some(b"null".to_vec());
    assert_eq!(render("request", &reply)["state"], Value::Null);
}

#[test]
fn examples_work() {
    for descriptor in registry().list() {
        let example = descriptor.example.clone().unwrap();
        let made = registry().resolve(&descriptor.name).unwrap().plan(example).unwrap();
        assert_eq!(made.len(), 1, "{}", descriptor.name);
    }
}
