//! `althing actor rollback`.

use super::{
    history::{differs, run},
    list::find,
    number, shown,
};
use crate::{context::Context, exit::Outcome, output};
use althing_protocol::{Error, Kind};
use serde_json::{Value, json};

/// Put the state after an earlier step back
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It becomes a step of its own, so the history keeps both branches. Messages that the actor sent since
then stay sent. A state that the realm does not keep any more is computed from the history first, as
long as the realm keeps the component that ran.

Examples:
  althing actor history bank/alice
  althing actor rollback bank/alice --to 3 --dry-run
  althing actor rollback bank/alice --to 3")]
pub(crate) struct Rollback {
    /// The actor's id
    actor: String,
    /// The step whose state is to return
    #[arg(long, value_name = "STEP")]
    to: u64,
    /// Only show the state of now and that of then; nobody asks whether the version that runs takes it
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn rollback(context: &Context, args: Rollback) -> Outcome {
    let remote = context.remote().await?;
    let then = find(&remote, &args.actor, Some(args.to)).await?;
    let kept = then.get("state").cloned();
    let given = match kept {
        Some(_) => None,
        None => Some(computed(context, &remote, &args, then["replay_from"].as_u64()).await?),
    };
    if args.dry_run {
        let now = find(&remote, &args.actor, None).await?;
        let (step, state) = (number(&now, "step"), now.get("state"));
        let document = json!({
            "actor": args.actor, "dry_run": true, "step": step, "to": args.to,
            "undone": step.saturating_sub(args.to), "now": state,
            "then": kept.as_ref().or(given.as_ref()),
        });
        return context.out.show(&document, || planned(&args, &document));
    }
    let mut input = json!({ "actor": args.actor, "to": args.to });
    if let Some(state) = given {
        input["state"] = state;
    }
    let output = remote.call("action:actor.rollback.v1", input).await?;
    context.out.show(&output, || {
        format!(
            "{}: the state of step {} is back, as step {}, entry {}",
            args.actor,
            args.to,
            number(&output, "step"),
            number(&output, "index")
        )
    })
}

/// The state of a step that is not kept: what the history gives when it runs again, from the last state
/// before it that is kept.
async fn computed(
    context: &Context,
    remote: &crate::context::Remote,
    args: &Rollback,
    from: Option<u64>,
) -> althing_protocol::Result<Value> {
    let replayed = run(context, remote, &args.actor, (from, Some(args.to)), None).await?;
    if let Some(difference) = &replayed.difference {
        return Err(Error::new(Kind::Conflict, differs(&args.actor, difference)));
    }
    replayed.state.ok_or_else(|| {
        Error::internal(format!("replay of {}: gave no state of step {}", args.actor, args.to))
    })
}

fn planned(args: &Rollback, document: &Value) -> String {
    let undone = output::counted(number(document, "undone"), "step");
    let (actor, to, step) = (&args.actor, args.to, number(document, "step"));
    format!(
        "{actor}: would go back from step {step} to step {to}, over {undone}\n\nnow\n{}\n\n\
         then\n{}",
        shown(&document["now"]),
        shown(&document["then"])
    )
}
