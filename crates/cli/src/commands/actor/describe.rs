//! `althing actor describe`.

use super::shown;
use crate::{context::Context, exit::Outcome};
use serde_json::json;

/// Show what messages and states of a program's actors look like
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What the active version says: JSON schemas, where it is made with one of the SDKs.

Examples:
  althing actor describe ledger")]
pub(crate) struct Describe {
    /// The program
    program: String,
}

pub(super) async fn describe(context: &Context, args: Describe) -> Outcome {
    let input = json!({ "program": args.program });
    let output = context.remote().await?.call("query:actor.describe.v1", input).await?;
    context.out.show(&output, || match output.get("description") {
        Some(description) => shown(description),
        None => format!("{}: does not describe its messages and states", args.program),
    })
}
