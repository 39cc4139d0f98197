//! `query:actor.state.v1` and `query:actor.list.v1`.

use super::{PAGE_MAX, need, on_actor, outcome, page_limit, read};
use crate::Realm;
use althing_machine::Machine;
use althing_operations::{
    GrantNeeded, Need, Operation,
    actor::{ShownActor, json as json_of},
};
use althing_protocol::{ACTOR, ActorId, ProgramId, Result, v1};
use althing_state::View;
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn state_query(realm: &Arc<Realm>) -> Operation {
    let realm = Arc::clone(realm);
    Operation::query(
        "query:actor.state.v1",
        "Reads the state of an actor, of now or after one of its steps.",
        on_actor("state"),
        |input: &StateInput| need("state", &input.actor),
        move |context, input| {
            read(Arc::clone(&realm), context, move |machine, view| state(machine, view, &input))
        },
    )
    .example(json!({"actor": "bank/alice"}))
}

/// An actor, and when.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StateInput {
    /// The actor's id.
    actor: String,
    /// The step after which it was so; the newest if absent.
    step: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct StateOutput {
    /// The actor, as it is now.
    info: ShownActor,
    /// The step that the state is of.
    step: u64,
    /// The state; absent when the realm does not keep it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Value>,
    /// The step from which a replay computes a state that is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_from: Option<u64>,
    /// BLAKE3 of the state as canonical JSON.
    hash: String,
    /// Index of the state of the realm that was read.
    index: u64,
}

fn state(machine: &Machine, view: &View, input: &StateInput) -> Result<StateOutput> {
    let found = machine.actor_state(view, &input.actor, input.step).map_err(outcome)?;
    let (state, replay_from) = match found.state {
        Ok(state) => (Some(json_of(&state).unwrap_or_default()), None),
        Err(from) => (None, Some(from)),
    };
    Ok(StateOutput {
        info: found.info.into(),
        step: found.step,
        state,
        replay_from,
        hash: HEXLOWER.encode(&found.hash),
        index: view.applied().index,
    })
}

pub(super) fn list_query(realm: &Arc<Realm>) -> Operation {
    let realm = Arc::clone(realm);
    Operation::query(
        "query:actor.list.v1",
        "Lists actors by id, a page at a time.",
        GrantNeeded::new(ACTOR, "list").at("under"),
        |input: &ListInput| match &input.under {
            Some(under) => need("list", under),
            None => Ok(Need::new(ACTOR, "list")),
        },
        move |context, input| {
            read(Arc::clone(&realm), context, move |machine, view| list(machine, view, &input))
        },
    )
    .example(json!({"program": "ledger", "limit": 10}))
}

/// A page of actors.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListInput {
    /// Those of this program.
    program: Option<String>,
    /// Those whose id is this or below it: whole segments.
    under: Option<String>,
    /// Those after this id: the last one of the page before.
    after: Option<String>,
    /// At most this many; 100 if absent, 1,000 at most.
    limit: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct ActorPage {
    /// By id.
    actors: Vec<ShownActor>,
    /// Whether there is more after the last one.
    more: bool,
    /// Index of the state of the realm that was read.
    index: u64,
}

fn list(machine: &Machine, view: &View, input: &ListInput) -> Result<ActorPage> {
    let limit = page_limit(input.limit, PAGE_MAX)?;
    let program = input.program.as_deref();
    program.map(ProgramId::new).transpose()?;
    let after = input.after.as_deref();
    after.map(ActorId::new).transpose()?;
    let (mut actors, mut below) = (Vec::new(), String::new());
    if let Some(under) = &input.under {
        // The one of exactly this id comes first, then those below it.
        below = format!("{under}/");
        let own = machine.actor_list(view, program, under, None, 1).map_err(outcome)?.items;
        let is_own = |info: &v1::ActorInfo| info.actor == *under && after.is_none();
        actors.extend(own.into_iter().filter(is_own));
    }
    // Those below come behind it in the order of ids, too.
    let after = after.filter(|after| *after >= below.as_str());
    let rest = limit - actors.len();
    let page = machine.actor_list(view, program, &below, after, rest.max(1)).map_err(outcome)?;
    let more = page.more || page.items.len() > rest;
    actors.extend(page.items.into_iter().take(rest));
    let actors = actors.into_iter().map(ShownActor::from).collect();
    Ok(ActorPage { actors, more, index: view.applied().index })
}
