//! `althing build`.

use super::inspect;
use crate::{
    context::Context,
    exit::{Outcome, Stop},
    output::{self, fields},
};
use althing_packaging::{Built, Project, Tools};
use althing_protocol::{Error, Result};
use althing_sandbox::Report;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Build a project to a package that `althing deploy` takes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Gives DIR/build/NAME.wasm and NAME.toml. What the compiler says goes to stderr. Tools that are
missing are installed: system packages where that is possible, others into the directory of the
environment variable ALTHING_TOOLS [default: althing/tools in the user's cache directory].

Examples:
  althing build
  althing build guestbook --json")]
pub(crate) struct Args {
    /// The project
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let project = Project::open(&args.dir)?;
    let built = build(&project).await?;
    let report = inspect::read(&built.component)?;
    let accepted = report.refusals.is_empty();
    let document = json!({
        "program": project.name(), "version": project.manifest().version,
        "language": project.language().name(), "component": built.component,
        "manifest": built.manifest, "inspection": inspect::document(&report, &built.hash),
    });
    context.out.show(&document, || shown(&built, &report))?;
    if accepted { Ok(()) } else { Err(Stop::Refuted) }
}

/// Builds `project`, away from the threads that answer.
pub(super) async fn build(project: &Project) -> Result<Built> {
    let project = project.clone();
    blocking(move || project.build(&tools()?, &out(&project))).await
}

/// Runs `work`, which takes long and may wait for other processes.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::internal(format!("a thread of this command: {e}"))))
}

/// Where the package of `project` goes.
pub(super) fn out(project: &Project) -> PathBuf {
    project.dir().join("build")
}

/// The user's tools; what is done to them is said on stderr.
pub(super) fn tools() -> Result<Tools> {
    Tools::of_user(|text| eprintln!("{text}"))
}

fn shown(built: &Built, report: &Report) -> String {
    let mut pairs =
        vec![("component", here(&built.component)), ("manifest", here(&built.manifest))];
    pairs.extend(inspect::summary(report, &built.hash));
    if report.refusals.is_empty() {
        pairs.push(("next", format!("althing deploy {}", here(&built.component))));
    }
    let mut text = fields(&pairs);
    text.push_str(&inspect::refusals(report));
    text
}

/// A path as short as it can be said from here.
pub(super) fn here(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    output::printable(&below.as_deref().unwrap_or(path).display().to_string()).into_owned()
}
