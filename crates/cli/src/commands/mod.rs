//! The commands, a file per group: their flags, the operations they call, how people see the answer.

pub(crate) mod actor;
pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod explain;
pub(crate) mod grant;
pub(crate) mod ingest;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod key;
pub(crate) mod kv;
pub(crate) mod leave;
pub(crate) mod lifecycle;
pub(crate) mod log;
pub(crate) mod members;
mod migration;
pub(crate) mod new;
pub(crate) mod ops;
mod prepare;
pub(crate) mod program;
pub(crate) mod programs;
pub(crate) mod repair;
pub(crate) mod role;
pub(crate) mod settings;
pub(crate) mod sign;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod test;
pub(crate) mod token;
pub(crate) mod up;

use crate::exit::{Outcome, Stop};
use althing_protocol::Error;
use serde_json::Value;
use std::io::{IsTerminal as _, Write as _, stderr, stdin};

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

/// Asks on the terminal; without one the flag is wanted.
pub(super) fn confirm(question: &str, flag: &str) -> Outcome {
    if !stdin().is_terminal() {
        return Err(Error::invalid(format!(
            "{question} There is no terminal to ask on; say {flag}"
        ))
        .into());
    }
    let mut answer = String::new();
    let asked = write!(stderr(), "{question} [y/N] ").and_then(|()| stdin().read_line(&mut answer));
    match asked {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Stop::Refuted),
    }
}
