//! A scenario of actors, as it is written in YAML.

use super::super::compare::Extent;
use crate::values::file_error;
use althing_operations::actor::canonical;
use althing_protocol::{ActorId, Error, Result, json, limits};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::Spanned;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The actor of a scenario that names none.
const ONLY: &str = "actor";
/// 2^63: in YAML, what is below it and an integer is read as one.
const INTEGERS_END: f64 = 9_223_372_036_854_775_808.0;

/// A scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Where it is written.
    pub path: PathBuf,
    /// The actors that there are.
    pub actors: BTreeMap<String, Actor>,
    pub steps: Vec<Step>,
}

/// An actor of a scenario.
#[derive(Debug, PartialEq)]
pub(crate) struct Actor {
    /// Where it is in the file.
    pub line: u64,
    pub begins: Beginning,
}

/// How an actor begins.
#[derive(Debug, PartialEq)]
pub(crate) enum Beginning {
    /// With the state that its component makes.
    Init,
    /// With this state, as canonical JSON.
    State(Vec<u8>),
    /// With what its component makes of this state of another version.
    Migrated { state: Vec<u8>, from_version: String },
}

/// A step, and what must come of it.
#[derive(Debug)]
pub(crate) struct Step {
    /// Where it begins in the file.
    pub line: u64,
    /// The actor that the step is about.
    pub to: String,
    /// What is sent to it, as canonical JSON; nothing when it is only looked at.
    pub message: Option<Vec<u8>>,
    pub expected: Expected,
    /// Its state, once all messages are delivered.
    pub state: Option<(Value, Extent)>,
    /// Texts that its log must have, in this order.
    pub logs: Vec<String>,
    /// What cannot be delivered to others, in this order.
    pub letters: Vec<Letter>,
}

/// What must become of the message.
#[derive(Debug)]
pub(crate) enum Expected {
    /// It is handled. What is sent, when the scenario says so.
    Handled { sends: Option<Value> },
    /// A contract refuses it, and the reason that it gives contains this.
    Violation(String),
    /// It fails in any way, and the error contains this, behind the actor's id.
    Failure(String),
}

/// A message that must not arrive.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Letter {
    /// Whom it is for.
    pub to: String,
    /// A part of the reason.
    #[serde(default)]
    pub fails: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    actors: BTreeMap<String, Spanned<Option<WrittenActor>>>,
    steps: Vec<Spanned<WrittenStep>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenActor {
    #[serde(default, deserialize_with = "present")]
    state: Option<Value>,
    from_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    #[serde(default, deserialize_with = "present")]
    send: Option<Value>,
    to: Option<String>,
    #[serde(default, deserialize_with = "present")]
    state: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    contains: Option<Value>,
    sends: Option<Vec<Value>>,
    violation: Option<String>,
    fails: Option<String>,
    logs: Option<Vec<String>>,
    letters: Option<Vec<Letter>>,
}

/// `null` is JSON too, and another thing than nothing at all.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// `invalid`, with the line of what is not understood.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| file_error(path, &e))?;
        Self::parse(path, &text).map_err(|e| {
            Error::invalid(format!("scenario {}: {}", path.display(), e.message.trim_end()))
        })
    }

    /// The scenarios in the folder `tests` of a project, by name.
    ///
    /// # Errors
    /// As [`Scenario::read`].
    pub(crate) fn read_all(project: &Path) -> Result<Vec<Self>> {
        let files = super::super::files(&project.join("tests"), &["yaml", "yml"])?;
        let read = |file: &PathBuf| {
            Self::read(file).map_err(|e| {
                Error::invalid(format!(
                    "{}; what is YAML in `tests` is a scenario, other data wants a folder below it",
                    e.message
                ))
            })
        };
        files.iter().map(read).collect()
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let written: Written =
            serde_saphyr::from_str(text).map_err(|e| Error::invalid(e.to_string()))?;
        let mut actors = BTreeMap::new();
        for (id, actor) in written.actors {
            let id = ActorId::new(id)?.to_string();
            let line = actor.referenced.line();
            let begins = actor.value.unwrap_or_default().read(&id)?;
            actors.insert(id, Actor { line, begins });
        }
        if actors.is_empty() {
            actors.insert(ONLY.to_owned(), Actor { line: 1, begins: Beginning::Init });
        }
        if written.steps.is_empty() {
            return Err(Error::invalid("has no steps"));
        }
        let step = |step: Spanned<WrittenStep>| {
            let line = step.referenced.line();
            let read = step.value.read(line, &actors);
            read.map_err(|e| Error::invalid(format!("line {line}: {}", e.message)))
        };
        let steps = written.steps.into_iter().map(step).collect::<Result<_>>()?;
        Ok(Self { path: path.to_owned(), actors, steps })
    }
}

impl WrittenActor {
    fn read(self, id: &str) -> Result<Beginning> {
        let state =
            |state| as_sent(&format!("state of {id}"), &state, limits::ACTOR_STATE_BYTES_MAX);
        let state = self.state.map(state);
        match (state.transpose()?, self.from_version) {
            (None, None) => Ok(Beginning::Init),
            (Some(state), None) => Ok(Beginning::State(state)),
            (Some(state), Some(from_version)) => Ok(Beginning::Migrated { state, from_version }),
            (None, Some(_)) => {
                Err(Error::invalid(format!("actor {id}: from-version wants the state of then")))
            }
        }
    }
}

impl WrittenStep {
    fn read(self, line: u64, actors: &BTreeMap<String, Actor>) -> Result<Step> {
        let invalid = |text: &str| Err(Error::invalid(text));
        let to = match (self.to, actors.len(), actors.keys().next()) {
            (Some(to), _, _) if actors.contains_key(&to) => to,
            (Some(to), _, _) => {
                return Err(Error::invalid(format!("to: {to:?} is none of `actors`")));
            }
            (None, 1, Some(only)) => only.clone(),
            _ => return invalid("to: missing; there are several `actors`"),
        };
        let is_sent = self.send.is_some();
        if !is_sent && (self.logs.is_some() || self.letters.is_some()) {
            return invalid("`logs` and `letters` come of a message: they want `send`");
        }
        if [&self.violation, &self.fails].into_iter().flatten().any(String::is_empty) {
            return invalid("`violation` and `fails` want a part of the error, which all have");
        }
        let expected = match (self.violation, self.fails, self.sends) {
            (None, None, sends) if is_sent || sends.is_none() => {
                let sends = sends.map(|sends| as_stored("sends", &sends.into())).transpose()?;
                Expected::Handled { sends }
            }
            (Some(text), None, None) if is_sent => Expected::Violation(text),
            (None, Some(text), None) if is_sent => Expected::Failure(text),
            _ => {
                return invalid(
                    "a step with `send` has at most one of `sends`, `violation` and `fails`; one \
                     without has none of them",
                );
            }
        };
        let state = match (self.state, self.contains) {
            (Some(_), Some(_)) => return invalid("one of `state` and `contains`, not both"),
            (Some(state), None) => Some((state, Extent::Whole)),
            (None, contains) => contains.map(|state| (state, Extent::Part)),
        };
        if !is_sent && state.is_none() {
            return invalid(
                "sends nothing and expects nothing: give `send`, `state` or `contains`",
            );
        }
        if let Some((Value::Object(fields), Extent::Part)) = &state
            && fields.is_empty()
        {
            return invalid("contains: nothing, which every state does");
        }
        let state = match state {
            Some((state, extent)) => Some((as_stored("state", &state)?, extent)),
            None => None,
        };
        let message =
            self.send.map(|message| as_sent("send", &message, limits::ACTOR_MESSAGE_BYTES_MAX));
        Ok(Step {
            line,
            to,
            message: message.transpose()?,
            expected,
            state,
            logs: self.logs.unwrap_or_default(),
            letters: self.letters.unwrap_or_default(),
        })
    }
}

/// A value as canonical JSON, if a realm would take it.
fn as_sent(what: &str, value: &Value, bytes_max: usize) -> Result<Vec<u8>> {
    check_digits(what, value)?;
    canonical(what, value, bytes_max)
}

/// A value as a realm would tell it: 1.0 is 1.
fn as_stored(what: &str, value: &Value) -> Result<Value> {
    json::parse(what, &as_sent(what, value, limits::ACTOR_STATE_BYTES_MAX)?)
}

/// Refuses what may have been an integer of more than 64 bits: YAML made a double of it, whatever its
/// last digits were.
fn check_digits(what: &str, value: &Value) -> Result<()> {
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(double) if double.abs() >= INTEGERS_END => Err(Error::invalid(format!(
                "{what}: number {number}: what is larger than 64 bits loses digits; write it as a \
                 string"
            ))),
            _ => Ok(()),
        },
        Value::Array(items) => items.iter().try_for_each(|item| check_digits(what, item)),
        Value::Object(fields) => fields.values().try_for_each(|field| check_digits(what, field)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scenario_is_read_with_its_lines() {
        let text = "actors:\n  bank/a: {}\n  bank/b:\n    state: {balance: 1.0}\n  \
                    bank/c: {state: 7, from-version: 0.1.0}\nsteps:\n\
                    - send: {pay: {to: bank/b, amount: 1e0}}\n  to: bank/a\n  state: null\n  \
                    sends:\n  - {to: bank/b}\n\n\
                    - {to: bank/b, contains: {balance: 2.0}}\n\
                    - {send: 1, to: bank/a, violation: no, letters: [{to: x, fails: y}], logs: [l]}\n";
        let scenario = Scenario::parse(Path::new("x"), text).unwrap();
        assert_eq!(scenario.steps.iter().map(|step| step.line).collect::<Vec<_>>(), [7, 13, 14]);
        let expected = [
            ("bank/a", Beginning::Init),
            ("bank/b", Beginning::State(br#"{"balance":1}"#.to_vec())),
            (
                "bank/c",
                Beginning::Migrated { state: b"7".to_vec(), from_version: "0.1.0".to_owned() },
            ),
        ];
        assert!(
            scenario
                .actors
                .iter()
                .map(|(id, actor)| (id.as_str(), &actor.begins))
                .eq(expected.iter().map(|(id, how)| (*id, how)))
        );
        assert_eq!(scenario.actors.values().map(|actor| actor.line).collect::<Vec<_>>(), [2, 4, 5]);
        let [first, second, third] = &scenario.steps[..] else { panic!() };
        let message = br#"{"pay":{"amount":1,"to":"bank/b"}}"#;
        assert_eq!(first.message.as_deref(), Some(&message[..]));
        assert_eq!(first.state, Some((Value::Null, Extent::Whole)));
        assert!(
            matches!(&first.expected, Expected::Handled { sends: Some(sends) } if sends == &json!([{"to": "bank/b"}]))
        );
        assert_eq!(second.message, None);
        assert_eq!(second.state, Some((json!({"balance": 2}), Extent::Part)));
        assert!(matches!(&third.expected, Expected::Violation(text) if text == "no"));
        assert_eq!((third.letters.len(), &third.logs[..]), (1, &["l".to_owned()][..]));
    }

    #[test]
    fn one_actor_needs_no_name() {
        let scenario = Scenario::parse(Path::new("x"), "steps: [{send: {}}]").unwrap();
        assert_eq!(scenario.steps[0].to, ONLY);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        let two = "actors: {a: , b: }\n";
        for (text, words) in [
            ("", "end of input"),
            ("steps: [{contains: {}}]", "every state"),
            ("steps: []", "no steps"),
            ("steps: {", "line 1"),
            ("steps:\n- sned: 1", "sned"),
            ("steps:\n\n- to: bob", "line 3: to: \"bob\" is none of"),
            ("steps:\n- {}", "sends nothing and expects nothing"),
            ("steps:\n- violation: x\n  state: 1", "a step with `send`"),
            ("steps:\n- {send: 1, violation: x, fails: y}", "a step with `send`"),
            ("steps:\n- {send: 1, violation: x, sends: []}", "a step with `send`"),
            ("steps:\n- {send: 1, state: 1, contains: 1}", "not both"),
            ("steps:\n- {send: {a: 1, a: 2}}", "a"),
            ("steps:\n- {send: 9007199254740993}", "line 2: send: number"),
            ("steps:\n- {send: .nan}", "line 2"),
            ("steps:\n- {send: 12345678901234567890123}", "line 2: send: number"),
            ("steps:\n- {send: [{a: -9223372036854775809}]}", "loses digits"),
            ("steps:\n- {contains: {a: 12345678901234567890123}}", "line 2: state: number"),
            ("actors: {a: {state: 1e+30}}\nsteps: [{send: 1}]", "state of a: number"),
            ("steps:\n- {contains: 1, logs: [never]}", "they want `send`"),
            ("steps:\n- {contains: 1, letters: []}", "they want `send`"),
            ("steps:\n- {send: 1, violation: ''}", "a part of the error"),
            ("steps:\n- {send: 1, fails: ''}", "a part of the error"),
            (&format!("steps:\n- {{send: {}}}", "x".repeat(65_535)), "limit of 65536 bytes"),
            (
                &format!("actors: {{a: {{state: {}}}}}\nsteps: [{{send: 1}}]", "x".repeat(524_287)),
                "state of a: 524289 bytes",
            ),
            ("actors: {a b: {}}\nsteps: [{send: 1}]", "not an actor id"),
            ("actors: {a: {from-version: '1'}}\nsteps: [{send: 1}]", "wants the state"),
            (&format!("{two}steps: [{{send: 1}}]"), "there are several"),
        ] {
            let message = Scenario::parse(Path::new("x"), text).unwrap_err().message;
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
