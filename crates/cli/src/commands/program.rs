//! `althing call`, `query`, `logs`.

use super::{number, rows, shown, text};
use crate::{
    context::{Context, Remote},
    exit::Outcome,
    output::{self, fields},
    values::{self, Source},
};
use althing_protocol::{Error, Kind, ProgramId, Result, limits};
use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Call a method of a program, as an instruction in the log
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing call counter increment '{\"by\": 2}'
  althing call tagger set_rule @rule.json")]
pub(crate) struct Call {
    #[command(flatten)]
    method: Method,
}

/// Ask a program, without changing anything
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing query counter value
  althing query counter value --read local")]
pub(crate) struct Query {
    #[command(flatten)]
    method: Method,
}

#[derive(Debug, clap::Args)]
struct Method {
    /// The program
    program: String,
    /// The method
    method: String,
    #[arg(help = format!("The args as JSON: {}", values::HELP), allow_hyphen_values = true)]
    args: Option<Source>,
    /// Send the args as they are, whether or not they are JSON
    #[arg(long)]
    raw: bool,
}

/// Show what a program or an actor logged on this node
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A node keeps the last 1,000 lines of each program, since it started: those of all its actors
together.

Examples:
  althing logs counter --follow
  althing logs bank/alice")]
pub(crate) struct Logs {
    /// A program, or the id of an actor
    #[arg(value_name = "PROGRAM|ACTOR")]
    of: String,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// How many of the last lines
    #[arg(short = 'n', long, default_value_t = 100, value_name = "LINES")]
    lines: usize,
}

impl Method {
    fn input(&self) -> Result<Value> {
        let mut input = Map::new();
        input.insert("program".into(), self.program.clone().into());
        input.insert("method".into(), self.method.clone().into());
        match &self.args {
            Some(args) if self.raw => {
                let bytes = args.read(limits::INSTRUCTION_BYTES_MAX)?;
                input.insert("args_base64".into(), BASE64.encode(&bytes).into());
            }
            Some(args) => {
                input.insert("args".into(), args.read_json(limits::INSTRUCTION_BYTES_MAX)?);
            }
            None if self.raw => return Err(Error::invalid("--raw: there are no args")),
            None => {}
        }
        Ok(input.into())
    }
}

pub(crate) async fn call(context: &Context, args: Call) -> Outcome {
    let input = args.method.input()?;
    let output = context.remote().await?.call("action:program.call.v1", input).await?;
    given(context, &output)?;
    if context.verbose() {
        let pairs =
            [("index", text(&output, "index")), ("fuel", output::number(number(&output, "fuel")))];
        context.out.say(fields(&pairs))?;
        for event in rows(&output, "events") {
            context.out.say(format!("event  {}  {}", text(event, "topic"), text(event, "data")))?;
        }
    }
    Ok(())
}

pub(crate) async fn query(context: &Context, args: Query) -> Outcome {
    let input = args.method.input()?;
    let output = context.remote().await?.call("query:program.query.v1", input).await?;
    given(context, &output)
}

/// What a program gave: JSON for people, or its bytes as they are.
fn given(context: &Context, output: &Value) -> Outcome {
    if context.out.json() {
        return context.out.show(output, String::new);
    }
    match output.get("output") {
        Some(json) => context.out.show(output, || shown(json)),
        None => context.out.bytes(&values::extract(output, "output").unwrap_or_default()),
    }
}

pub(crate) async fn logs(context: &Context, args: Logs) -> Outcome {
    const POLL: Duration = Duration::from_millis(500);
    /// As many as a node keeps.
    const LINES_MAX: u64 = 1_000;
    let remote = context.remote().await?;
    let (operation, field) = logged_by(&remote, &args.of).await?;
    let mut input = json!({ field: args.of, "limit": LINES_MAX });
    let mut wanted = args.lines;
    loop {
        let output = remote.call(operation, input.clone()).await?;
        let lines = rows(&output, "lines");
        for line in &lines[lines.len().saturating_sub(wanted)..] {
            context.out.item(line, || {
                // The lines of one actor need not all say that they are.
                let actor = line.get("actor").and_then(Value::as_str).filter(|id| **id != args.of);
                format!(
                    "{:>8}  {:5}  {}{}",
                    number(line, "index"),
                    text(line, "level"),
                    actor.map(|id| format!("{id}: ")).unwrap_or_default(),
                    output::printable(&text(line, "text"))
                )
            })?;
        }
        if let Some(last) = lines.last() {
            input["after"] = number(last, "number").into();
        }
        if !args.follow {
            return Ok(());
        }
        wanted = usize::MAX;
        tokio::time::sleep(POLL).await;
    }
}

/// The operation that reads what `name` logged, and its field for the name. A program comes before an
/// actor of the same name.
async fn logged_by(remote: &Remote, name: &str) -> Result<(&'static str, &'static str)> {
    const ACTOR: (&str, &str) = ("query:actor.logs.v1", "actor");
    if ProgramId::new(name).is_err() {
        return Ok(ACTOR);
    }
    match remote.call("query:program.show.v1", json!({ "program": name })).await {
        Err(error) if error.kind == Kind::NotFound => Ok(ACTOR),
        // Who may read the log of a program need not see which programs there are.
        Ok(_) | Err(_) => Ok(("query:program.logs.v1", "program")),
    }
}
