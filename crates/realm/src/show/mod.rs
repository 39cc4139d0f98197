//! Entries as JSON shows them, to people and to programs that follow the log.

mod actor;
mod explain;
mod members;
mod sys;

pub(crate) use explain::show_explanation;
pub use explain::{
    BytesShown, CallShown, ChangeShown, DeliveryShown, GrantShown, InstructionShown, LogShown,
    ShownExplanation,
};

use crate::{LogEntry, halt::internal};
use althing_operations::text;
use althing_protocol::{ACTOR, Batch, Error, Kind, Result, SYS, decode, v1};
use data_encoding::HEXLOWER;
use prost::Message;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// An entry, for people and programs that read JSON.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownEntry {
    /// Its index.
    pub index: u64,
    /// Term of the leader that proposed it.
    pub term: u64,
    /// `signed`, `tick`, `checkpoint`, or `engine` for the consensus engine's own.
    pub kind: &'static str,
    /// When it was proposed, in microseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_us: Option<u64>,
    /// Who signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The author's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// Sequence number of the first instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// What was to be done, and what it gave.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<ShownInstruction>,
    /// What a tick gave, when it has something to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ShownOutcome>,
    /// What a checkpoint says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<ShownCheckpoint>,
}

/// An instruction and its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownInstruction {
    /// The program.
    pub program: String,
    /// Its method.
    pub method: String,
    /// The args, if they are JSON; those of native programs are shown as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    /// The args in base64, if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args_base64: Option<String>,
    /// What it gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ShownOutcome>,
}

/// What an instruction gave.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownOutcome {
    /// Index of the entry in which it ran: for a retry, the first one.
    pub index: u64,
    /// Whether it succeeded.
    pub ok: bool,
    /// Kind of error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The error's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When to try again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The output, if it is JSON; that of native programs is shown as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The output in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_base64: Option<String>,
    /// What it emitted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<ShownEvent>,
    /// Fuel used.
    pub fuel: u64,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownEvent {
    /// Who emitted it.
    pub program: String,
    /// What it is about.
    pub topic: String,
    /// The data, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The data, if it is text and not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_text: Option<String>,
    /// The data in base64, if it is neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

/// The values of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownCheckpoint {
    /// The entry they hold after.
    pub index: u64,
    /// Chain over entries.
    pub entry_chain: String,
    /// Chain over results.
    pub result_chain: String,
    /// Hash of the state.
    pub state_hash: String,
}

/// An entry as JSON shows it.
///
/// # Errors
/// `internal` when the log of this node is malformed.
pub fn show_entry(item: &LogEntry) -> Result<ShownEntry> {
    let mut shown = ShownEntry {
        index: item.index,
        term: item.term,
        kind: "engine",
        timestamp_us: None,
        author: None,
        session: None,
        sequence: None,
        instructions: Vec::new(),
        outcome: None,
        checkpoint: None,
    };
    let Some(bytes) = &item.entry else { return Ok(shown) };
    let entry: v1::Entry = decode("entry", bytes).map_err(internal)?;
    shown.timestamp_us = Some(entry.timestamp_us);
    match entry.kind {
        Some(v1::entry::Kind::Signed(signed)) => {
            shown.kind = "signed";
            let batch = Batch::decode(&signed.envelope.unwrap_or_default()).map_err(internal)?;
            shown.author = Some(batch.author.to_string());
            (shown.session, shown.sequence) = (Some(batch.session), Some(batch.sequence));
            shown.instructions = show_instructions(item, batch.instructions)?;
        }
        Some(v1::entry::Kind::Checkpoint(checkpoint)) => {
            shown.kind = "checkpoint";
            shown.checkpoint = Some(ShownCheckpoint {
                index: checkpoint.index,
                entry_chain: HEXLOWER.encode(&checkpoint.entry_chain),
                result_chain: HEXLOWER.encode(&checkpoint.result_chain),
                state_hash: HEXLOWER.encode(&checkpoint.state_hash),
            });
        }
        Some(v1::entry::Kind::Tick(_)) | None => {
            shown.kind = "tick";
            let outcome = outcomes(item)?.next();
            shown.outcome =
                outcome.map(|outcome| show_outcome(&v1::Instruction::default(), outcome));
        }
    }
    Ok(shown)
}

fn show_instructions(
    item: &LogEntry,
    instructions: Vec<v1::Instruction>,
) -> Result<Vec<ShownInstruction>> {
    let mut outcomes = outcomes(item)?;
    let shown = instructions.into_iter().map(|instruction| {
        let outcome = outcomes.next().map(|outcome| show_outcome(&instruction, outcome));
        let (args, args_base64) = show_args(&instruction);
        let v1::Instruction { program_id, method, .. } = instruction;
        ShownInstruction { program: program_id, method, args, args_base64, outcome }
    });
    Ok(shown.collect())
}

fn outcomes(item: &LogEntry) -> Result<impl Iterator<Item = v1::Outcome>> {
    let result = item.result.as_deref().map(v1::Result::decode).transpose().map_err(internal)?;
    Ok(result.unwrap_or_default().outcomes.into_iter())
}

/// The outcome of `instruction` as JSON shows it.
pub fn show_outcome(instruction: &v1::Instruction, outcome: v1::Outcome) -> ShownOutcome {
    let mut shown = ShownOutcome {
        index: outcome.index,
        ok: true,
        kind: None,
        message: None,
        retry_after_ms: None,
        output: None,
        output_base64: None,
        events: outcome.events.into_iter().map(show_event).collect(),
        fuel: outcome.fuel,
    };
    match outcome.result {
        Some(v1::outcome::Result::Failure(failure)) => {
            let error = Error::from(&failure);
            shown.ok = false;
            shown.kind = Some(Kind::name(error.kind));
            shown.message = Some(error.message);
            shown.retry_after_ms = error.retry_after_ms;
        }
        Some(v1::outcome::Result::Output(output)) => {
            (shown.output, shown.output_base64) = show_output(instruction, &output);
        }
        None => {}
    }
    shown
}

/// An event as JSON shows it.
pub fn show_event(event: v1::Event) -> ShownEvent {
    let v1::Event { program, topic, data } = event;
    let json = serde_json::from_slice(&data).ok();
    let (data_text, data_base64) = match json.is_some() || data.is_empty() {
        true => (None, None),
        false => text::text_or_base64(data),
    };
    ShownEvent { program, topic, data: json, data_text, data_base64 }
}

/// The args of `instruction`: those of native programs are messages, the others are shown as they are.
fn show_args(instruction: &v1::Instruction) -> (Option<Value>, Option<String>) {
    let (method, args) = (&instruction.method, &instruction.args);
    let shown = match instruction.program_id.as_str() {
        SYS => sys::args(method, args),
        ACTOR => actor::args(method, args),
        _ => None,
    };
    shown.map_or_else(|| json_or_base64(args), |args| (Some(args), None))
}

/// What `instruction` gave, likewise.
fn show_output(instruction: &v1::Instruction, output: &[u8]) -> (Option<Value>, Option<String>) {
    let method = &instruction.method;
    let shown = match instruction.program_id.as_str() {
        SYS => sys::output(method, output),
        ACTOR => actor::output(method, output),
        _ => None,
    };
    shown.map_or_else(|| json_or_base64(output), |output| (Some(output), None))
}

fn json_or_base64(bytes: &[u8]) -> (Option<Value>, Option<String>) {
    if bytes.is_empty() {
        return (None, None);
    }
    match serde_json::from_slice(bytes) {
        Ok(json) => (Some(json), None),
        Err(_) => (None, Some(text::encode_base64(bytes))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::{RealmId, SecretKey, sign};
    use serde_json::json;

    fn logged(kind: v1::entry::Kind, outcomes: Vec<v1::Outcome>) -> LogEntry {
        let entry = v1::Entry { timestamp_us: 5, seed: vec![0; 16], kind: Some(kind) };
        let result = v1::Result { outcomes, writes: Vec::new() };
        LogEntry {
            index: 9,
            term: 2,
            entry: Some(entry.encode_to_vec().into()),
            result: Some(result.encode_to_vec()),
        }
    }

    fn shown(entry: &LogEntry) -> Value {
        serde_json::to_value(show_entry(entry).unwrap()).unwrap()
    }

    #[test]
    fn a_signed_entry_shows_what_was_asked_and_what_it_gave() {
        let key = SecretKey::from_seed(&[1; 32]);
        let instructions = vec![
            althing_protocol::sys::put("/a", vec![0xff]),
            v1::Instruction::new("counter", "add", b"{\"by\":2}".to_vec()),
        ];
        let author = key.public();
        let batch =
            Batch { realm: RealmId([0; 32]), author, session: 3, sequence: 4, instructions };
        let envelope = Some(sign(&key, batch));
        let written = v1::Written { revision: Some(v1::Revision { create: 9, modify: 9 }) };
        let event = v1::Event {
            program: "counter".into(),
            topic: "added".into(),
            data: b"no json".to_vec(),
        };
        let outcomes = vec![
            v1::Outcome {
                index: 9,
                result: Some(v1::outcome::Result::Output(written.encode_to_vec())),
                ..Default::default()
            },
            v1::Outcome {
                index: 9,
                result: Some(v1::outcome::Result::Failure((&Error::conflict("no")).into())),
                events: vec![event],
                fuel: 12,
            },
        ];
        let signed = v1::entry::Kind::Signed(v1::Signed { envelope });
        let expected = json!({
            "index": 9, "term": 2, "timestamp_us": 5, "kind": "signed",
            "author": author.to_string(), "session": 3, "sequence": 4,
            "instructions": [
                {"program": "sys", "method": "put", "args": {"key": "/a", "value_base64": "/w=="},
                 "outcome": {"index": 9, "ok": true, "output": {"create": 9, "modify": 9}, "fuel": 0}},
                {"program": "counter", "method": "add", "args": {"by": 2},
                 "outcome": {"index": 9, "ok": false, "kind": "conflict", "message": "no", "fuel": 12,
                     "events": [{"program": "counter", "topic": "added", "data_text": "no json"}]}},
            ],
        });
        assert_eq!(shown(&logged(signed, outcomes)), expected);
    }

    #[test]
    fn entries_without_an_author_have_a_kind() {
        let tick = logged(v1::entry::Kind::Tick(v1::Tick {}), Vec::new());
        assert_eq!(shown(&tick), json!({"index": 9, "term": 2, "timestamp_us": 5, "kind": "tick"}));
        let event = v1::Event {
            program: "sys".into(),
            topic: "program.activated".into(),
            data: b"p".into(),
        };
        let outcome = v1::Outcome {
            index: 9,
            result: Some(v1::outcome::Result::Output(Vec::new())),
            events: vec![event],
            fuel: 12,
        };
        let told = logged(v1::entry::Kind::Tick(v1::Tick {}), vec![outcome]);
        let event = json!({"program": "sys", "topic": "program.activated", "data_text": "p"});
        let outcome = json!({"index": 9, "ok": true, "events": [event], "fuel": 12});
        assert_eq!(shown(&told)["outcome"], outcome);
        let own = LogEntry { entry: None, result: None, ..tick };
        assert_eq!(shown(&own), json!({"index": 9, "term": 2, "kind": "engine"}));
    }
}
