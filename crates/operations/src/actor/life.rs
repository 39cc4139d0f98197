//! Actors begin, go back, and end.

use super::{ActorInput, ShownActor, canonical, id, on_actor};
use crate::{Operation, sys::only_output};
use althing_protocol::{Error, ProgramId, Result, actor, limits, v1};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) fn actions() -> Vec<Operation> {
    vec![
        Operation::action(
            "action:actor.spawn.v1",
            "Makes an actor of a program; needs the grant spawn of the program at its id, too.",
            on_actor("spawn"),
            |input: SpawnInput| Ok(vec![actor::spawn(id(input.actor)?, program(input.program)?)]),
            info,
        )
        .example(json!({"actor": "bank/alice", "program": "ledger"})),
        Operation::action(
            "action:actor.stop.v1",
            "Lets an actor take no more messages; what waits for it becomes dead letters.",
            on_actor("stop"),
            |input: ActorInput| Ok(vec![actor::stop(id(input.actor)?)]),
            info,
        )
        .example(json!({"actor": "bank/alice"})),
        Operation::action(
            "action:actor.remove.v1",
            "Deletes a stopped actor with its history, a bounded number of keys at a time.",
            on_actor("remove"),
            |input: ActorInput| Ok(vec![actor::remove(id(input.actor)?)]),
            |outcomes| {
                let (index, removed): (_, v1::ActorRemoved) = only_output(outcomes)?;
                Ok(RemoveOutput { keys: removed.keys, more: removed.more, index })
            },
        )
        .example(json!({"actor": "bank/alice"})),
        Operation::action(
            "action:actor.rollback.v1",
            "Puts the state after an earlier step back; the history keeps both branches.",
            on_actor("rollback"),
            |input: RollbackInput| Ok(vec![actor::rollback(&rollback(input)?)]),
            info,
        )
        .example(json!({"actor": "bank/alice", "to": 2})),
    ]
}

/// A new actor.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SpawnInput {
    /// Its id: 1 to 128 of a-z A-Z 0-9 . - _, in segments parted by /.
    actor: String,
    /// The program that it is of.
    program: String,
}

/// An actor, and where it is to go back to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RollbackInput {
    /// The actor's id.
    actor: String,
    /// The step whose state is to return.
    to: u64,
    /// That state, where the realm does not keep it any more: it is compared with the hash in the
    /// history.
    #[serde(default, deserialize_with = "present")]
    state: Option<Value>,
}

/// A state may be `null`, which is another thing than none.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The actor, as it is after the entry.
#[derive(Serialize, JsonSchema)]
struct InfoOutput {
    #[serde(flatten)]
    actor: ShownActor,
    /// Index of the entry.
    index: u64,
}

#[derive(Serialize, JsonSchema)]
struct RemoveOutput {
    /// Keys deleted.
    keys: u64,
    /// Whether there are more, so that the actor is still there: remove it again.
    more: bool,
    /// Index of the entry.
    index: u64,
}

fn program(program: String) -> Result<String> {
    Ok(ProgramId::new(program)?.to_string())
}

fn rollback(input: RollbackInput) -> Result<v1::ActorRollback> {
    if input.to == 0 {
        return Err(Error::invalid("to 0: the first step of an actor is 1"));
    }
    let state = |state| canonical("state", &state, limits::ACTOR_STATE_BYTES_MAX);
    Ok(v1::ActorRollback {
        actor: id(input.actor)?,
        to: input.to,
        state: input.state.map(state).transpose()?,
    })
}

fn info(outcomes: &[v1::Outcome]) -> Result<InfoOutput> {
    let (index, done): (_, v1::ActorDone) = only_output(outcomes)?;
    Ok(InfoOutput { actor: done.info.unwrap_or_default().into(), index })
}
