//! `althing explain`: an entry, run again and told step by step.

use super::{number, rows, text};
use crate::{
    context::Context,
    exit::{Outcome, Stop},
    output::{self, preview, printable},
};
use serde_json::{Value, json};

/// Characters of an argument, a result or a value on a line.
const WIDTH: usize = 72;

/// Run an entry again on a copy of the state, and show what it did step by step
///
/// The state before the entry is made again from the log, which takes as long as it takes to run what
/// lies between. Nothing of the realm changes. The exit code is 1 when the result is not the one that
/// the node recorded.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing explain 42
  althing explain 90210 --snapshot before-upgrade
  althing explain 42 --json")]
pub(crate) struct Args {
    /// Index of the entry
    index: u64,
    /// Start from this snapshot of the node [default: the nearest before the entry, or genesis]
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let remote = context.patient_remote().await?;
    let input = json!({ "index": args.index, "snapshot": args.snapshot });
    let told = remote.call("query:log.explain.v1", input).await?;
    context.out.show(&told, || page(&told))?;
    match told.get("agrees") {
        Some(Value::Bool(false)) => Err(Stop::Refuted),
        _ => Ok(()),
    }
}

fn page(told: &Value) -> String {
    let from = match number(told, "replayed_from") {
        0 => "genesis".to_owned(),
        index => format!("the snapshot of entry {index}"),
    };
    let mut lines = vec![format!("entry {}, run again from {from}", text(told, "index"))];
    if told.get("refused").is_some() {
        lines.extend(["".to_owned(), format!("refused  {}", text(told, "refused"))]);
    }
    for instruction in rows(told, "instructions") {
        lines.push(String::new());
        self::instruction(&mut lines, instruction);
    }
    let deliveries = rows(told, "deliveries");
    if !deliveries.is_empty() {
        lines.extend(["".to_owned(), "delivered to actors".to_owned()]);
        lines.extend(deliveries.iter().map(delivery));
    }
    let logs = rows(told, "logs");
    if !logs.is_empty() {
        lines.extend(["".to_owned(), "logged".to_owned()]);
        let who = |line: &Value| match text(line, "actor") {
            none if none.is_empty() => text(line, "program"),
            actor => actor,
        };
        let of = |line: &Value| (who(line), text(line, "level"), text(line, "text"));
        lines.extend(
            logs.iter().map(of).map(|(program, level, line)| {
                format!("  {program}  {level:5}  {}", printable(&line))
            }),
        );
    }
    lines.push(String::new());
    verdict(&mut lines, told);
    lines.join("\n")
}

fn instruction(lines: &mut Vec<String>, told: &Value) {
    let args = format!("{}{}", text(told, "args"), text(told, "args_base64"));
    let name = format!("{}/{}", text(told, "program"), text(told, "method"));
    lines.push(format!("{name}  {}", preview(args.as_bytes(), WIDTH)));
    lines.push(format!(
        "  author   {}  session {}, number {}",
        text(told, "author"),
        text(told, "session"),
        text(told, "sequence")
    ));
    for grant in rows(told, "grants") {
        let given = format!("{}/{}", text(grant, "program"), text(grant, "method"));
        let prefix = match text(grant, "prefix") {
            empty if empty.is_empty() => empty,
            prefix => format!(" under {prefix}"),
        };
        lines.push(format!(
            "  granted  {}  by {given}{prefix} for {}",
            printable(&text(grant, "need")),
            text(grant, "subject")
        ));
    }
    if told.get("ran") == Some(&Value::Bool(false)) {
        lines.push("  did not run: it was refused, or was decided before".to_owned());
    }
    section(
        lines,
        "asked of the host",
        rows(told, "calls"),
        number(told, "calls_dropped"),
        |l, c| {
            call(l, c, 2);
        },
    );
    let dropped = number(told, "writes_dropped");
    section(lines, "changed", rows(told, "writes"), dropped, change);
    outcome(lines, &told["outcome"]);
}

/// What became of a message, on a line.
fn delivery(told: &Value) -> String {
    let actor = text(told, "actor");
    let Some(step) = told.get("step") else {
        return format!("  {actor}  not delivered: {}", failed(&told["failure"]));
    };
    let message = preview(text(step, "message").as_bytes(), WIDTH);
    let became = match step.get("failure").or_else(|| told.get("failure")) {
        Some(failure) => failed(failure),
        None => format!("ok, sent {}", rows(step, "sends").len()),
    };
    let fuel = output::number(number(step, "fuel"));
    format!("  {actor}  step {}  {message}  fuel {fuel}  {became}", number(step, "step"))
}

fn failed(failure: &Value) -> String {
    format!("{}: {}", text(failure, "kind"), printable(&text(failure, "message")))
}

fn section(
    lines: &mut Vec<String>,
    title: &str,
    items: &[Value],
    dropped: u64,
    show: fn(&mut Vec<String>, &Value),
) {
    if items.is_empty() {
        return;
    }
    lines.push(format!("  {title}"));
    items.iter().for_each(|item| show(lines, item));
    if dropped > 0 {
        lines.push(format!("    and {} more", output::number(dropped)));
    }
}

fn call(lines: &mut Vec<String>, told: &Value, depth: usize) {
    let args = rows(told, "args").iter().map(|arg| {
        let of = |at: usize| arg.get(at).and_then(Value::as_str).unwrap_or_default();
        format!("{}={}", of(0), of(1))
    });
    let args = args.collect::<Vec<_>>().join(", ");
    let result = match text(told, "result") {
        empty if empty.is_empty() => empty,
        result => format!(" = {}", preview(result.as_bytes(), WIDTH)),
    };
    let granted = match text(told, "granted_to") {
        empty if empty.is_empty() => empty,
        grant => format!("  granted by {grant}"),
    };
    lines.push(format!(
        "{:indent$}{}({}){result}  fuel {}{granted}",
        "",
        text(told, "function"),
        printable(&args),
        output::number(number(told, "fuel")),
        indent = depth * 2
    ));
    rows(told, "calls").iter().for_each(|inner| call(lines, inner, depth + 1));
}

fn change(lines: &mut Vec<String>, told: &Value) {
    let side = |name| told.get(name).map_or_else(|| "nothing".to_owned(), bytes);
    lines.push(format!(
        "    {} {}: {} -> {}",
        text(told, "keyspace"),
        bytes(&told["key"]),
        side("old"),
        side("new")
    ));
}

/// Bytes on a line: text in quotes, or base64, and how many there are.
fn bytes(told: &Value) -> String {
    let count = output::number(number(told, "bytes"));
    match told.get("text").and_then(Value::as_str) {
        Some(text) => format!("\"{}\"", preview(text.as_bytes(), WIDTH)),
        None => format!("base64 {} ({count})", preview(text(told, "base64").as_bytes(), WIDTH)),
    }
}

fn outcome(lines: &mut Vec<String>, told: &Value) {
    let done = match told.get("ok") {
        Some(Value::Bool(true)) => {
            let gave = format!("{}{}", text(told, "output"), text(told, "output_base64"));
            format!("ok  {}", preview(gave.as_bytes(), WIDTH))
        }
        _ => format!("{}: {}", text(told, "kind"), printable(&text(told, "message"))),
    };
    lines.push(format!("  outcome  {done}"));
    lines.push(format!("  fuel     {}", output::number(number(told, "fuel"))));
    for event in rows(told, "events") {
        let data = ["data", "data_text", "data_base64"].map(|field| text(event, field)).concat();
        lines.push(format!(
            "  event    {}  {}  {}",
            text(event, "program"),
            printable(&text(event, "topic")),
            preview(data.as_bytes(), WIDTH)
        ));
    }
}

fn verdict(lines: &mut Vec<String>, told: &Value) {
    let digest = text(told, "writes_digest");
    if !digest.is_empty() {
        lines.push(format!("digest of the writes  {digest}"));
    }
    lines.push(match told.get("agrees") {
        Some(Value::Bool(true)) => "the result is the one that the node recorded".to_owned(),
        Some(_) => "the result is NOT the one that the node recorded; that is:".to_owned(),
        None => "the node keeps no result of this entry to compare with".to_owned(),
    });
    if told.get("agrees") == Some(&Value::Bool(false)) {
        lines.push(format!("digest of the writes  {}", text(told, "recorded_writes_digest")));
        rows(told, "recorded").iter().for_each(|recorded| outcome(lines, recorded));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(agrees: bool) -> Value {
        json!({
            "index": 7, "replayed_from": 3, "agrees": agrees, "writes_digest": "ab".repeat(32),
            "deliveries": [
                {"actor": "bank/bob", "step": {"step": 4, "message": {"n": 1}, "fuel": 12}},
                {"actor": "nobody", "failure": {"kind": "not-found", "message": "does not exist"}},
            ],
            "instructions": [{
                "author": "cd".repeat(32), "session": 1, "sequence": 2, "ran": true,
                "program": "shop", "method": "buy", "args": {"n": 1},
                "grants": [{"need": "shop/buy", "subject": "any", "program": "shop", "method": "*"}],
                "calls": [{
                    "function": "programs.call", "args": [["program", "\"bank\""]],
                    "result": "\"5\"", "fuel": 110_000, "granted_to": "program:shop bank/*",
                    "calls": [{"function": "db.put", "args": [["key", "\"k\u{7}\""]], "fuel": 5_001}],
                }],
                "calls_dropped": 4,
                "writes": [{
                    "keyspace": "bank", "key": {"text": "k", "bytes": 1},
                    "new": {"base64": "/w==", "bytes": 1},
                }],
                "outcome": {"ok": true, "output": 5, "fuel": 120_000,
                    "events": [{"program": "bank", "topic": "paid", "data": 5}]},
            }],
        })
    }

    #[test]
    fn a_page_tells_it_in_order() {
        let page = page(&told(true));
        for line in [
            "entry 7, run again from the snapshot of entry 3",
            "shop/buy  {\"n\":1}",
            "  granted  shop/buy  by shop/* for any",
            &format!(
                "    programs.call(program=\"bank\") = \"5\"  fuel {}  granted by program:shop bank/*",
                output::number(110_000)
            ),
            "    and 4 more",
            "    bank \"k\": nothing -> base64 /w== (1)",
            "  event    bank  paid  5",
            "  bank/bob  step 4  {\"n\":1}  fuel 12  ok, sent 0",
            "  nobody  not delivered: not-found: does not exist",
            "the result is the one that the node recorded",
        ] {
            assert!(page.contains(line), "{line} in\n{page}");
        }
        assert!(page.contains("\n      db.put(") && !page.contains('\u{7}'), "{page}");
    }

    #[test]
    fn a_divergence_is_not_overlooked() {
        assert!(page(&told(false)).contains("is NOT the one"));
    }
}
