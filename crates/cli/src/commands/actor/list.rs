//! `althing actor list` and `state`.

use super::{number, rows, shown, text, with_more};
use crate::{
    context::{Context, Remote},
    exit::Outcome,
    output::{self, fields, table},
};
use althing_protocol::{Error, Result};
use serde_json::{Value, json};

/// List actors, by id
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing actor list
  althing actor list ledger
  althing actor list --under bank")]
pub(crate) struct List {
    /// Those of this program
    program: Option<String>,
    /// Those whose id is this or below it: whole segments
    #[arg(long, value_name = "ID")]
    under: Option<String>,
    /// Those after this one
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// At most this many; 1,000 at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
}

/// Print an actor's state
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The last 32 states are kept. Older ones the history gives: althing actor replay ID --to STEP.
States that a migration or a rollback made are kept as long as the actor.

Examples:
  althing actor state bank/alice
  althing actor state bank/alice --step 3
  althing actor state bank/alice -v")]
pub(crate) struct State {
    /// The actor's id
    actor: String,
    /// The state after this step [default: the newest]
    #[arg(long, value_name = "STEP")]
    step: Option<u64>,
}

/// The actor and its state after `step`, where that is kept.
pub(super) async fn find(remote: &Remote, actor: &str, step: Option<u64>) -> Result<Value> {
    let mut input = json!({ "actor": actor });
    if let Some(step) = step {
        input["step"] = step.into();
    }
    remote.call("query:actor.state.v1", input).await
}

/// An actor, whatever is left of it.
pub(super) async fn info(remote: &Remote, actor: &str) -> Result<Value> {
    let input = json!({ "under": actor, "limit": 1 });
    let mut page = remote.call("query:actor.list.v1", input).await?;
    let first = page["actors"].as_array_mut().and_then(|actors| actors.pop());
    first.filter(|info| text(info, "actor") == actor).ok_or_else(|| {
        Error::not_found(format!("actor {actor}: does not exist; `althing actor list` shows them"))
    })
}

pub(super) async fn state(context: &Context, args: State) -> Outcome {
    let found = find(&context.remote().await?, &args.actor, args.step).await?;
    let Some(state) = found.get("state") else {
        return Err(not_kept(&args.actor, &found).into());
    };
    context.out.show(&found, || shown(state))?;
    if context.verbose() {
        let info = &found["info"];
        let pairs = [
            ("program", text(info, "program")),
            ("status", text(info, "status")),
            ("step", format!("{} of {}", number(&found, "step"), number(info, "step"))),
            ("hash", text(&found, "hash")),
            ("chain", text(info, "chain")),
            ("waiting", text(info, "waiting")),
        ];
        context.out.say(fields(&pairs))?;
    }
    Ok(())
}

fn not_kept(actor: &str, found: &Value) -> Error {
    let (step, from) = (number(found, "step"), number(found, "replay_from"));
    Error::not_found(format!(
        "state of actor {actor} after step {step}: is not kept any more; `althing actor replay {actor} \
         --from {from} --to {step}` computes it from the history"
    ))
}

pub(super) async fn list(context: &Context, args: List) -> Outcome {
    let input = json!({
        "program": args.program, "under": args.under, "after": args.after, "limit": args.limit,
    });
    let output = context.remote().await?.call("query:actor.list.v1", input).await?;
    context.out.show(&output, || {
        let row = |actor: &Value| {
            vec![
                text(actor, "actor"),
                text(actor, "program"),
                text(actor, "status"),
                output::number(number(actor, "step")),
                output::number(number(actor, "waiting")),
                output::size(number(actor, "state_bytes")),
            ]
        };
        let titles = ["ACTOR", "PROGRAM", "STATUS", "STEP", "WAITING", "STATE"];
        let none = "no actors; `althing actor spawn ID PROGRAM` makes one";
        with_more(table(&titles, rows(&output, "actors").iter().map(row), none), &output)
    })
}
