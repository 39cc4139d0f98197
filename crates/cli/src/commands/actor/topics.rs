//! `althing actor subscribe`, `unsubscribe`, `subscriptions`.

use super::{number, rows, text, with_more};
use crate::{context::Context, exit::Outcome, output::table, values::extract};
use althing_protocol::SYS;
use serde_json::{Map, Value, json};

/// The topic of `sys` that stands for changed keys.
const KV: &str = "kv";

/// Make messages to an actor of a program's events, or of keys that change
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The messages: {\"event\": {\"program\": .., \"topic\": .., \"index\": .., \"data\": ..}}. The data
of a key that changed is {\"key\": .., \"value\": ..}; of one that was deleted the value is null.
What is no text comes in base64, what is no JSON as data_text, and what is too long for a message
without its value, with \"truncated\": true. docs/formats.md has all of it.

Examples:
  althing actor subscribe home/heating --keys /readings
  althing actor subscribe shop/stats shop shop.sold")]
pub(crate) struct Subscribe {
    #[command(flatten)]
    topic: Topic,
}

/// End a subscription of an actor
#[derive(Debug, clap::Args)]
pub(crate) struct Unsubscribe {
    #[command(flatten)]
    topic: Topic,
}

/// List what an actor hears of
#[derive(Debug, clap::Args)]
pub(crate) struct Subscriptions {
    /// The actor's id
    actor: String,
}

#[derive(Debug, clap::Args)]
struct Topic {
    /// The actor's id
    actor: String,
    /// The program that emits the events
    #[arg(required_unless_present = "keys")]
    program: Option<String>,
    /// What the events are about
    #[arg(required_unless_present = "keys")]
    topic: Option<String>,
    /// Keys that change, under this prefix: whole segments
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["program", "topic"])]
    keys: Option<String>,
}

impl Topic {
    fn input(&self) -> Value {
        let mut input = Map::new();
        let (program, topic) = match &self.keys {
            Some(prefix) => {
                input.insert("prefix".into(), prefix.clone().into());
                (SYS, KV)
            }
            None => (
                self.program.as_deref().unwrap_or_default(),
                self.topic.as_deref().unwrap_or_default(),
            ),
        };
        input.insert("actor".into(), self.actor.clone().into());
        input.insert("program".into(), program.into());
        input.insert("topic".into(), topic.into());
        input.into()
    }

    fn named(&self) -> String {
        match &self.keys {
            Some(prefix) => format!("keys under {prefix}"),
            None => [self.program.as_deref(), self.topic.as_deref()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

pub(super) async fn subscribe(context: &Context, args: Subscribe) -> Outcome {
    let topic = args.topic;
    let output = context.remote().await?.call("action:actor.subscribe.v1", topic.input()).await?;
    context.out.show(&output, || {
        let entry = number(&output, "index");
        format!("{}: hears of {}, from entry {entry}", topic.actor, topic.named())
    })
}

pub(super) async fn unsubscribe(context: &Context, args: Unsubscribe) -> Outcome {
    let topic = args.topic;
    let output = context.remote().await?.call("action:actor.unsubscribe.v1", topic.input()).await?;
    context.out.show(&output, || {
        let entry = number(&output, "index");
        format!("{}: hears no more of {}, from entry {entry}", topic.actor, topic.named())
    })
}

pub(super) async fn subscriptions(context: &Context, args: Subscriptions) -> Outcome {
    let input = json!({ "actor": args.actor });
    let output = context.remote().await?.call("query:actor.subscriptions.v1", input).await?;
    context.out.show(&output, || {
        let row = |subscription: &Value| {
            let prefix = extract(subscription, "prefix").unwrap_or_default();
            vec![
                text(subscription, "program"),
                text(subscription, "topic"),
                crate::output::preview(&prefix, usize::MAX),
                text(subscription, "index"),
            ]
        };
        let titles = ["PROGRAM", "TOPIC", "KEYS", "SINCE"];
        let rows = rows(&output, "subscriptions").iter().map(row);
        with_more(table(&titles, rows, "no subscriptions"), &output)
    })
}
