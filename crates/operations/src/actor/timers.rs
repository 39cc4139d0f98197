//! Messages that the log's clock sends.

use super::{id, messages::message, on_actor};
use crate::{Operation, sys::done};
use althing_protocol::{Error, Result, actor, limits, v1};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) fn actions() -> Vec<Operation> {
    vec![
        Operation::action(
            "action:actor.send_at.v1",
            "Sends a message to an actor at a time, by the log's clock.",
            on_actor("send_at"),
            |input: SendAtInput| Ok(vec![actor::send_at(&send_at(input)?)]),
            done,
        )
        .example(json!({
            "actor": "home/heating", "timer": "night", "at_us": 1_900_000_000_000_000_u64,
            "message": {"target": 17},
        })),
        Operation::action(
            "action:actor.send_every.v1",
            "Sends a message to an actor again and again; what is missed comes once.",
            on_actor("send_every"),
            |input: SendEveryInput| Ok(vec![actor::send_every(&send_every(input)?)]),
            done,
        )
        .example(json!({
            "actor": "home/heating", "timer": "check", "period_us": 60_000_000,
            "message": {"check": {}},
        })),
        Operation::action(
            "action:actor.cancel.v1",
            "Ends a timer of an actor.",
            on_actor("cancel"),
            |input: CancelInput| Ok(vec![actor::cancel(id(input.actor)?, timer(input.timer)?)]),
            done,
        )
        .example(json!({"actor": "home/heating", "timer": "check"})),
    ]
}

/// A message, and when it is to be sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SendAtInput {
    /// The actor's id.
    actor: String,
    /// The timer's name: of an actor's timers the one with this name is replaced.
    timer: String,
    /// When, in microseconds since the Unix epoch. What lies in the past is sent at once.
    at_us: u64,
    /// Any JSON; 64 KiB at most.
    message: Value,
}

/// A message, and how often it is to be sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SendEveryInput {
    /// The actor's id.
    actor: String,
    /// The timer's name: of an actor's timers the one with this name is replaced.
    timer: String,
    /// When first, in microseconds since the Unix epoch; one period from now if absent.
    first_us: Option<u64>,
    /// Microseconds between two of them; at least 100,000.
    period_us: u64,
    /// Any JSON; 64 KiB at most.
    message: Value,
}

/// Names a timer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CancelInput {
    /// The actor's id.
    actor: String,
    /// The timer's name.
    timer: String,
}

fn timer(name: String) -> Result<String> {
    if (1..=limits::ACTOR_TIMER_BYTES_MAX).contains(&name.len()) {
        return Ok(name);
    }
    Err(Error::invalid(format!(
        "timer: a name of {} bytes; wants 1 to {}",
        name.len(),
        limits::ACTOR_TIMER_BYTES_MAX
    )))
}

fn send_at(input: SendAtInput) -> Result<v1::ActorSendAt> {
    Ok(v1::ActorSendAt {
        actor: id(input.actor)?,
        timer: timer(input.timer)?,
        at_us: input.at_us,
        message: message(&input.message)?,
    })
}

fn send_every(input: SendEveryInput) -> Result<v1::ActorSendEvery> {
    if input.period_us < limits::ACTOR_PERIOD_US_MIN {
        return Err(Error::invalid(format!(
            "period_us {}: too short; wants at least {}",
            input.period_us,
            limits::ACTOR_PERIOD_US_MIN
        )));
    }
    Ok(v1::ActorSendEvery {
        actor: id(input.actor)?,
        timer: timer(input.timer)?,
        first_us: input.first_us.unwrap_or(0),
        period_us: input.period_us,
        message: message(&input.message)?,
    })
}
