//! `althing snapshot`: the state in a file, and back.

use super::{confirm, number, text};
use crate::{
    context::Context,
    exit::Outcome,
    output::{self, fields},
};
use serde_json::json;
use std::path::PathBuf;

/// Save the state to a file, or put a saved one back
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
A snapshot holds every key and value; log entries, callers, keys and images are not in it. To
restore, stop the node: its state becomes that of the snapshot, and its log begins behind it. What
was there before is moved aside.

Examples:
  althing snapshot save before-upgrade
  althing snapshot restore --dry-run DATA/realm/snapshots/before-upgrade.snapshot")]
pub(crate) enum Command {
    /// Write the state of the running node to its directory of snapshots
    Save(Save),
    /// Put a snapshot in the place of the state of a node that does not run
    Restore(Restore),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Save {
    /// Name of the snapshot [default: at-INDEX]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The snapshot
    file: PathBuf,
    /// Check the whole snapshot, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Save(args) => save(context, args).await,
        Command::Restore(args) => restore(context, args).await,
    }
}

async fn save(context: &Context, args: Save) -> Outcome {
    let remote = context.patient_remote().await?;
    let saved = remote.call("action:snapshot.save.v1", json!({ "name": args.name })).await?;
    context.out.show(&saved, || {
        fields(&[
            ("file", text(&saved, "path")),
            ("entry", text(&saved, "index")),
            ("pairs", output::number(number(&saved, "pairs"))),
            ("state hash", text(&saved, "state_hash")),
        ])
    })
}

async fn restore(context: &Context, args: Restore) -> Outcome {
    let data = context.data()?;
    if !args.dry_run && !args.yes {
        let question =
            format!("Replace the state in {} by {}?", data.display(), args.file.display());
        confirm(&question, "--yes")?;
    }
    let restored = althing_node::restore(&data, &args.file, args.dry_run).await?;
    let document = json!({
        "realm": restored.snapshot.realm, "index": restored.snapshot.index,
        "pairs": restored.snapshot.pairs, "state_hash": restored.snapshot.state_hash,
        "previous": restored.previous, "dry_run": args.dry_run,
    });
    context.out.show(&document, || {
        let previous = match &restored.previous {
            Some(previous) => format!("moved to {}", previous.display()),
            None => "untouched: this was a dry run".to_owned(),
        };
        fields(&[
            ("realm", restored.snapshot.realm.clone()),
            ("entry", restored.snapshot.index.to_string()),
            ("pairs", output::number(restored.snapshot.pairs)),
            ("state hash", restored.snapshot.state_hash.clone()),
            ("before", previous),
        ])
    })
}
