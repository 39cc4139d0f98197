//! Messages to actors.

use super::{ShownOut, canonical, id, on_actor, shown::json};
use crate::{Operation, sys::only_output};
use althing_protocol::{Error, Result, actor, limits, v1};
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) fn actions() -> Vec<Operation> {
    let example = || json!({"actor": "bank/alice", "message": {"open": {"account": "alice"}}});
    vec![
        Operation::action(
            "action:actor.send.v1",
            "Puts a message into an actor's mailbox, and does not wait for what comes of it.",
            on_actor("send"),
            |input: MessageInput| {
                let (actor, message) = input.checked()?;
                Ok(vec![actor::send(actor, message)])
            },
            waiting,
        )
        .example(example()),
        Operation::action(
            "action:actor.request.v1",
            "Delivers a message to an actor; its new state and what it sent, or the contract that refused.",
            on_actor("request"),
            |input: MessageInput| {
                let (actor, message) = input.checked()?;
                Ok(vec![actor::request(actor, message)])
            },
            reply,
        )
        .example(example()),
        Operation::action(
            "action:actor.retry.v1",
            "Sends a dead letter again.",
            on_actor("retry"),
            |input: RetryInput| Ok(vec![actor::retry(id(input.actor)?, input.letter)]),
            waiting,
        )
        .example(json!({"actor": "bank/alice", "letter": 1})),
    ]
}

/// A message for an actor.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MessageInput {
    /// The actor's id.
    actor: String,
    /// Any JSON; 64 KiB at most.
    message: Value,
}

impl MessageInput {
    fn checked(self) -> Result<(String, Vec<u8>)> {
        Ok((id(self.actor)?, message(&self.message)?))
    }
}

pub(super) fn message(message: &Value) -> Result<Vec<u8>> {
    canonical("message", message, limits::ACTOR_MESSAGE_BYTES_MAX)
}

/// A dead letter.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RetryInput {
    /// The id of the actor that it was for.
    actor: String,
    /// Its number, as query:actor.letters.v1 shows it.
    letter: u64,
}

#[derive(Serialize, JsonSchema)]
struct WaitingOutput {
    /// Messages that wait for this actor, this one among them.
    waiting: u64,
    /// Index of the entry.
    index: u64,
}

#[derive(Serialize, JsonSchema)]
struct ReplyOutput {
    /// The step that it made.
    step: u64,
    /// The new state, unless it is too long for an outcome; query:actor.state.v1 has it then.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Value>,
    /// BLAKE3 of the new state as canonical JSON.
    state_hash: String,
    /// What the actor sent, in order.
    sends: Vec<ShownOut>,
    /// Fuel used.
    fuel: u64,
    /// The chain of the actor's history, after the step.
    chain: String,
    /// Index of the entry.
    index: u64,
}

fn waiting(outcomes: &[v1::Outcome]) -> Result<WaitingOutput> {
    let (index, sent): (_, v1::ActorSent) = only_output(outcomes)?;
    Ok(WaitingOutput { waiting: sent.waiting, index })
}

fn reply(outcomes: &[v1::Outcome]) -> Result<ReplyOutput> {
    let (index, reply): (_, v1::ActorReply) = only_output(outcomes)?;
    let step = reply
        .step
        .ok_or_else(|| Error::internal(format!("output of entry {index}: has no step")))?;
    Ok(ReplyOutput {
        step: step.step,
        state: reply.state.as_deref().and_then(json),
        state_hash: HEXLOWER.encode(&step.after),
        sends: reply.sends.into_iter().map(ShownOut::from).collect(),
        fuel: step.fuel,
        chain: HEXLOWER.encode(&reply.chain),
        index,
    })
}
