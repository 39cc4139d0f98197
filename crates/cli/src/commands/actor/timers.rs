//! `althing actor send-at`, `send-every`, `cancel`, `timers`.

use super::{line, message, message_help, number, rows, text, with_more};
use crate::{
    context::Context,
    exit::Outcome,
    output::{self, table},
    values::{self, Source},
};
use althing_protocol::{Error, Result};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Characters of a message on a line.
const WIDTH: usize = 60;

/// Send a message to an actor at a time, by the clock of the log
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A timer of the same name is replaced. Who sets it must still hold the grant when it is due.

Examples:
  althing actor send-at home/heating night 2026-12-24T22:00:00Z '{\"target\": 17}'
  althing actor send-at home/heating soon +90s '{\"target\": 21}'")]
pub(crate) struct SendAt {
    /// The actor's id
    actor: String,
    /// The timer's name
    timer: String,
    /// When: a time in UTC, or +DURATION from now
    #[arg(value_name = "TIME|+DURATION", value_parser = moment)]
    at: SystemTime,
    #[arg(help = message_help(), allow_hyphen_values = true)]
    message: Source,
}

/// Send a message to an actor again and again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Those that are missed, because no node ran, come once. A timer of the same name is replaced.

Examples:
  althing actor send-every home/heating check 1m '{\"check\": {}}'
  althing actor send-every home/report daily 1day '{}' --first 2026-12-24T06:00:00Z")]
pub(crate) struct SendEvery {
    /// The actor's id
    actor: String,
    /// The timer's name
    timer: String,
    /// How often: 500ms, 90s, 12h
    #[arg(value_parser = values::duration, value_name = "DURATION")]
    period: Duration,
    #[arg(help = message_help(), allow_hyphen_values = true)]
    message: Source,
    /// When first [default: one period from now]
    #[arg(long, value_name = "TIME|+DURATION", value_parser = moment)]
    first: Option<SystemTime>,
}

/// End a timer of an actor
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The actor's id
    actor: String,
    /// The timer's name
    timer: String,
}

/// List the timers of an actor
#[derive(Debug, clap::Args)]
pub(crate) struct Timers {
    /// The actor's id
    actor: String,
    /// Those after this one
    #[arg(long, value_name = "TIMER")]
    after: Option<String>,
    /// At most this many; 1,000 at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
}

/// A time on the command line: as it is, or so long from now.
fn moment(text: &str) -> Result<SystemTime, String> {
    let found = match text.strip_prefix('+') {
        Some(lifetime) => SystemTime::now().checked_add(values::duration(lifetime)?),
        None => humantime::parse_rfc3339_weak(text).ok(),
    };
    found.ok_or_else(|| "no time; write 2026-12-24T18:00:00Z, or +90s from now".to_owned())
}

fn us(moment: SystemTime) -> Result<u64> {
    let since = moment.duration_since(UNIX_EPOCH).ok();
    since
        .and_then(|since| u64::try_from(since.as_micros()).ok())
        .ok_or_else(|| Error::invalid("time: is before 1970, or too far off"))
}

pub(super) async fn send_at(context: &Context, args: SendAt) -> Outcome {
    let at_us = us(args.at)?;
    let input = json!({
        "actor": args.actor, "timer": args.timer, "at_us": at_us,
        "message": message(&args.message)?,
    });
    let output = context.remote().await?.call("action:actor.send_at.v1", input).await?;
    context.out.show(&output, || {
        format!("{}: timer {} at {}", args.actor, args.timer, output::time(at_us))
    })
}

pub(super) async fn send_every(context: &Context, args: SendEvery) -> Outcome {
    let period_us = u64::try_from(args.period.as_micros()).unwrap_or(u64::MAX);
    let mut input = json!({
        "actor": args.actor, "timer": args.timer, "period_us": period_us,
        "message": message(&args.message)?,
    });
    if let Some(first) = args.first {
        input["first_us"] = us(first)?.into();
    }
    let output = context.remote().await?.call("action:actor.send_every.v1", input).await?;
    context.out.show(&output, || {
        let period = humantime::format_duration(args.period);
        format!("{}: timer {} every {period}", args.actor, args.timer)
    })
}

pub(super) async fn cancel(context: &Context, args: Cancel) -> Outcome {
    let input = json!({ "actor": args.actor, "timer": args.timer });
    let output = context.remote().await?.call("action:actor.cancel.v1", input).await?;
    context.out.show(&output, || {
        let entry = number(&output, "index");
        format!("{}: timer {} ended, entry {entry}", args.actor, args.timer)
    })
}

pub(super) async fn timers(context: &Context, args: Timers) -> Outcome {
    let input = json!({ "actor": args.actor, "after": args.after, "limit": args.limit });
    let output = context.remote().await?.call("query:actor.timers.v1", input).await?;
    context.out.show(&output, || {
        let row = |timer: &Value| {
            let every = match number(timer, "period_us") {
                0 => "once".to_owned(),
                us => humantime::format_duration(Duration::from_micros(us)).to_string(),
            };
            let due = output::time(number(timer, "due_us"));
            vec![text(timer, "timer"), due, every, line(&timer["message"], WIDTH)]
        };
        let titles = ["TIMER", "NEXT", "EVERY", "MESSAGE"];
        with_more(table(&titles, rows(&output, "timers").iter().map(row), "no timers"), &output)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_as_it_is_or_from_now() {
        assert_eq!(
            moment("1970-01-01T00:00:01Z").and_then(|at| us(at).map_err(|e| e.message)),
            Ok(1_000_000)
        );
        let now = SystemTime::now();
        let soon = moment("+90s").unwrap_or(now);
        assert!(soon >= now + Duration::from_secs(90) && soon < now + Duration::from_secs(120));
        for text in ["", "+", "90s", "tomorrow", "+9999999999999999999y", "2026-13-01T00:00:00Z"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
