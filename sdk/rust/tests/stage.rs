//! The stage keeps to the order of a realm.
#![allow(clippy::unwrap_used, missing_docs)]

use althing_sdk::{
    Actor, MigrateState, Result, actor, bail, data, ensure, info,
    serde_json::{Value, json},
    testing::{Letter, Sent, Stage},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

data! {
    pub enum Message {
        Note { text: String },
        Tell { to: Vec<String>, text: String },
        Spread { text: String },
        Grow { by: u32 },
        Fail,
    }

    pub struct State {
        #[schemars(length(max = 3))]
        pub notes: Vec<String>,
        pub number: f64,
    }
}

/// Notes what it is told, and tells others. It logs which function runs.
struct Notes;

impl Actor for Notes {
    type Message = Message;
    type State = State;

    fn init() -> State {
        State { notes: Vec::new(), number: 1.0 }
    }

    fn handle(message: Message, mut state: State) -> Result<State> {
        info!("handle");
        match message {
            Message::Note { text } => state.notes.push(text),
            Message::Tell { to, text } => {
                state.notes.clear();
                for to in to {
                    actor::send(&to, &Message::Note { text: text.clone() })?;
                }
            }
            Message::Spread { text } => {
                actor::send("a", &Message::Spread { text })?;
            }
            Message::Grow { by } => state.number = f64::from(by),
            Message::Fail => bail!("no"),
        }
        Ok(state)
    }

    fn message_contract(message: &Message, state: &State) -> Result<()> {
        info!("message");
        let full = matches!(message, Message::Note { .. }) && state.notes.len() == 3;
        ensure!(!full, "there are three notes");
        Ok(())
    }

    fn state_contract(state: &State) -> Result<()> {
        info!("state");
        ensure!(state.number < 10.0, "{} is too much", state.number);
        Ok(())
    }
}

impl MigrateState for Notes {
    fn migrate(state: Value, from_version: &str) -> Result<State> {
        ensure!(from_version == "1", "from version {from_version}");
        let number = state["notes"].as_array().map_or(0, Vec::len) as f64;
        Ok(State { notes: Vec::new(), number: number + 8.0 })
    }
}

fn stage() -> Stage {
    let mut stage = Stage::new();
    for id in ["a", "b"] {
        stage.spawn::<Notes>(id).unwrap();
    }
    stage.logs.clear();
    stage
}

fn note(text: &str) -> Value {
    json!({"note": {"text": text}})
}

#[test]
fn contracts_stand_before_and_behind_what_is_handled() {
    let mut stage = stage();
    assert_eq!(stage.send("a", note("x")), Ok(json!({"notes": ["x"], "number": 1})));
    let functions: Vec<_> = stage.logs.iter().map(|(id, line)| format!("{id} {line}")).collect();
    assert_eq!(functions, ["a message", "a state", "a handle", "a state"]);
}

#[test]
fn what_is_refused_says_by_whom_and_changes_nothing() {
    let mut stage = stage();
    for text in ["1", "2", "3"] {
        stage.send("a", note(text)).unwrap();
    }
    let before = stage.state("a");
    for (message, error) in [
        (note("4"), "a: message contract refused the message: there are three notes"),
        (
            json!({"note": {}}),
            "a: message contract refused the message: `note`: missing field `text`",
        ),
        (
            json!({"grow": {"by": 10}}),
            "a: state contract refused the state that `handle` returned: 10 is too much",
        ),
        (json!("fail"), "a: handle failed; it logged: no"),
    ] {
        assert_eq!(stage.send("a", message), Err(error.to_owned()));
    }
    assert_eq!(stage.state("a"), before);
    assert_eq!(stage.send("c", note("x")), Err("c: there is no actor of that id".into()));
    assert_eq!(stage.sent, []);
}

#[test]
fn what_is_sent_comes_once_it_is_stored_and_what_cannot_is_a_letter() {
    let mut stage = stage();
    for text in ["1", "2"] {
        stage.send("b", note(text)).unwrap();
    }
    let to = ["b", "b", "nobody", "a"];
    stage.send("a", json!({"tell": {"to": to, "text": "x"}})).unwrap();
    assert_eq!(stage.state("a")["notes"], json!(["x"]));
    assert_eq!(stage.state("b")["notes"], json!(["1", "2", "x"]));
    let reached: Vec<_> = stage.sent.iter().map(|sent| sent.to.as_str()).collect();
    assert_eq!(reached, to);
    assert_eq!(stage.sent[0], Sent { from: "a".into(), to: "b".into(), message: note("x") });
    let letter = |to: &str, reason: &str| Letter {
        to: to.into(),
        message: note("x"),
        reason: reason.into(),
    };
    assert_eq!(
        stage.letters,
        [
            letter("nobody", "nobody: there is no actor of that id"),
            letter("b", "b: message contract refused the message: there are three notes"),
        ]
    );
}

#[test]
fn a_message_that_leads_to_itself_ends() {
    let mut stage = stage();
    stage.send("a", json!({"spread": {"text": "x"}})).unwrap();
    assert_eq!((stage.sent.len(), stage.letters.len()), (1025, 1));
    assert!(stage.letters[0].reason.contains("led to one another"));
}

#[test]
fn a_migration_is_checked_by_the_state_contract() {
    let mut stage = stage();
    stage.send("a", note("x")).unwrap();
    for text in ["x", "y"] {
        stage.send("b", note(text)).unwrap();
    }
    assert_eq!(stage.migrate::<Notes>("a", "1"), Ok(json!({"notes": [], "number": 9})));
    let error = stage.migrate::<Notes>("b", "1").unwrap_err();
    assert!(error.ends_with("state that `migrate` returned: 10 is too much"), "{error}");
    let error = stage.migrate::<Notes>("b", "2").unwrap_err();
    assert_eq!(error, "b: migrate failed; it logged: from version 2");
    assert_eq!(stage.state("b")["notes"], json!(["x", "y"]));
}

data! {
    pub struct Any {
        pub json: Value,
    }
}

/// Its state is its message.
struct Mirror;

impl Actor for Mirror {
    type Message = Any;
    type State = Any;

    fn init() -> Any {
        Any { json: Value::Null }
    }

    fn handle(message: Any, _: Any) -> Result<Any> {
        Ok(message)
    }
}

/// Sends itself each message twice.
struct Endless;

impl Actor for Endless {
    type Message = Any;
    type State = Any;

    fn init() -> Any {
        Any { json: Value::Null }
    }

    fn handle(message: Any, state: Any) -> Result<Any> {
        actor::send("e", &message)?;
        actor::send("e", &message)?;
        Ok(state)
    }
}

#[test]
fn actors_that_send_without_end_fail_the_test() {
    let mut stage = Stage::new();
    stage.spawn::<Endless>("e").unwrap();
    let send = AssertUnwindSafe(|| stage.send("e", json!({"json": 1})));
    let panic = catch_unwind(send).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert_eq!(text, "more than 10000 messages follow from this one");
    assert_eq!(stage.sent.len(), 2 * 10_001);
    // Of two that are sent one is handled meanwhile, until as many wait as may.
    assert_eq!(stage.letters.len(), stage.sent.len() - 10_000 - 1_024);
    assert_eq!(stage.letters[0].reason, "e: 1024 messages wait");
}

#[test]
fn json_is_that_of_a_realm() {
    let mut stage = Stage::new();
    stage.spawn::<Mirror>("m").unwrap();
    let deep = (0..63).fold(json!(1), |inner, _| json!([inner]));
    for (value, refused) in [
        (json!(u64::pow(2, 53)), ""),
        (json!(-(i64::pow(2, 53)) - 2), ""),
        (json!(u64::pow(2, 53) + 1), "no double is exactly that"),
        (json!(u64::pow(2, 60)), "no double is exactly that"),
        (deep.clone(), ""),
        (json!([deep]), "more than 64 levels"),
        (json!("x".repeat(65_536)), "the limit is 65536"),
    ] {
        let result = stage.send("m", json!({"json": value}));
        match refused {
            "" => assert!(result.is_ok(), "{result:?}"),
            words => assert!(result.unwrap_err().contains(words), "{words}"),
        }
    }
    let state = stage.send("m", json!({"json": [1.0, 1e21, -0.0]})).unwrap();
    assert_eq!(state.to_string(), r#"{"json":[1,1e+21,0]}"#);
}

#[test]
fn ids_are_those_of_a_realm() {
    let mut stage = stage();
    for id in ["", "/a", "a//b", "ä", "a b", &"x".repeat(129)] {
        assert!(stage.spawn::<Notes>(id).unwrap_err().contains("not an actor id"));
    }
    assert!(stage.spawn::<Notes>("a").unwrap_err().contains("there is an actor of that id"));
}
