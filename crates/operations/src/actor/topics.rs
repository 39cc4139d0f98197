//! Events that become messages.

use super::{id, on_actor};
use crate::{Operation, sys::done, text};
use althing_protocol::{Error, Result, SYS, actor, limits, v1};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// The topic of `sys` that stands for changed keys.
const KV: &str = "kv";

pub(super) fn actions() -> Vec<Operation> {
    let example =
        || json!({"actor": "home/heating", "program": SYS, "topic": KV, "prefix": "/readings"});
    vec![
        Operation::action(
            "action:actor.subscribe.v1",
            "Makes messages to an actor of a program's events, or of keys that change.",
            on_actor("subscribe"),
            |input: TopicInput| Ok(vec![actor::subscribe(&topic(input)?)]),
            done,
        )
        .example(example()),
        Operation::action(
            "action:actor.unsubscribe.v1",
            "Ends a subscription of an actor.",
            on_actor("unsubscribe"),
            |input: TopicInput| Ok(vec![actor::unsubscribe(&topic(input)?)]),
            done,
        )
        .example(example()),
    ]
}

/// An actor, and what it is to hear of.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TopicInput {
    /// The actor's id.
    actor: String,
    /// The program that emits the events; sys with the topic kv stands for keys that change.
    program: String,
    /// What the events are about.
    topic: String,
    /// With sys and kv: the keys under it, whole segments, as text; all keys if absent.
    prefix: Option<String>,
    /// The prefix, in base64.
    prefix_base64: Option<String>,
}

fn topic(input: TopicInput) -> Result<v1::ActorTopic> {
    let prefix = text::optional_bytes("prefix", input.prefix, input.prefix_base64)?;
    if prefix.is_some() && (input.program.as_str(), input.topic.as_str()) != (SYS, KV) {
        return Err(Error::invalid(format!(
            "prefix: only keys of program {SYS} with the topic {KV} have one; leave it out"
        )));
    }
    if !(1..=limits::TOPIC_BYTES_MAX).contains(&input.topic.len()) {
        return Err(Error::invalid(format!(
            "topic: {} bytes; wants 1 to {}",
            input.topic.len(),
            limits::TOPIC_BYTES_MAX
        )));
    }
    Ok(v1::ActorTopic {
        actor: id(input.actor)?,
        program: input.program,
        topic: input.topic,
        prefix: prefix.unwrap_or_default(),
    })
}
