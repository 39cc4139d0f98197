//! What is arranged for actors, as JSON shows it: timers, subscriptions and upgrades.

use super::shown::{ShownFailure, hex, json};
use crate::text::text_or_base64;
use althing_protocol::v1;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// A timer of an actor.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownTimer {
    /// The actor's id.
    pub actor: String,
    /// The timer's name.
    pub timer: String,
    /// When it sends next, in microseconds since the Unix epoch.
    pub due_us: u64,
    /// Microseconds between two messages; absent when it sends one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_us: Option<u64>,
    /// What it sends.
    pub message: Value,
    /// Public key of who set it.
    pub author: String,
    /// Index of the entry that set it.
    pub index: u64,
}

impl From<v1::ActorTimer> for ShownTimer {
    fn from(timer: v1::ActorTimer) -> Self {
        Self {
            actor: timer.actor,
            timer: timer.timer,
            due_us: timer.due_us,
            period_us: (timer.period_us > 0).then_some(timer.period_us),
            message: json(&timer.message).unwrap_or_default(),
            author: hex(&timer.author),
            index: timer.index,
        }
    }
}

/// What an actor hears of.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownSubscription {
    /// The actor's id.
    pub actor: String,
    /// The program that emits; sys with the topic kv stands for keys that change.
    pub program: String,
    /// What the events are about.
    pub topic: String,
    /// The keys that count, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The same in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_base64: Option<String>,
    /// Public key of who subscribed.
    pub author: String,
    /// Index of the entry that did.
    pub index: u64,
}

impl From<v1::ActorSubscription> for ShownSubscription {
    fn from(subscription: v1::ActorSubscription) -> Self {
        let topic = subscription.topic.unwrap_or_default();
        let (prefix, prefix_base64) = match topic.prefix.is_empty() {
            true => (None, None),
            false => text_or_base64(topic.prefix),
        };
        Self {
            actor: topic.actor,
            program: topic.program,
            topic: topic.topic,
            prefix,
            prefix_base64,
            author: hex(&subscription.author),
            index: subscription.index,
        }
    }
}

/// How far the actors of a program are with its versions.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownUpgrade {
    /// The program's id.
    pub program: String,
    /// How many actors it has.
    pub actors: u64,
    /// Counts the upgrades that changed its version.
    pub generation: u32,
    /// The upgrade that goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<ShownUpgrading>,
    /// How the last one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<ShownUpgraded>,
}

/// An upgrade that goes on: its actors wait.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownUpgrading {
    /// BLAKE3 of the component that is to take over.
    pub image: String,
    /// Its version.
    pub version: String,
    /// Index of the entry that began it.
    pub index: u64,
    /// Actors whose states are migrated already.
    pub migrated: u64,
}

/// How an upgrade ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownUpgraded {
    /// BLAKE3 of the component that was to take over.
    pub image: String,
    /// Index of the entry that ended it.
    pub index: u64,
    /// Actors whose states were migrated.
    pub migrated: u64,
    /// Why nothing was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<ShownFailure>,
    /// The actor for whose sake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

impl From<v1::ActorProgram> for ShownUpgrade {
    fn from(program: v1::ActorProgram) -> Self {
        let upgrade = program.upgrade.map(|upgrade| {
            let image = upgrade.image.unwrap_or_default();
            ShownUpgrading {
                image: hex(&image.image),
                version: image.manifest.unwrap_or_default().version,
                index: upgrade.index,
                migrated: upgrade.migrated,
            }
        });
        let last = program.last.map(|last| ShownUpgraded {
            image: hex(&last.image),
            index: last.index,
            migrated: last.migrated,
            failure: last.failure.map(ShownFailure::from),
            actor: Some(last.actor).filter(|actor| !actor.is_empty()),
        });
        Self {
            program: program.program,
            actors: program.actors,
            generation: program.generation,
            upgrade,
            last,
        }
    }
}
