//! `althing ingest`.

use super::{rows, text};
use crate::{
    context::{Context, Remote},
    exit::Outcome,
    ingest::{Ingest, Options, Prefix, Summary, TAGGER, Touched, Watch},
    values::file_error,
};
use althing_protocol::{Error, Kind, Result};
use serde_json::json;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How long a node that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// Put the file metadata of a directory tree into the realm
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Takes path, kind, size, time and mode of every file, no contents, and does not follow symlinks. A
second run puts only what changed and deletes what is gone. Batches also go to the program tagger,
where it is deployed, so that files can be asked for by tag.

Examples:
  althing ingest /usr/share/doc
  althing ingest ~/photos --prefix /desktop/files --watch
  althing ingest . --dry-run -v")]
#[command(after_long_help = "\
Takes path, kind, size, time and mode of every file, no contents, and does not follow symlinks. A
second run puts only what changed and deletes what is gone. Batches also go to the program tagger,
where it is deployed, so that files can be asked for by tag.

A key is the prefix and the absolute path; a directory's ends with a slash. In names, a backslash is
\\\\, and a control character or a byte that is no UTF-8 is \\xNN.

Without --key the node signs for the caller of its token; with it, batches are signed here and
streamed.

Examples:
  althing ingest /usr/share/doc
  althing ingest ~/photos --prefix /desktop/files --watch
  althing ingest . --dry-run -v
  althing query tagger by_tag '{\"tag\": \"image\"}'")]
pub(crate) struct Args {
    /// The directory
    dir: PathBuf,
    /// Where its records go
    #[arg(long, default_value = "/files", value_name = "PATH")]
    prefix: String,
    /// Follow the directory until ctrl-c
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
    /// Only say what would change; with -v, name every file
    #[arg(long)]
    dry_run: bool,
    /// Leave tagger out
    #[arg(long, conflicts_with = "retag")]
    no_tag: bool,
    /// Send tagger all files, also those that did not change: after deploying it or changing its rules
    #[arg(long)]
    retag: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let root = args.dir.canonicalize().map_err(|e| file_error(&args.dir, &e))?;
    if !root.is_dir() {
        return Err(Error::invalid(format!("{}: is no directory", args.dir.display())).into());
    }
    let remote = Arc::new(context.remote().await?);
    let tags = tags(context, &args, &remote).await?;
    let options = Options {
        prefix: Prefix::new(&args.prefix)?,
        without: context.data()?.canonicalize().ok(),
        tags,
        retag: args.retag,
        dry_run: args.dry_run,
        list: context.verbose(),
        root,
    };
    if args.watch {
        return watch(context, options, remote).await;
    }
    let summary = Ingest::new(options, remote, context.out).everything().await?;
    context.out.show(&summary, || summary.text())
}

/// Whether tagger gets its batches: it does where it runs, and what it misses is said.
async fn tags(context: &Context, args: &Args, remote: &Remote) -> Result<bool> {
    if args.no_tag {
        return Ok(false);
    }
    let output = remote.call("query:program.list.v1", json!({})).await?;
    let runs = rows(&output, "programs")
        .iter()
        .any(|program| text(program, "program") == TAGGER && program.get("active").is_some());
    if !runs && args.retag {
        return Err(Error::not_found("program tagger: is not active; `althing deploy` it first"));
    }
    if !runs && !context.out.json() {
        let note = "note: tagger is not deployed, so files are not tagged; deploy it, then ingest with --retag";
        eprintln!("{note}");
    }
    Ok(runs)
}

/// Follows before it walks, so that nothing is missed in between.
async fn watch(context: &Context, options: Options, remote: Arc<Remote>) -> Outcome {
    let watch = Watch::start(&options.root, options.without.clone())?;
    let mut ingest = Ingest::new(options, remote, context.out);
    let first = ingest.everything().await?;
    context
        .out
        .item(&first, || format!("{}\n\nfollowing {}, ctrl-c ends", first.text(), first.root))?;
    let follow = async {
        let mut missed = false;
        loop {
            let touched = if missed { Touched::Everything } else { watch.next().await };
            match ingest.touched(touched).await {
                Ok(summary) => {
                    missed = false;
                    say(context, &summary)?;
                }
                Err(e) if matches!(e.kind, Kind::Unavailable | Kind::Exhausted) => {
                    tracing::warn!("{e}; trying again in {} s", PAUSE.as_secs());
                    missed = true;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(e) => return Err(e.into()),
            }
        }
    };
    tokio::select! {
        ended = follow => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn say(context: &Context, summary: &Summary) -> Outcome {
    if summary.is_idle() {
        return Ok(());
    }
    context.out.item(summary, || summary.line())
}
