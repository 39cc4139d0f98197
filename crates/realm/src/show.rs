//! Entries as JSON shows them, to people and to programs that follow the log.

use crate::{LogEntry, halt::internal};
use althing_operations::text;
use althing_protocol::{Batch, Error, Kind, Result, SYS, decode, v1};
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
    /// The args, if they are JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    /// The args in base64, if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args_base64: Option<String>,
    /// The key it writes, for single-key methods of `sys`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What it gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ShownOutcome>,
}

/// What an instruction gave.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownOutcome {
    /// Whether it succeeded.
    pub ok: bool,
    /// Kind of error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The error's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The output, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The output in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_base64: Option<String>,
    /// Topics of the events it emitted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Fuel used.
    pub fuel: u64,
    /// For a retry, the entry in which it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_in: Option<u64>,
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
        Some(v1::entry::Kind::Tick(_)) | None => shown.kind = "tick",
    }
    Ok(shown)
}

fn show_instructions(
    item: &LogEntry,
    instructions: Vec<v1::Instruction>,
) -> Result<Vec<ShownInstruction>> {
    let result = item.result.as_deref().map(v1::Result::decode).transpose().map_err(internal)?;
    let mut outcomes = result.unwrap_or_default().outcomes.into_iter();
    let shown = instructions.into_iter().map(|instruction| {
        let key = sys_key(&instruction);
        let (args, args_base64) = json_or_base64(&instruction.args);
        ShownInstruction {
            program: instruction.program_id,
            method: instruction.method,
            args,
            args_base64,
            key,
            outcome: outcomes.next().map(|outcome| show_outcome(item.index, outcome)),
        }
    });
    Ok(shown.collect())
}

fn sys_key(instruction: &v1::Instruction) -> Option<String> {
    if instruction.program_id != SYS {
        return None;
    }
    let args = instruction.args.as_slice();
    let key = match instruction.method.as_str() {
        "put" => v1::Put::decode(args).ok()?.key,
        "delete" => v1::Delete::decode(args).ok()?.key,
        "compare_and_swap" => v1::CompareAndSwap::decode(args).ok()?.key,
        _ => return None,
    };
    Some(String::from_utf8(key).unwrap_or_else(|e| e.as_bytes().escape_ascii().to_string()))
}

fn show_outcome(index: u64, outcome: v1::Outcome) -> ShownOutcome {
    let events = outcome.events.into_iter().map(|event| event.topic).collect();
    let decided_in = (outcome.index != index).then_some(outcome.index);
    let mut shown = ShownOutcome {
        ok: true,
        kind: None,
        message: None,
        output: None,
        output_base64: None,
        events,
        fuel: outcome.fuel,
        decided_in,
    };
    match outcome.result {
        Some(v1::outcome::Result::Failure(failure)) => {
            let error = Error::from(&failure);
            shown.ok = false;
            shown.kind = Some(Kind::name(error.kind));
            shown.message = Some(error.message);
        }
        Some(v1::outcome::Result::Output(output)) => {
            (shown.output, shown.output_base64) = json_or_base64(&output);
        }
        None => {}
    }
    shown
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
