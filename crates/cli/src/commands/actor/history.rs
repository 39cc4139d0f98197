//! `althing actor history` and `replay`.

use super::{
    letters::{sender, why},
    line,
    list::find,
    number, rows, shown, text,
};
use crate::{
    context::{Context, Remote},
    exit::{Outcome, Stop},
    output::{self, short, table},
};
use althing_protocol::{Kind, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

/// Characters of a message on a line.
const WIDTH: usize = 48;

/// Show the steps of an actor: what came, and what became of it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each step names the hashes of the state before and after, the component that ran and the entry of
the log, and is chained to the one before.

Examples:
  althing actor history bank/alice
  althing actor history bank/alice --after 100 --limit 50 --json")]
pub(crate) struct History {
    /// The actor's id
    actor: String,
    /// The steps after this one [default: the last ones]
    #[arg(long, value_name = "STEP")]
    after: Option<u64>,
    /// At most this many; 1,000 at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
}

/// Run an actor's history again, and compare every hash with what it says
///
/// With --to it prints the state after that step. The exit code is 1 at the first step that differs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing of the realm changes. Each step runs with the component of then, which the node must still
have: those that run, and the eight versions before. Where an older one is gone, --from begins
behind it.

Examples:
  althing actor replay bank/alice
  althing actor replay bank/alice --to 12
  althing actor replay bank/alice --from 900")]
pub(crate) struct Replay {
    /// The actor's id
    actor: String,
    /// Begin with this step; a state before it that is not kept is computed first [default: 1]
    #[arg(long, value_name = "STEP")]
    from: Option<u64>,
    /// End with this step [default: the newest]
    #[arg(long, value_name = "STEP")]
    to: Option<u64>,
}

pub(super) async fn history(context: &Context, args: History) -> Outcome {
    let input = json!({
        "actor": args.actor, "after": args.after, "limit": args.limit,
        "descending": args.after.is_none(),
    });
    let mut output = context.remote().await?.call("query:actor.history.v1", input).await?;
    if let (None, Some(steps)) = (args.after, output["steps"].as_array_mut()) {
        steps.reverse();
    }
    context.out.show(&output, || {
        let titles = ["STEP", "ENTRY", "TIME", "WHAT", "STATE", "RESULT"];
        let mut page = table(&titles, rows(&output, "steps").iter().map(row), "no steps");
        if output.get("more") == Some(&Value::Bool(true)) {
            page.push_str("\n(there are more: --limit, --after)");
        }
        page
    })
}

fn row(step: &Value) -> Vec<String> {
    let what = match text(step, "kind").as_str() {
        "message" => format!("{}  {}", sender(&step["from"]), line(&step["message"], WIDTH)),
        "rollback" => format!("back to step {}", number(step, "to")),
        "migrated" => format!("migrated from version {}", text(step, "from_version")),
        other => other.to_owned(),
    };
    let result = match (step.get("failure"), rows(step, "sends").len()) {
        (Some(failure), _) => why(failure),
        (None, 0) => "ok".to_owned(),
        (None, sent) => format!("ok, sent {sent}"),
    };
    vec![
        output::number(number(step, "step")),
        number(step, "index").to_string(),
        output::time(number(step, "timestamp_us")),
        what,
        short(&text(step, "after")).to_owned(),
        result,
    ]
}

/// What a replay came to.
pub(super) struct Replayed {
    /// Steps that ran, and agreed.
    pub(super) steps: u64,
    /// The first step that did not.
    pub(super) difference: Option<Value>,
    /// The state after the last step.
    pub(super) state: Option<Value>,
    /// The last step.
    pub(super) last: u64,
    /// The chain behind it, when it ends the history.
    pub(super) chain: Option<Value>,
}

/// Replays the steps from one to another, page by page: each page begins with the state that the one
/// before ended with. `state` is the one before the first step, where the realm does not keep it.
pub(super) async fn run(
    context: &Context,
    remote: &Remote,
    actor: &str,
    (from, to): (Option<u64>, Option<u64>),
    state: Option<Value>,
) -> Result<Replayed> {
    let bar = match context.out.json() {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(0).with_message(format!("replaying {actor}")),
    };
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {human_pos}/{human_len} steps")
    {
        bar.set_style(style);
    }
    let mut input = json!({ "actor": actor, "from": from, "to": to });
    if let Some(state) = state {
        input["state"] = state;
    }
    let mut steps = 0;
    loop {
        let page = remote.call("query:actor.replay.v1", input.clone()).await?;
        steps += number(&page, "steps");
        let last = number(&page, "last");
        bar.set_length(number(&page, "to").saturating_sub(from.unwrap_or(1)) + 1);
        bar.set_position(steps);
        let difference = page.get("first_difference").cloned();
        let state = page.get("state").cloned();
        match (page.get("next"), &state) {
            (Some(next), Some(state)) if difference.is_none() => {
                input["from"] = next.clone();
                input["state"] = state.clone();
            }
            _ => {
                bar.finish_and_clear();
                let chain = page.get("chain").cloned();
                return Ok(Replayed { steps, difference, state, last, chain });
            }
        }
    }
}

pub(super) async fn replay(context: &Context, args: Replay) -> Outcome {
    let remote = context.remote().await?;
    let steps = (args.from, args.to);
    let replayed = match run(context, &remote, &args.actor, steps, None).await {
        Err(error) if error.kind == Kind::NotFound => {
            let Some(from) = computed_from(&remote, &args).await else { return Err(error.into()) };
            let before = (Some(from), args.from.map(|from| from - 1));
            let first = run(context, &remote, &args.actor, before, None).await?;
            match first.difference {
                None => run(context, &remote, &args.actor, steps, first.state).await?,
                Some(_) => first,
            }
        }
        done => done?,
    };
    let agrees = replayed.difference.is_none();
    let mut document = json!({
        "actor": args.actor, "agrees": agrees, "steps": replayed.steps, "last": replayed.last,
        "first_difference": replayed.difference, "state": replayed.state,
    });
    if let Some(chain) = &replayed.chain {
        document["chain"] = chain.clone();
    }
    context.out.show(&document, || match &replayed.difference {
        Some(difference) => differs(&args.actor, difference),
        None => {
            let steps = output::counted(replayed.steps, "step");
            let mut verdict = format!("{}: {steps} replayed, every hash agrees", args.actor);
            if replayed.chain.is_some() {
                verdict += &format!("; the chain is {}", text(&document, "chain"));
            }
            match (args.to, &replayed.state) {
                (Some(_), Some(state)) => format!("{verdict}\n{}", shown(state)),
                _ => verdict,
            }
        }
    })?;
    if agrees { Ok(()) } else { Err(Stop::Refuted) }
}

/// The step from which a replay gives the state before the first one that is asked for, when it is that
/// state which is missing.
async fn computed_from(remote: &Remote, args: &Replay) -> Option<u64> {
    let before = args.from?.checked_sub(1)?;
    find(remote, &args.actor, Some(before)).await.ok()?.get("replay_from")?.as_u64()
}

/// The first step that is not as the history says.
pub(super) fn differs(actor: &str, difference: &Value) -> String {
    format!(
        "{actor}: step {} differs: {} is {} in the history, and {} when it runs again",
        number(difference, "step"),
        text(difference, "what"),
        text(difference, "recorded"),
        text(difference, "replayed"),
    )
}
