//! Scenarios of actors, played with no node.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

#[path = "../../machine/tests/common/account.rs"]
mod account;
mod common;
#[path = "../../sandbox/tests/common/mod.rs"]
mod guests;

use common::{Ran, User};
use serde_json::Value;
use std::fs;

fn user() -> User {
    let user = User::new();
    user.write("bank.toml", "name = \"bank\"\nversion = \"0.1.0\"\n");
    fs::write(user.path("bank.wasm"), account::account()).unwrap();
    user
}

fn play(user: &User, scenario: &str, flags: &[&str]) -> Ran {
    user.write("scenario.yaml", scenario);
    let (scenario, component) = (user.path("scenario.yaml"), user.path("bank.wasm"));
    let paths = [scenario.to_str().unwrap(), component.to_str().unwrap()];
    user.run(&[&["actor", "test"], &paths[..], flags].concat())
}

const WALK: &str = r##"
actors:
  alice:
  bob: {state: 5}
  carol: {state: 8, from-version: 0.0.9}
steps:
  - send: "+5"
    to: alice
    state: 105
  - send: -7 bob
    to: alice
    sends: [{to: bob, message: "+7"}]
    contains: 98
  - {to: bob, state: 12}
  - {send: "-900 bob", to: alice, violation: not enough}
  - {send: "#", to: alice, violation: no debts, state: 98}
  - {send: "{", to: alice, fails: handle}
  - {send: ogood morning, to: bob, logs: [morning]}
  - {send: -1 dora, to: bob, letters: [{to: dora, fails: not in this scenario}]}
  - {send: "*3 carol", to: bob}
  - {to: carol, state: 11}
"##;

#[test]
fn a_scenario_passes_when_all_is_as_expected() {
    let user = user();
    let ran = play(&user, WALK, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("scenario.yaml: passed, 10 of 10 steps"), "{ran:?}");
    let ran = play(&user, WALK, &["--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&report["passed"], report["steps"].as_array().unwrap().len()),
        (&Value::Bool(true), 10)
    );
    assert!(report["steps"][0]["fuel"].as_u64().unwrap() > 0);
}

#[test]
fn what_is_not_as_expected_is_named_with_its_line() {
    let user = user();
    for (step, words) in [
        ("{send: '+1', state: 100}", "state of actor: answer: expected 100, got 101"),
        ("{send: '?'}", "failed: contract-violation: actor: message contract refused"),
        ("{send: '+1', violation: x}", "expected an error with \"x\", got none"),
        ("{send: '?', violation: other}", "expected an error with \"other\", got"),
        ("{send: '{', violation: x}", "expected a contract violation with \"x\", got"),
        // What stands in every refusal, or names who refused, is no reason.
        ("{send: '?', violation: contract}", "expected an error with \"contract\", got"),
        ("{send: '?', violation: actor}", "expected an error with \"actor\", got"),
        ("{send: '{', fails: actor}", "expected an error with \"actor\", got"),
        ("{send: -1 bob, letters: [{to: bob, fails: bob}]}", "expected one to bob with \"bob\""),
        ("{send: '+1', sends: [{to: bob}]}", "sends[0]: expected {\"to\":\"bob\"}, got nothing"),
        ("{send: ohello, logs: [hello, again]}", "expected a line with \"again\" here, got none"),
        ("{send: -1 bob}", "a message to bob was not delivered"),
        ("{send: -1 bob, letters: [{to: carol}]}", "expected one to carol"),
        ("{send: '+1', letters: [{to: carol}]}", "expected one to carol, got none"),
    ] {
        let ran = play(&user, &format!("steps:\n  - {{state: 100}}\n  - {step}\n"), &[]);
        assert_eq!(ran.code, 1, "{step}: {ran:?}");
        for words in [words, "FAILED, 1 of 2 steps", "line 3"] {
            assert!(ran.out.contains(words), "{step}: {words}: {ran:?}");
        }
    }
    let ran = play(&user, "steps: [{send: ohello, state: 1}]", &[]);
    assert!(ran.out.contains("actor: hello"), "its log is shown: {ran:?}");
}

#[test]
fn an_actor_that_cannot_begin_fails_the_scenario() {
    let user = user();
    let ran = play(&user, "actors:\n  a: {state: -5}\nsteps: [{to: a, state: -5}]", &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for words in ["scenario.yaml: FAILED", "line 2, begin with a", "no debts"] {
        assert!(ran.out.contains(words), "{words}: {ran:?}");
    }
}

#[test]
fn actors_that_never_end_are_stopped() {
    let user = user();
    let forever = "actors: {a: , b: }\nsteps:\n  - {send: '>ba', to: a}\n";
    let ran = play(&user, forever, &[]);
    assert!(ran.out.contains("is the end of a chain of 1024 messages"), "{ran:?}");
}

#[test]
fn what_cannot_begin_is_an_error() {
    let user = user();
    let (code, kind, text) = {
        let ran = play(&user, "steps: [{sned: 1}]", &["--json"]);
        let error: Value = serde_json::from_str(&ran.err).unwrap();
        let text = |field: &str| error["error"][field].as_str().unwrap().to_owned();
        (ran.code, text("kind"), text("message"))
    };
    assert_eq!((code, kind.as_str()), (2, "invalid"));
    assert!(text.contains("scenario.yaml") && text.contains("sned"), "{text}");
    fs::write(user.path("bank.wasm"), fs::read(common::package("counter").0).unwrap()).unwrap();
    let ran = play(&user, "steps: [{send: 1}]", &[]);
    assert!(ran.code == 2 && ran.err.contains("is no actor"), "{ran:?}");
}
