//! `althing actor spawn`, `stop`, `remove`.

use super::{super::confirm, list, number, text};
use crate::{context::Context, exit::Outcome, output};
use serde_json::{Value, json};

/// Make an actor of a program
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Its first state is what the program's `init` returns, if the state contract agrees with it.

Examples:
  althing actor spawn bank/alice ledger")]
pub(crate) struct Spawn {
    /// Its id: 1 to 128 of a-z A-Z 0-9 . - _, in segments parted by /
    actor: String,
    /// The program that it is of
    program: String,
}

/// Let an actor take no more messages
///
/// Its state and its history stay; `remove` deletes them. What waits for it becomes dead letters.
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    /// The actor's id
    actor: String,
}

/// Delete a stopped actor with its state and its history
#[derive(Debug, clap::Args)]
#[command(after_help = "\
There is no way back but a snapshot. Dead letters that were for it stay.

Examples:
  althing actor stop bank/alice
  althing actor remove bank/alice --dry-run
  althing actor remove bank/alice --yes")]
pub(crate) struct Remove {
    /// The actor's id
    actor: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn spawn(context: &Context, args: Spawn) -> Outcome {
    let input = json!({ "actor": args.actor, "program": args.program });
    let output = context.remote().await?.call("action:actor.spawn.v1", input).await?;
    context.out.show(&output, || {
        let entry = number(&output, "index");
        format!("{}: an actor of {}, from entry {entry}", args.actor, args.program)
    })
}

pub(super) async fn stop(context: &Context, args: Stop) -> Outcome {
    let input = json!({ "actor": args.actor });
    let output = context.remote().await?.call("action:actor.stop.v1", input).await?;
    context.out.show(&output, || {
        format!("{}: takes no more messages, from entry {}", args.actor, number(&output, "index"))
    })
}

pub(super) async fn remove(context: &Context, args: Remove) -> Outcome {
    let remote = context.remote().await?;
    let info = &list::info(&remote, &args.actor).await?;
    let may = text(info, "status") != "running";
    let what = format!(
        "actor {} of {} with its state of {} and {} of history",
        args.actor,
        text(info, "program"),
        output::size(number(info, "state_bytes")),
        output::counted(number(info, "step"), "step"),
    );
    if args.dry_run {
        let document = json!({ "dry_run": true, "info": info });
        return context.out.show(&document, || match may {
            true => format!("would delete {what}"),
            false => {
                format!(
                    "would delete {what}, once it is stopped: althing actor stop {}",
                    args.actor
                )
            }
        });
    }
    // One that runs is refused by the realm, which says what to do: nobody need be asked.
    if may && !args.yes {
        confirm(&format!("Delete {what}?"), "--yes")?;
    }
    let mut keys = 0;
    // An instruction deletes some of the keys. When this ends early, removing again goes on.
    loop {
        let input = json!({ "actor": args.actor });
        let removed = remote.call("action:actor.remove.v1", input).await?;
        keys += number(&removed, "keys");
        if removed.get("more") != Some(&Value::Bool(true)) {
            break;
        }
    }
    let document = json!({ "actor": args.actor, "keys": keys });
    context.out.show(&document, || format!("{}: deleted", args.actor))
}
