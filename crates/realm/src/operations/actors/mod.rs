//! Actors: their states, their history, and what waits for them.

mod history;
mod programs;
mod states;
mod waiting;

use super::{blocking, page_limit};
use crate::{Realm, halt::internal};
use althing_machine::{Fault, Machine};
use althing_operations::{Context, GrantNeeded, Need, Operation};
use althing_protocol::{ACTOR, ActorId, Error, Result};
use althing_state::View;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::sync::Arc;

/// Items of one page.
const PAGE_MAX: usize = 1_000;

pub(super) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    vec![
        states::state_query(realm),
        states::list_query(realm),
        history::history_query(realm),
        history::replay_query(realm),
        waiting::letters_query(realm),
        waiting::timers_query(realm),
        waiting::subscriptions_query(realm),
        programs::upgrade_query(realm),
        programs::describe_query(realm),
        programs::logs_query(realm),
    ]
}

fn on_actor(method: &str) -> GrantNeeded {
    GrantNeeded::new(ACTOR, method).at("actor")
}

fn need(method: &str, actor: &str) -> Result<Need> {
    ActorId::new(actor)?;
    Ok(Need::new(ACTOR, method).at(actor))
}

fn outcome(fault: Fault) -> Error {
    match fault {
        Fault::Outcome(error) => error,
        Fault::Halt(halt) => internal(halt),
    }
}

/// Reads a view as fresh as the caller wants it, off the reactor.
async fn read<T: Send + 'static>(
    realm: Arc<Realm>,
    context: Context,
    read: impl FnOnce(&Machine, &View) -> Result<T> + Send + 'static,
) -> Result<T> {
    let view = realm.view(context.read).await?;
    blocking(move || read(&realm.core.machine, &view)).await
}

/// A state may be `null`, which is another thing than none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
