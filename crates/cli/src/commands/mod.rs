//! The commands, a file per group: their flags, the operations they call, how people see the answer.

pub(crate) mod completions;
pub(crate) mod grant;
pub(crate) mod ingest;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod kv;
pub(crate) mod log;
pub(crate) mod ops;
pub(crate) mod program;
pub(crate) mod role;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod up;

use serde_json::Value;

/// A text field of an operation's output; empty where there is none.
fn text(output: &Value, field: &str) -> String {
    match output.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A number of an operation's output; 0 where there is none.
fn number(output: &Value, field: &str) -> u64 {
    output.get(field).and_then(Value::as_u64).unwrap_or(0)
}

/// The rows of an operation's output.
fn rows<'a>(output: &'a Value, field: &str) -> &'a [Value] {
    output.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// JSON for people: a text as it is, anything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}
