//! Every `sys` instruction, and any instruction at all, as an operation.
//!
//! All of them are replicated actions, so all of them run on a node for its callers and in a
//! client that signs with its own key.

mod grants;
mod instructions;
mod kv;
mod members;
mod programs;

use crate::Operation;
use althing_protocol::{Error, Result, v1};
use prost::Message;
use schemars::JsonSchema;
use serde::Serialize;

/// The actions of `sys`.
pub fn actions() -> Vec<Operation> {
    let mut all = kv::actions();
    all.extend(grants::actions());
    all.extend(programs::actions());
    all.extend(members::actions());
    all.extend(instructions::actions());
    all
}

/// The output of an action that has nothing else to say.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Done {
    /// Index of the entry; a read `at-least` this sees it.
    index: u64,
}

pub(crate) fn done(outcomes: &[v1::Outcome]) -> Result<Done> {
    Ok(Done { index: only(outcomes)?.index })
}

/// The outcome of an action that makes one instruction.
pub(crate) fn only(outcomes: &[v1::Outcome]) -> Result<&v1::Outcome> {
    match outcomes {
        [outcome] => Ok(outcome),
        _ => Err(Error::internal(format!("one instruction has {} outcomes", outcomes.len()))),
    }
}

pub(crate) fn output(outcome: &v1::Outcome) -> &[u8] {
    match &outcome.result {
        Some(v1::outcome::Result::Output(bytes)) => bytes,
        _ => &[],
    }
}

/// The index and the decoded output of an action that makes one instruction.
pub(crate) fn only_output<M: Message + Default>(outcomes: &[v1::Outcome]) -> Result<(u64, M)> {
    let outcome = only(outcomes)?;
    let message = M::decode(output(outcome))
        .map_err(|e| Error::internal(format!("output of entry {}: {e}", outcome.index)))?;
    Ok((outcome.index, message))
}
