//! The registry: which operation a name means, and in which order things are checked.
#![allow(clippy::unwrap_used)]

use althing_operations::{
    Authority, Caller, Context, Freshness, GrantNeeded, Need, Operation, Registry, RegistryError,
    sys,
};
use althing_protocol::{Error, Kind, PublicKey, Result, v1};
use futures::{executor::block_on, future::BoxFuture};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Notes what it is asked, and answers as it is told.
#[derive(Default)]
struct Door {
    asked: Mutex<Vec<Need>>,
    ran: Mutex<u32>,
    refusal: Option<Error>,
    /// Where it sees that there is no reason to refuse any more.
    granted: Option<Freshness>,
    reached: Mutex<Option<Freshness>>,
    outcomes: Vec<v1::Outcome>,
}

impl Authority for Door {
    fn allow(&self, _: &Caller, need: &Need) -> Result<()> {
        self.asked.lock().unwrap().push(need.clone());
        let is_granted = self.granted.is_some() && self.granted == *self.reached.lock().unwrap();
        self.refusal.clone().filter(|_| !is_granted).map_or(Ok(()), Err)
    }

    fn reach(&self, read: Freshness) -> BoxFuture<'_, Result<()>> {
        *self.reached.lock().unwrap() = Some(read);
        Box::pin(async { Ok(()) })
    }

    fn submit<'a>(
        &'a self,
        _: &'a Caller,
        _: Vec<v1::Instruction>,
    ) -> BoxFuture<'a, Result<Vec<v1::Outcome>>> {
        Box::pin(async { Ok(self.outcomes.clone()) })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    key: String,
}

#[derive(Deserialize, JsonSchema)]
struct Careless {
    #[allow(dead_code)]
    key: String,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    length: usize,
}

fn grant() -> GrantNeeded {
    GrantNeeded::new("sys", "get").at("key")
}

fn need(input: &Input) -> Result<Need> {
    Ok(Need::new("sys", "get").at(input.key.as_str()))
}

fn get(name: &str, door: &Arc<Door>) -> Operation {
    let door = Arc::clone(door);
    Operation::query(name, "Measures a key.", grant(), need, move |_, input: Input| {
        *door.ran.lock().unwrap() += 1;
        async move { Ok(Output { length: input.key.len() }) }
    })
}

fn set(name: &str) -> Operation {
    let plan = |input: Input| {
        let put = |text: &str| v1::Instruction::new("counter", "put", text.into());
        Ok(input.key.split(',').map(put).collect())
    };
    let render = |outcomes: &[v1::Outcome]| Ok(Output { length: outcomes.len() });
    Operation::action(name, "Writes a key.", grant(), plan, render)
}

fn run(door: &Arc<Door>, operation: Operation, name: &str, input: Value) -> Result<Value> {
    read(door, operation, name, input, Freshness::Local)
}

fn read(
    door: &Arc<Door>,
    operation: Operation,
    name: &str,
    input: Value,
    read: Freshness,
) -> Result<Value> {
    let registry = Registry::new(vec![operation]).unwrap();
    let caller = Caller { key: PublicKey::default(), name: "test".into() };
    let authority: Arc<dyn Authority> = Arc::<Door>::clone(door);
    let context = Context { caller, read, authority };
    block_on(registry.dispatch(context, name, input))
}

fn outcome(error: Option<Error>) -> v1::Outcome {
    let result = match error {
        None => v1::outcome::Result::Output(Vec::new()),
        Some(error) => v1::outcome::Result::Failure((&error).into()),
    };
    v1::Outcome { index: 7, result: Some(result), ..v1::Outcome::default() }
}

#[test]
fn a_name_twice_fails() {
    let door = Arc::default();
    let twice = vec![get("query:kv.get.v1", &door), get("query:kv.get.v1", &door)];
    let error = Registry::new(twice).unwrap_err();
    assert_eq!(error, RegistryError::Duplicate("query:kv.get.v1".into()));
    let versions = vec![get("query:kv.get.v1", &door), get("query:kv.get.v2", &door)];
    assert_eq!(Registry::new(versions).unwrap().list().count(), 2);
}

#[test]
fn names_of_the_wrong_kind_or_of_aliases_fail() {
    let door = Arc::default();
    for operation in [
        get("action:kv.get.v1", &door),
        get("kv.get", &door),
        set("query:kv.set.v1"),
        set("action:kv.set.input.v1"),
    ] {
        let name = operation.descriptor().name.clone();
        assert_eq!(Registry::new(vec![operation]).unwrap_err(), RegistryError::Name(name));
    }
}

#[test]
fn an_input_that_takes_unknown_fields_fails() {
    let run = |_, input: Careless| async move { Ok(Output { length: input.key.len() }) };
    let need = |_: &Careless| Ok(Need::new("sys", "get"));
    let careless = Operation::query("query:kv.get.v1", "Careless.", grant(), need, run);
    let error = Registry::new(vec![careless]).unwrap_err();
    assert_eq!(error, RegistryError::UnknownFields("query:kv.get.v1".into()));
}

#[test]
fn the_grant_is_asked_for_before_anything_runs() {
    let refusal = Some(Error::denied("sys/get at /a: no grant"));
    let door = Arc::new(Door { refusal: refusal.clone(), ..Door::default() });
    let name = "query:kv.get.v1";
    let answer = run(&door, get(name, &door), name, json!({"key": "/a"}));
    assert_eq!(answer.err(), refusal);
    assert_eq!(*door.asked.lock().unwrap(), [Need::new("sys", "get").at("/a")]);
    assert_eq!(*door.ran.lock().unwrap(), 0);

    let door = Arc::default();
    let answer = run(&door, get(name, &door), name, json!({"key": "/a"}));
    assert_eq!(answer, Ok(json!({"length": 2})));
    assert_eq!(*door.ran.lock().unwrap(), 1);
}

#[test]
fn a_node_that_is_behind_refuses_by_what_is_as_fresh_as_the_read() {
    let name = "query:kv.get.v1";
    let refusal = Some(Error::denied("sys/get at /a: no grant"));
    for (granted, asked_for, is_let_in) in [
        (Some(Freshness::AtLeast(7)), Freshness::AtLeast(7), true),
        (Some(Freshness::Linearizable), Freshness::Linearizable, true),
        (Some(Freshness::Linearizable), Freshness::Local, false),
        (None, Freshness::Linearizable, false),
    ] {
        let door = Arc::new(Door { refusal: refusal.clone(), granted, ..Door::default() });
        let answer = read(&door, get(name, &door), name, json!({"key": "/a"}), asked_for);
        assert_eq!(answer.is_ok(), is_let_in, "{granted:?} {asked_for:?}");
        assert_eq!(*door.ran.lock().unwrap(), u32::from(is_let_in));
    }
}

#[test]
fn a_local_action_asks_for_its_grant_too() {
    let refusal = Some(Error::denied("sys/get at /a: no grant"));
    let door = Arc::new(Door { refusal: refusal.clone(), ..Door::default() });
    let never = |_, input: Input| async move {
        assert!(input.key.is_empty(), "ran without a grant");
        Ok(Output { length: 0 })
    };
    let action = Operation::local_action("action:blob.put.v1", "Uploads.", grant(), need, never);
    assert!(!action.descriptor().replicated);
    let answer = run(&door, action, "action:blob.put.v1", json!({"key": "/a"}));
    assert_eq!(answer.err(), refusal);
}

#[test]
fn an_alias_is_the_operation_itself() {
    let door = Arc::new(Door { outcomes: vec![outcome(None)], ..Door::default() });
    let answer = run(&door, set("action:kv.set.v1"), "action:kv.set.input.v1", json!({"key": "a"}));
    assert_eq!(answer, Ok(json!({"length": 1})));
    let registry = Registry::new(vec![set("action:kv.set.v1")]).unwrap();
    let resolved = registry.resolve("action:kv.set.input.v1").unwrap();
    assert_eq!(resolved.descriptor().name, "action:kv.set.v1");
}

#[test]
fn an_unknown_name_gets_near_ones() {
    let registry = Registry::new(sys::actions()).unwrap();
    let error = registry.resolve("action:kv.putt.v1").unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.message.contains("did you mean action:kv.put.v1"), "{error}");
    assert!(registry.resolve("kv.delete").unwrap_err().message.contains("action:kv.delete.v1"));
    let error = registry.resolve(&"x".repeat(1 << 20)).unwrap_err();
    assert!(error.message.len() < 300 && !error.message.contains("did you mean"), "{error}");
    assert!(registry.resolve("action:kv.putt.input.v1").unwrap_err().message.contains("kv.put.v1"));
}

#[test]
fn an_unknown_field_is_named() {
    let name = "query:kv.get.v1";
    for (input, says) in [
        (json!({"key": "a", "kye": "b"}), "kye"),
        (json!({}), "key"),
        (json!(null), "key"),
        (json!({"key": 7}), "string"),
        (json!(["a"]), "object"),
        (json!("a"), "object"),
    ] {
        let door = Arc::default();
        let error = run(&door, get(name, &door), name, input).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains(says) && error.message.contains(name), "{error}");
        assert!(door.asked.lock().unwrap().is_empty());
    }
}

#[test]
fn a_failed_outcome_is_the_answer() {
    let conflict = Error::conflict("key a: changed; read it again").retry_after_ms(5);
    let outcomes = vec![outcome(Some(conflict.clone()))];
    let door = Arc::new(Door { outcomes, ..Door::default() });
    let name = "action:kv.set.v1";
    assert_eq!(run(&door, set(name), name, json!({"key": "a"})), Err(conflict.clone()));

    let outcomes = vec![outcome(None), outcome(Some(conflict)), outcome(None)];
    let door = Arc::new(Door { outcomes, ..Door::default() });
    let error = run(&door, set(name), name, json!({"key": "a,b,c"})).unwrap_err();
    assert_eq!((error.kind, error.retry_after_ms), (Kind::Conflict, Some(5)));
    assert!(error.message.starts_with("instruction 2 of 3 in entry 7: key a: changed"), "{error}");
}

#[test]
fn outcomes_that_are_missing_are_a_defect() {
    let name = "action:kv.set.v1";
    for outcomes in [vec![], vec![outcome(None)], vec![outcome(None); 3]] {
        let door = Arc::new(Door { outcomes, ..Door::default() });
        let error = run(&door, set(name), name, json!({"key": "a,b"})).unwrap_err();
        assert_eq!(error.kind, Kind::Internal);
    }
}

#[test]
fn too_many_instructions_are_refused() {
    let name = "action:kv.set.v1";
    let error = run(&Arc::default(), set(name), name, json!({"key": ",".repeat(256)})).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("257"), "{error}");
}

#[test]
fn freshness_as_json_and_as_text() {
    for (json, text, read) in [
        (json!("linearizable"), "linearizable", Freshness::Linearizable),
        (json!("local"), "local", Freshness::Local),
        (json!({"at-least": 7}), "at-least=7", Freshness::AtLeast(7)),
    ] {
        assert_eq!(serde_json::from_value::<Freshness>(json.clone()).unwrap(), read);
        assert_eq!(serde_json::to_value(read).unwrap(), json);
        assert_eq!(text.parse(), Ok(read));
        assert_eq!(read.to_string(), text);
    }
    for bad in ["", "fresh", "at-least", "at-least=", "at-least=x", "local=1"] {
        assert!(bad.parse::<Freshness>().is_err(), "{bad}");
    }
}
