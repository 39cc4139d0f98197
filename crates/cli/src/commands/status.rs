//! `althing status`.

use super::text;
use crate::{context::Context, exit::Outcome, output::fields};
use serde_json::json;

/// Show how the realm and its node are
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(context: &Context, _: Args) -> Outcome {
    let remote = context.remote().await?;
    let status = remote.call("query:realm.status.v1", json!({})).await?;
    context.out.show(&status, || {
        let pairs = status.as_object().into_iter().flatten();
        let pairs: Vec<(&str, String)> =
            pairs.map(|(name, _)| (name.as_str(), text(&status, name))).collect();
        fields(&pairs)
    })
}
