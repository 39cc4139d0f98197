//! Waiting until the actors of a program are migrated to another version, while a bar shows how far it
//! is.

use super::{number, text};
use crate::context::{Context, Remote};
use althing_protocol::{Error, Kind, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::time::Duration;

/// How often the node is asked.
const POLL: Duration = Duration::from_millis(100);

/// How an upgrade of actors is.
#[derive(Debug, PartialEq)]
enum Standing {
    /// So many of so many are migrated.
    Goes { migrated: u64, actors: u64 },
    /// The version runs since this entry, if it was not at once; so many actors were migrated.
    Runs { since: Option<u64>, migrated: u64 },
    /// The version before goes on.
    Discarded(Error),
}

/// After the entry `begun`, which activated `image`: says in `document` whether the upgrade goes on or
/// has ended, and in which entry, and waits for that end if `wait`.
///
/// # Errors
/// Why the upgrade was discarded.
pub(super) async fn follow(
    context: &Context,
    remote: &Remote,
    document: &mut Value,
    (program, image, begun): (&str, &str, u64),
    wait: bool,
) -> Result<()> {
    let bar = bar(context, program);
    loop {
        let told = remote.call("query:actor.upgrade.v1", json!({ "program": program })).await?;
        match standing(&told, program, image, begun) {
            Standing::Goes { migrated, actors } if wait => {
                bar.set_length(actors);
                bar.set_position(migrated);
                tokio::time::sleep(POLL).await;
            }
            Standing::Goes { migrated, actors } => {
                document["state"] = "upgrading".into();
                (document["migrated"], document["actors"]) = (migrated.into(), actors.into());
                return Ok(());
            }
            Standing::Runs { since, migrated } => {
                bar.finish_and_clear();
                document["begun"] = begun.into();
                document["index"] = since.unwrap_or(begun).into();
                document["migrated"] = migrated.into();
                return Ok(());
            }
            Standing::Discarded(error) => {
                bar.finish_and_clear();
                return Err(error);
            }
        }
    }
}

fn standing(told: &Value, program: &str, image: &str, begun: u64) -> Standing {
    let is_of = |upgrade: &&Value| text(upgrade, "image") == image;
    if let Some(upgrade) = told.get("upgrade").filter(is_of) {
        let actors = number(told, "actors");
        return Standing::Goes { migrated: number(upgrade, "migrated"), actors };
    }
    // The last one may be an earlier one: without actors a version switches at once.
    let last = told.get("last").filter(is_of).filter(|last| number(last, "index") >= begun);
    let Some(last) = last else { return Standing::Runs { since: None, migrated: 0 } };
    let Some(failure) = last.get("failure") else {
        let (since, migrated) = (Some(number(last, "index")), number(last, "migrated"));
        return Standing::Runs { since, migrated };
    };
    let whose = match text(last, "actor") {
        none if none.is_empty() => none,
        actor => format!(" for the sake of actor {actor}"),
    };
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == text(failure, "kind"));
    Standing::Discarded(Error::new(
        kind.unwrap_or(Kind::Internal),
        format!(
            "upgrade of {program}: discarded in entry {}{whose}, so the version before runs on: {}",
            number(last, "index"),
            text(failure, "message")
        ),
    ))
}

fn bar(context: &Context, program: &str) -> ProgressBar {
    if context.out.json() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0).with_message(format!("upgrading the actors of {program}"));
    match ProgressStyle::with_template("{msg} {bar:30} migrated {human_pos} of {human_len}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_goes_on_runs_or_is_discarded() {
        let of = |told: Value| standing(&told, "ledger", "ab", 10);
        let at_once = Standing::Runs { since: None, migrated: 0 };
        let goes = json!({"actors": 5, "upgrade": {"image": "ab", "index": 10, "migrated": 3}});
        assert_eq!(of(goes), Standing::Goes { migrated: 3, actors: 5 });
        let others = json!({"actors": 5, "upgrade": {"image": "cd", "index": 12, "migrated": 3}});
        assert_eq!(of(others), at_once);
        assert_eq!(of(json!({"actors": 0})), at_once);
        assert_eq!(
            of(json!({"last": {"image": "ab", "index": 12, "migrated": 5}})),
            Standing::Runs { since: Some(12), migrated: 5 }
        );
        let failure = json!({"kind": "contract-violation", "message": "negative balance"});
        let last = |index: u64| {
            json!({"last": {
                "image": "ab", "index": index, "migrated": 2, "failure": failure, "actor": "bank/bob",
            }})
        };
        let Standing::Discarded(error) = of(last(12)) else { panic!() };
        assert_eq!(error.kind, Kind::ContractViolation);
        for words in
            ["ledger", "entry 12", "actor bank/bob", "the version before runs on", "negative"]
        {
            assert!(error.message.contains(words), "{words}: {error}");
        }
        assert_eq!(of(last(9)), at_once, "that was an earlier try");
    }
}
