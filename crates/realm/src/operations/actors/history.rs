//! `query:actor.history.v1` and `query:actor.replay.v1`.

use super::{PAGE_MAX, need, on_actor, outcome, page_limit, present, read};
use crate::Realm;
use althing_machine::Machine;
use althing_operations::{
    Context, Operation,
    actor::{ShownStep, canonical, json as json_of},
};
use althing_protocol::{Result, limits};
use althing_state::{Order, View};
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn history_query(realm: &Arc<Realm>) -> Operation {
    let realm = Arc::clone(realm);
    Operation::query(
        "query:actor.history.v1",
        "Lists the steps of an actor, a page at a time.",
        on_actor("history"),
        |input: &HistoryInput| need("history", &input.actor),
        move |context, input| {
            read(Arc::clone(&realm), context, move |machine, view| history(machine, view, &input))
        },
    )
    .example(json!({"actor": "bank/alice", "after": 100}))
}

/// A page of a history.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HistoryInput {
    /// The actor's id.
    actor: String,
    /// Steps behind this one: the last one of the page before.
    after: Option<u64>,
    /// The newest step first.
    #[serde(default)]
    descending: bool,
    /// At most this many; 100 if absent, 1,000 at most.
    limit: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct HistoryPage {
    steps: Vec<ShownStep>,
    /// Whether there is more after the last one.
    more: bool,
    /// The newest step.
    last: u64,
    /// Hash chain over all steps.
    chain: String,
    /// Index of the state of the realm that was read.
    index: u64,
}

fn history(machine: &Machine, view: &View, input: &HistoryInput) -> Result<HistoryPage> {
    let limit = page_limit(input.limit, PAGE_MAX)?;
    let info = machine.actor(view, &input.actor).map_err(outcome)?;
    let order = if input.descending { Order::Descending } else { Order::Ascending };
    let page = machine.actor_history(view, &input.actor, input.after, order, limit);
    let page = page.map_err(outcome)?;
    Ok(HistoryPage {
        steps: page.items.into_iter().map(ShownStep::from).collect(),
        more: page.more,
        last: info.step,
        chain: HEXLOWER.encode(&info.chain),
        index: view.applied().index,
    })
}

pub(super) fn replay_query(realm: &Arc<Realm>) -> Operation {
    let realm = Arc::clone(realm);
    Operation::query(
        "query:actor.replay.v1",
        "Runs steps of an actor's history again and compares every hash, some of them at a time.",
        on_actor("replay"),
        |input: &ReplayInput| need("replay", &input.actor),
        move |context, input| replay(Arc::clone(&realm), context, input),
    )
    .example(json!({"actor": "bank/alice"}))
}

/// Steps to run again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReplayInput {
    /// The actor's id.
    actor: String,
    /// The first step; 1 if absent.
    from: Option<u64>,
    /// The last step; the newest if absent.
    to: Option<u64>,
    /// The state before the first step, where the realm does not keep it: it is compared with the hash
    /// in the history.
    #[serde(default, deserialize_with = "present")]
    state: Option<Value>,
}

#[derive(Serialize, JsonSchema)]
struct Replayed {
    /// Steps that ran and agreed.
    steps: u64,
    /// The last one of them.
    last: u64,
    /// The last one that was asked for.
    to: u64,
    /// The first thing that does not agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_difference: Option<Difference>,
    /// Where to go on, with `state`: there was more than is done at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// The state after the last step.
    state: Value,
    /// The chain of the history, when all of it agreed to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
    /// Index of the state of the realm that was read.
    index: u64,
}

#[derive(Serialize, JsonSchema)]
struct Difference {
    /// The step.
    step: u64,
    /// What of it.
    what: String,
    /// As the history has it.
    recorded: String,
    /// As it came out now.
    replayed: String,
}

async fn replay(realm: Arc<Realm>, context: Context, input: ReplayInput) -> Result<Replayed> {
    let state = |state: &Value| canonical("state", state, limits::ACTOR_STATE_BYTES_MAX);
    let state = input.state.as_ref().map(state).transpose()?;
    let view = realm.view(context.read).await?;
    let core = Arc::clone(&realm.core);
    let run = move |deadline| {
        let (machine, actor, from) =
            (&realm.core.machine, input.actor.as_str(), input.from.unwrap_or(1));
        let info = machine.actor(&view, actor).map_err(outcome)?;
        let done = machine.actor_replay(&view, actor, from, input.to, state, deadline);
        let done = done.map_err(outcome)?;
        let is_whole = done.difference.is_none() && done.step == info.step;
        Ok(Replayed {
            steps: done.steps,
            last: done.step,
            to: input.to.unwrap_or(info.step),
            first_difference: done.difference.map(|found| Difference {
                step: found.step,
                what: found.what,
                recorded: found.recorded,
                replayed: found.replayed,
            }),
            next: done.next,
            state: json_of(&done.state).unwrap_or_default(),
            chain: is_whole.then(|| HEXLOWER.encode(&info.chain)),
            index: view.applied().index,
        })
    };
    core.queries.run(run).await
}
