//! `althing status`.

use super::{number, text};
use crate::{
    context::Context,
    exit::Outcome,
    output::{self, fields},
};
use serde_json::{Value, json};

/// Show how the realm and its node are
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(context: &Context, _: Args) -> Outcome {
    let remote = context.remote().await?;
    let status = remote.call("query:realm.status.v1", json!({})).await?;
    context.out.show(&status, || shown(&status))
}

fn shown(status: &Value) -> String {
    let is = |name: &str| status.get(name) == Some(&Value::Bool(true));
    let count = |name| output::number(number(status, name));
    let disk = match status.get("disk_free_bytes").and_then(Value::as_u64) {
        Some(bytes) => format!("{} free", output::size(bytes)),
        None => "unknown".to_owned(),
    };
    let mut pairs = vec![
        ("realm", text(status, "name")),
        ("id", text(status, "realm")),
        ("founder", text(status, "founder")),
        ("member", member(status)),
        ("applied", format!("entry {}", text(status, "index"))),
        ("on disk", format!("state of entry {}, all of the log", text(status, "durable_index"))),
        ("log", format!("kept from entry {}", text(status, "first_kept"))),
        ("clock", output::time(number(status, "timestamp_us"))),
        ("entry chain", text(status, "entry_chain")),
        ("result chain", text(status, "result_chain")),
        ("state hash", text(status, "state_hash")),
        ("waiting", count("queued")),
        (
            "instructions",
            format!("{} since the start, {} failed", count("instructions"), count("failures")),
        ),
        (
            "disk",
            if is("is_disk_low") {
                format!("{disk}: too little, writes are refused")
            } else {
                disk
            },
        ),
    ];
    if let Some(actors) = status.get("actors").filter(|actors| number(actors, "total") > 0) {
        let count = |name| output::number(number(actors, name));
        let told = format!(
            "{}; {} messages wait, {} dead letters, {} timers",
            count("total"),
            count("waiting"),
            count("letters"),
            count("timers")
        );
        pairs.push(("actors", told));
    }
    for (title, name) in [("WAITS FOR", "waits_for"), ("STOPPED", "stopped")] {
        if status.get(name).is_some_and(Value::is_string) {
            pairs.insert(0, (title, text(status, name)));
        }
    }
    fields(&pairs)
}

/// Who this node is among the others, and who leads.
fn member(status: &Value) -> String {
    let role = match text(status, "role").as_str() {
        "none" => "not yet in the log".to_owned(),
        role => format!("a {role}"),
    };
    let leader = match status.get("leader").and_then(Value::as_u64) {
        Some(id) if id == number(status, "member") => "leads".to_owned(),
        Some(id) => format!("member {id} leads"),
        None => "nobody leads".to_owned(),
    };
    let (voters, learners) = (number(status, "voters"), number(status, "learners"));
    format!(
        "{}, {role}; {leader}, term {}; of {voters} voter{} and {learners} learner{}",
        text(status, "member"),
        text(status, "term"),
        if voters == 1 { "" } else { "s" },
        if learners == 1 { "" } else { "s" },
    )
}
