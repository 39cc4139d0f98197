//! What waits for an actor, and what could not be delivered: `query:actor.letters.v1`,
//! `query:actor.timers.v1`, `query:actor.subscriptions.v1`.

use super::{PAGE_MAX, internal, need, on_actor, outcome, page_limit, read};
use crate::Realm;
use althing_machine::Machine;
use althing_operations::{
    Need, Operation,
    actor::{ShownLetter, ShownSubscription, ShownTimer},
    text,
};
use althing_protocol::{ACTOR, Result, v1};
use althing_state::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

pub(super) fn letters_query(realm: &Arc<Realm>) -> Operation {
    let realm = Arc::clone(realm);
    Operation::query(
        "query:actor.letters.v1",
        "Lists messages that could not be delivered, and why.",
        on_actor("letters"),
        |input: &LettersInput| match &input.actor {
            Some(actor) => need("letters", actor),
            None => Ok(Need::new(ACTOR, "letters")),
        },
        move |context, input| {
            read(Arc::clone(&realm), context, move |machine, view| letters(machine, view, &input))
        },
    )
    .example(json!({"actor": "bank/alice"}))
}

/// A page of dead letters.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LettersInput {
    /// Those for this actor; all if absent.
    actor: Option<String>,
    /// Those behind the one with this number.
    after: Option<u64>,
    /// At most this many; 100 if absent, 1,000 at most.
    limit: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Letters {
    /// Oldest first.
    letters: Vec<ShownLetter>,
    /// Where to go on, when there may be more: those behind this one. Letters for others are passed
    /// over, so a page may be empty and not the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// Index of the state of the realm that was read.
    index: u64,
}

fn letters(machine: &Machine, view: &View, input: &LettersInput) -> Result<Letters> {
    let limit = page_limit(input.limit, PAGE_MAX)?;
    let page = machine.actor_letters(view, input.actor.as_deref(), input.after, limit);
    let page = page.map_err(internal)?;
    let letters = page.letters.into_iter().map(ShownLetter::from).collect();
    Ok(Letters { letters, next: page.next, index: view.applied().index })
}

pub(super) fn timers_query(realm: &Arc<Realm>) -> Operation {
    let realm = Arc::clone(realm);
    Operation::query(
        "query:actor.timers.v1",
        "Lists the timers of an actor, by name.",
        on_actor("timers"),
        |input: &TimersInput| need("timers", &input.actor),
        move |context, input| {
            read(Arc::clone(&realm), context, move |machine, view| timers(machine, view, &input))
        },
    )
    .example(json!({"actor": "home/heating"}))
}

/// A page of an actor's timers.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TimersInput {
    /// The actor's id.
    actor: String,
    /// Those after this name: the last one of the page before.
    after: Option<String>,
    /// At most this many; 100 if absent, 1,000 at most.
    limit: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Timers {
    timers: Vec<ShownTimer>,
    /// Whether there is more after the last one.
    more: bool,
    /// Index of the state of the realm that was read.
    index: u64,
}

fn timers(machine: &Machine, view: &View, input: &TimersInput) -> Result<Timers> {
    let limit = page_limit(input.limit, PAGE_MAX)?;
    machine.actor(view, &input.actor).map_err(outcome)?;
    let page = machine.actor_timers(view, &input.actor, input.after.as_deref(), limit);
    let page = page.map_err(internal)?;
    let timers = page.items.into_iter().map(ShownTimer::from).collect();
    Ok(Timers { timers, more: page.more, index: view.applied().index })
}

pub(super) fn subscriptions_query(realm: &Arc<Realm>) -> Operation {
    let realm = Arc::clone(realm);
    Operation::query(
        "query:actor.subscriptions.v1",
        "Lists what an actor hears of.",
        on_actor("subscriptions"),
        |input: &SubscriptionsInput| need("subscriptions", &input.actor),
        move |context, input| {
            let read_page =
                move |machine: &Machine, view: &View| subscriptions(machine, view, input);
            read(Arc::clone(&realm), context, read_page)
        },
    )
    .example(json!({"actor": "home/heating"}))
}

/// A page of what an actor hears of.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SubscriptionsInput {
    /// The actor's id.
    actor: String,
    /// Those after this one: the last one of the page before.
    after: Option<AfterTopic>,
    /// At most this many; 100 if absent, 1,000 at most.
    limit: Option<u64>,
}

/// A subscription, as a page shows it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AfterTopic {
    /// The program that emits.
    program: String,
    /// What the events are about.
    topic: String,
    /// The keys that count, as text.
    prefix: Option<String>,
    /// The same in base64.
    prefix_base64: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Subscriptions {
    subscriptions: Vec<ShownSubscription>,
    /// Whether there is more after the last one.
    more: bool,
    /// Index of the state of the realm that was read.
    index: u64,
}

fn subscriptions(
    machine: &Machine,
    view: &View,
    input: SubscriptionsInput,
) -> Result<Subscriptions> {
    let limit = page_limit(input.limit, PAGE_MAX)?;
    machine.actor(view, &input.actor).map_err(outcome)?;
    let topic = |after: AfterTopic| -> Result<v1::ActorTopic> {
        let prefix = text::optional_bytes("after.prefix", after.prefix, after.prefix_base64)?;
        Ok(v1::ActorTopic {
            actor: input.actor.clone(),
            program: after.program,
            topic: after.topic,
            prefix: prefix.unwrap_or_default(),
        })
    };
    let after = input.after.map(topic).transpose()?;
    let page = machine.actor_subscriptions(view, &input.actor, after.as_ref(), limit);
    let page = page.map_err(internal)?;
    let subscriptions = page.items.into_iter().map(ShownSubscription::from).collect();
    Ok(Subscriptions { subscriptions, more: page.more, index: view.applied().index })
}
