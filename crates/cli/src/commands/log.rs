//! `althing log`: the log of the realm.

use super::{number, rows, text};
use crate::{
    context::{Context, Remote},
    exit::{Outcome, Stop},
    output::{self, fields, preview, short},
};
use althing_protocol::{Error, Kind, Result};
use futures::StreamExt as _;
use serde_json::{Value, json};

/// Entries of one page, and of one look at what is new.
const PAGE_ENTRIES: usize = 256;

/// Read and verify the log, which is all that ever happened
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  althing log tail --follow
  althing log show 42
  althing log verify")]
pub(crate) enum Command {
    Tail(Tail),
    Show(Show),
    /// Recompute chains and signatures, from genesis or the oldest checkpoint kept
    Verify,
}

/// Show the last entries
#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    /// How many entries
    #[arg(short = 'n', long, default_value_t = 10, value_name = "ENTRIES")]
    lines: u64,
    /// Start with the entry of this index instead
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
}

/// Show one entry and what it did
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Index of the entry
    index: u64,
}

pub(crate) async fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Tail(args) => tail(context, args).await,
        Command::Show(args) => show(context, args).await,
        Command::Verify => verify(context).await,
    }
}

async fn tail(context: &Context, args: Tail) -> Outcome {
    let remote = context.remote().await?;
    let status = remote.call("query:realm.status.v1", json!({})).await?;
    let (last, first) = (number(&status, "index"), number(&status, "first_kept"));
    let from = args.from.unwrap_or_else(|| (last + 1).saturating_sub(args.lines)).max(first);
    let next = print(context, &remote, from, last).await?;
    if !args.follow {
        return Ok(());
    }
    // The stream says that there is something; what it is, the operation shows.
    let news = remote.client.log(next, true).await?;
    let mut news = news.ready_chunks(PAGE_ENTRIES);
    let mut next = next;
    while let Some(entries) = news.next().await {
        let last = entries.into_iter().next_back().transpose()?.map_or(0, |entry| entry.index);
        next = print(context, &remote, next, last).await?;
    }
    Ok(())
}

/// Prints the entries from `next` to `last`, and gives the index after them.
async fn print(context: &Context, remote: &Remote, mut next: u64, last: u64) -> Result<u64, Stop> {
    while next <= last {
        let limit = (last - next + 1).min(PAGE_ENTRIES as u64);
        let entries = entries(remote, next, limit).await?;
        for entry in &entries {
            context.out.item(entry, || line(entry))?;
        }
        match entries.last() {
            Some(entry) => next = number(entry, "index") + 1,
            None => break,
        }
    }
    Ok(next)
}

async fn entries(remote: &Remote, from: u64, limit: u64) -> Result<Vec<Value>> {
    let page = remote.call("query:log.list.v1", json!({ "from": from, "limit": limit })).await?;
    Ok(rows(&page, "entries").to_vec())
}

async fn show(context: &Context, args: Show) -> Outcome {
    let remote = context.remote().await?;
    let found = entries(&remote, args.index, 1).await?.into_iter().next();
    let entry = found.ok_or_else(|| {
        Error::not_found(format!(
            "entry {}: not in the log yet; `althing status` names the last",
            args.index
        ))
    })?;
    context.out.show(&entry, || page(&entry))
}

/// An entry on one line.
fn line(entry: &Value) -> String {
    let instructions = rows(entry, "instructions");
    let mut said = match instructions {
        [] => format!("{}  {}", text(entry, "kind"), emitted(entry)).trim_end().to_owned(),
        _ => format!("{}  {}", short(&text(entry, "author")), calls(instructions)),
    };
    let failed =
        instructions.iter().find(|instruction| instruction["outcome"]["ok"] == Value::Bool(false));
    if let Some(outcome) = failed.map(|instruction| &instruction["outcome"]) {
        let message = preview(text(outcome, "message").as_bytes(), 60);
        said.push_str(&format!("  ({}: {message})", text(outcome, "kind")));
    }
    format!("{:>8}  {:24}  {said}", number(entry, "index"), time(entry))
}

fn time(entry: &Value) -> String {
    entry.get("timestamp_us").and_then(Value::as_u64).map(output::time).unwrap_or_default()
}

/// Topics of what an entry without instructions emitted: a tick, at the end of an upgrade.
fn emitted(entry: &Value) -> String {
    let topic = |event: &Value| format!("{}/{}", text(event, "program"), text(event, "topic"));
    rows(&entry["outcome"], "events").iter().map(topic).collect::<Vec<_>>().join(", ")
}

/// What is called: neighbours that are alike are counted.
fn calls(instructions: &[Value]) -> String {
    let mut runs: Vec<(String, usize)> = Vec::new();
    for instruction in instructions {
        let name = format!("{}/{}", text(instruction, "program"), text(instruction, "method"));
        match runs.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            _ => runs.push((name, 1)),
        }
    }
    let told = runs
        .into_iter()
        .map(|(name, count)| if count == 1 { name } else { format!("{name} x{count}") });
    told.collect::<Vec<_>>().join(", ")
}

/// An entry on a page.
fn page(entry: &Value) -> String {
    let mut pairs = vec![
        ("index", text(entry, "index")),
        ("term", text(entry, "term")),
        ("kind", text(entry, "kind")),
    ];
    if entry.get("timestamp_us").is_some() {
        pairs.push(("time", time(entry)));
    }
    for field in ["author", "session", "sequence"] {
        if entry.get(field).is_some() {
            pairs.push((field, text(entry, field)));
        }
    }
    if entry.get("outcome").is_some() {
        pairs.push(("emitted", emitted(entry)));
    }
    if let Some(checkpoint) = entry.get("checkpoint").and_then(Value::as_object) {
        let values = checkpoint.iter().map(|(name, value)| (name.as_str(), super::shown(value)));
        pairs.push(("holds", String::new()));
        pairs.extend(values);
    }
    let instructions = rows(entry, "instructions")
        .iter()
        .map(|instruction| format!("\n\n{}", called(instruction)));
    fields(&pairs) + &instructions.collect::<String>()
}

fn called(instruction: &Value) -> String {
    let args = format!("{}{}", text(instruction, "args"), text(instruction, "args_base64"));
    let outcome = &instruction["outcome"];
    let done = match outcome.get("ok") {
        None => "its outcome is no longer kept".to_owned(),
        Some(Value::Bool(true)) => {
            let gave = format!("{}{}", text(outcome, "output"), text(outcome, "output_base64"));
            format!(
                "ok, fuel {}  {}",
                output::number(number(outcome, "fuel")),
                preview(gave.as_bytes(), 80)
            )
        }
        Some(_) => format!("{}: {}", text(outcome, "kind"), text(outcome, "message")),
    };
    let name = format!("{}/{}", text(instruction, "program"), text(instruction, "method"));
    format!("{name}  {}\n  {}", preview(args.as_bytes(), 80), output::printable(&done))
}

async fn verify(context: &Context) -> Outcome {
    let remote = context.patient_remote().await?;
    match remote.call("query:log.verify.v1", json!({})).await {
        Ok(mut verdict) => {
            verdict["agrees"] = true.into();
            context.out.show(&verdict, || verified(&verdict))
        }
        // The node could be asked, and what it found does not agree.
        Err(e) if e.kind == Kind::Internal => {
            let verdict = json!({ "agrees": false, "reason": e.message });
            context.out.show(&verdict, || format!("the log does not verify: {}", e.message))?;
            Err(Stop::Refuted)
        }
        Err(e) => Err(e.into()),
    }
}

fn verified(verdict: &Value) -> String {
    let from = match verdict["from"].get("checkpoint") {
        Some(index) => format!("the oldest checkpoint kept, at entry {index}"),
        None => "genesis".to_owned(),
    };
    let count = |name| output::number(number(verdict, name));
    let pairs = [
        ("from", from),
        ("to", format!("entry {}", text(verdict, "to"))),
        ("entries", count("entries")),
        ("signatures", count("signatures")),
        ("checkpoints", count("checkpoints")),
        ("entry chain", text(verdict, "entry_chain")),
        ("result chain", text(verdict, "result_chain")),
        ("state on disk", format!("entry {}", text(verdict, "state_index"))),
        ("its hash", text(verdict, "state_hash")),
    ];
    fields(&pairs) + "\n\nall of it agrees"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Value {
        let put =
            |ok: Value| json!({ "program": "sys", "method": "put", "args": "/a", "outcome": ok });
        json!({
            "index": 7, "term": 1, "kind": "signed", "timestamp_us": 1_500_000, "author": "ab".repeat(32),
            "session": 3, "sequence": 9,
            "instructions": [
                put(json!({ "ok": true, "fuel": 0 })),
                put(json!({ "ok": false, "kind": "denied", "message": "put: no\u{7}", "fuel": 0 })),
            ],
        })
    }

    #[test]
    fn an_entry_on_a_line_counts_and_names_the_first_failure() {
        let line = line(&entry());
        assert!(line.contains("sys/put x2") && line.contains("(denied: put: no"), "{line}");
        assert!(line.contains("1970-01-01") && line.contains("abababababab "), "{line}");
    }

    #[test]
    fn a_tick_says_what_it_emitted() {
        let event = json!({ "program": "sys", "topic": "program.activated", "data_text": "p" });
        let mut tick = json!({ "index": 7, "term": 1, "kind": "tick", "timestamp_us": 1_500_000 });
        assert!(line(&tick).ends_with("  tick"), "{}", line(&tick));
        tick["outcome"] = json!({ "index": 7, "ok": true, "fuel": 5, "events": [event] });
        for told in [line(&tick), page(&tick)] {
            assert!(told.contains("sys/program.activated"), "{told}");
        }
    }

    #[test]
    fn an_entry_on_a_page_has_every_instruction_and_no_control_characters() {
        let page = page(&entry());
        assert_eq!(page.matches("sys/put  /a").count(), 2);
        assert!(!page.contains('\u{7}') && page.contains("session   3"), "{page}");
    }
}
