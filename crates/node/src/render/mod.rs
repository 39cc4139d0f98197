//! An entry of the log as JSON, for people and scripts. The bytes themselves are in gRPC's `Log`.

mod sys;

use althing_operations::text::text_or_base64;
use althing_protocol::{Batch, Error, Hash, Result, SYS, v1};
use althing_realm::LogEntry;
use prost::Message;
use serde_json::{Map, Value, json};

/// One entry: index, term, kind, what was asked and what it gave.
pub(crate) fn entry(logged: &LogEntry) -> Result<Value> {
    let mut line = Map::new();
    line.insert("index".into(), logged.index.into());
    line.insert("term".into(), logged.term.into());
    let Some(bytes) = &logged.entry else {
        line.insert("kind".into(), "consensus".into());
        return Ok(line.into());
    };
    let damaged = |what: &str, error: prost::DecodeError| {
        Error::internal(format!("{what} {} of the log: {error}", logged.index))
    };
    let entry = v1::Entry::decode(bytes.as_ref()).map_err(|e| damaged("entry", e))?;
    line.insert("timestamp_us".into(), entry.timestamp_us.into());
    let instructions = kind(&mut line, entry.kind)?;
    if let Some(result) = &logged.result {
        let result = v1::Result::decode(result.as_slice()).map_err(|e| damaged("result", e))?;
        let mut shown = instructions.iter();
        let outcomes = result.outcomes.iter().map(|each| outcome(shown.next(), each));
        line.insert("outcomes".into(), outcomes.collect());
    }
    Ok(line.into())
}

/// Outcomes of an envelope whose instructions are known.
pub(crate) fn outcomes(instructions: &[v1::Instruction], outcomes: &[v1::Outcome]) -> Value {
    let mut shown = instructions.iter();
    outcomes.iter().map(|each| outcome(shown.next(), each)).collect()
}

/// An event, without its place.
pub(crate) fn event(event: &v1::Event) -> Value {
    let mut shown = Map::new();
    shown.insert("program".into(), event.program.as_str().into());
    shown.insert("topic".into(), event.topic.as_str().into());
    put_bytes(&mut shown, "data", &event.data);
    shown.into()
}

fn kind(
    line: &mut Map<String, Value>,
    kind: Option<v1::entry::Kind>,
) -> Result<Vec<v1::Instruction>> {
    match kind {
        Some(v1::entry::Kind::Signed(signed)) => {
            let batch = Batch::decode(&signed.envelope.unwrap_or_default())?;
            line.insert("kind".into(), "signed".into());
            line.insert("author".into(), batch.author.to_string().into());
            line.insert("session".into(), batch.session.into());
            line.insert("sequence".into(), batch.sequence.into());
            let shown = batch.instructions.iter().map(instruction);
            line.insert("instructions".into(), shown.collect());
            return Ok(batch.instructions);
        }
        Some(v1::entry::Kind::Tick(_)) => {
            line.insert("kind".into(), "tick".into());
        }
        Some(v1::entry::Kind::Checkpoint(checkpoint)) => {
            line.insert("kind".into(), "checkpoint".into());
            line.insert("checkpoint".into(), shown_checkpoint(&checkpoint)?);
        }
        None => {
            line.insert("kind".into(), "empty".into());
        }
    }
    Ok(Vec::new())
}

fn shown_checkpoint(checkpoint: &v1::Checkpoint) -> Result<Value> {
    let hash = |bytes: &[u8]| Hash::try_from(bytes).map(|hash| hash.to_string());
    Ok(json!({
        "index": checkpoint.index,
        "entry_chain": hash(&checkpoint.entry_chain)?,
        "result_chain": hash(&checkpoint.result_chain)?,
        "state_hash": hash(&checkpoint.state_hash)?,
        "signatures": checkpoint.signatures.len(),
    }))
}

fn instruction(instruction: &v1::Instruction) -> Value {
    let mut shown = Map::new();
    shown.insert("program".into(), instruction.program_id.as_str().into());
    shown.insert("method".into(), instruction.method.as_str().into());
    let native = (instruction.program_id == SYS)
        .then(|| sys::args(&instruction.method, &instruction.args))
        .flatten();
    match native {
        Some(args) => drop(shown.insert("args".into(), args)),
        None => put_bytes(&mut shown, "args", &instruction.args),
    }
    shown.into()
}

fn outcome(instruction: Option<&v1::Instruction>, outcome: &v1::Outcome) -> Value {
    let mut shown = Map::new();
    shown.insert("index".into(), outcome.index.into());
    match &outcome.result {
        Some(v1::outcome::Result::Output(output)) => {
            let native = instruction
                .filter(|instruction| instruction.program_id == SYS)
                .and_then(|instruction| sys::output(&instruction.method, output));
            match native {
                Some(output) => drop(shown.insert("output".into(), output)),
                None => put_bytes(&mut shown, "output", output),
            }
        }
        Some(v1::outcome::Result::Failure(failure)) => {
            drop(shown.insert("error".into(), error(&failure.into())));
        }
        None => {}
    }
    if !outcome.events.is_empty() {
        shown.insert("events".into(), outcome.events.iter().map(event).collect());
    }
    if outcome.fuel > 0 {
        shown.insert("fuel".into(), outcome.fuel.into());
    }
    shown.into()
}

/// An error as every surface shows it.
pub(crate) fn error(error: &Error) -> Value {
    let mut shown = Map::new();
    shown.insert("kind".into(), error.kind.name().into());
    shown.insert("message".into(), error.message.as_str().into());
    if let Some(ms) = error.retry_after_ms {
        shown.insert("retry_after_ms".into(), ms.into());
    }
    shown.into()
}

/// `name` as JSON if the bytes are that, `name_text` if they are text, else `name_base64`.
fn put_bytes(shown: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        shown.insert(name.into(), value);
        return;
    }
    match text_or_base64(bytes.to_vec()) {
        (Some(text), _) => shown.insert(format!("{name}_text"), text.into()),
        (None, base64) => shown.insert(format!("{name}_base64"), base64.into()),
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::{RealmId, SecretKey, sign};

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

    #[test]
    fn a_signed_entry_shows_what_was_asked_and_what_it_gave() {
        let key = SecretKey::from_seed(&[1; 32]);
        let batch = Batch {
            realm: RealmId([0; 32]),
            author: key.public(),
            session: 3,
            sequence: 4,
            instructions: vec![
                althing_protocol::sys::put("/a", vec![0xff]),
                v1::Instruction::new("counter", "add", b"{\"by\":2}".to_vec()),
            ],
        };
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
        let line =
            entry(&logged(v1::entry::Kind::Signed(v1::Signed { envelope }), outcomes)).unwrap();
        assert_eq!(
            line,
            json!({
                "index": 9, "term": 2, "timestamp_us": 5, "kind": "signed",
                "author": key.public().to_string(), "session": 3, "sequence": 4,
                "instructions": [
                    {"program": "sys", "method": "put",
                     "args": {"key": "/a", "value_base64": "/w=="}},
                    {"program": "counter", "method": "add", "args": {"by": 2}},
                ],
                "outcomes": [
                    {"index": 9, "output": {"create": 9, "modify": 9}},
                    {"index": 9, "error": {"kind": "conflict", "message": "no"}, "fuel": 12,
                     "events": [{"program": "counter", "topic": "added", "data_text": "no json"}]},
                ],
            })
        );
    }

    #[test]
    fn entries_without_an_author_have_a_kind() {
        let tick = logged(v1::entry::Kind::Tick(v1::Tick {}), Vec::new());
        assert_eq!(entry(&tick).unwrap()["kind"], "tick");
        let own = LogEntry { entry: None, result: None, ..tick };
        assert_eq!(entry(&own).unwrap(), json!({"index": 9, "term": 2, "kind": "consensus"}));
    }
}
