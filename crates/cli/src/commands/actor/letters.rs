//! `althing actor letters` and `retry`: messages that could not be delivered.

use super::{line, number, rows, text, with_more};
use crate::{
    context::Context,
    exit::Outcome,
    output::{preview, table},
};
use serde_json::{Value, json};

/// Characters of a message, and of a reason, on a line.
const WIDTH: usize = 48;

/// List messages that could not be delivered, and why
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing actor letters
  althing actor letters bank/alice --json")]
pub(crate) struct Letters {
    /// Those for this actor
    actor: Option<String>,
    /// Those after the one with this number
    #[arg(long, value_name = "LETTER")]
    after: Option<u64>,
    /// At most this many; 1,000 at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
}

/// Send a message again that could not be delivered
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    /// The id of the actor that it was for
    actor: String,
    /// Its number, as `althing actor letters` shows it
    letter: u64,
}

pub(super) async fn letters(context: &Context, args: Letters) -> Outcome {
    let remote = context.remote().await?;
    let mut input = json!({ "actor": args.actor, "after": args.after });
    let mut letters = Vec::new();
    // A page may hold letters for others only, and not be the last.
    let more = loop {
        input["limit"] = (args.limit - letters.len() as u64).into();
        let page = remote.call("query:actor.letters.v1", input.clone()).await?;
        letters.extend_from_slice(rows(&page, "letters"));
        match page.get("next") {
            Some(_) if letters.len() as u64 >= args.limit => break true,
            Some(next) => input["after"] = next.clone(),
            None => break false,
        }
    };
    let output = json!({ "letters": letters, "more": more });
    context.out.show(&output, || {
        let row = |letter: &Value| {
            vec![
                text(letter, "letter"),
                text(letter, "actor"),
                sender(&letter["from"]),
                line(&letter["message"], WIDTH),
                text(letter, "index"),
                why(&letter["failure"]),
            ]
        };
        let titles = ["LETTER", "FOR", "FROM", "MESSAGE", "ENTRY", "WHY"];
        with_more(table(&titles, rows(&output, "letters").iter().map(row), "no letters"), &output)
    })
}

/// Who sent a message, in a word.
pub(super) fn sender(from: &Value) -> String {
    match text(from, "kind").as_str() {
        "key" => format!("key:{}", crate::output::short(&text(from, "key"))),
        "actor" => text(from, "actor"),
        "timer" => format!("timer {}", text(from, "timer")),
        "topic" => format!("{} {}", text(from, "program"), text(from, "topic")),
        _ => String::new(),
    }
}

/// A failure, on a line.
pub(super) fn why(failure: &Value) -> String {
    let message = text(failure, "message");
    format!("{}: {}", text(failure, "kind"), preview(message.as_bytes(), 2 * WIDTH))
}

pub(super) async fn retry(context: &Context, args: Retry) -> Outcome {
    let input = json!({ "actor": args.actor, "letter": args.letter });
    let output = context.remote().await?.call("action:actor.retry.v1", input).await?;
    context.out.show(&output, || {
        format!("{}: letter {} sent, entry {}", args.actor, args.letter, number(&output, "index"))
    })
}
