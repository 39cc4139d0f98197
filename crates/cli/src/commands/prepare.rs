//! Compiling an image on the node, while a bar shows how far it is.

use super::{number, text};
use crate::{
    context::{Context, Remote},
    package::Package,
};
use althing_protocol::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::time::Duration;

/// How often the node is asked.
const POLL: Duration = Duration::from_millis(100);

/// Has the node compile an image that it has, and waits until it can be called: what comes after is
/// quick.
pub(super) async fn prepare(context: &Context, remote: &Remote, package: &Package) -> Result<()> {
    let image = package.hash.to_string();
    let input = json!({ "image": image });
    let mut status = remote.call("action:image.prepare.v1", input.clone()).await?;
    let bar = bar(context, package);
    while text(&status, "state") == "compiling" {
        bar.set_length(number(&status, "functions_total"));
        bar.set_position(number(&status, "functions_done"));
        tokio::time::sleep(POLL).await;
        status = remote.call("query:image.status.v1", input.clone()).await?;
    }
    bar.finish_and_clear();
    outcome(&image, &status)
}

fn bar(context: &Context, package: &Package) -> ProgressBar {
    if context.out.json() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0).with_message(format!("compiling {}", package.program));
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} functions, {elapsed}");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What became of it.
fn outcome(image: &str, status: &Value) -> Result<()> {
    let reason = text(status, "reason");
    match text(status, "state").as_str() {
        "ready" => Ok(()),
        "refused" => Err(Error::invalid(reason)),
        _ if reason.is_empty() => Err(Error::unavailable(format!(
            "image {image}: the node did not compile it; deploy it again"
        ))),
        _ => Err(Error::unavailable(reason)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;

    #[test]
    fn what_is_not_ready_is_an_error_that_says_why() {
        let after = |status: Value| outcome("abc", &status);
        after(json!({"state": "ready"})).unwrap();
        let refused = after(json!({"state": "refused", "reason": "imports `x`"})).unwrap_err();
        assert_eq!((refused.kind, refused.message.as_str()), (Kind::Invalid, "imports `x`"));
        let failed = after(json!({"state": "present", "reason": "disk full"})).unwrap_err();
        assert_eq!((failed.kind, failed.message.as_str()), (Kind::Unavailable, "disk full"));
        let gone = after(json!({"state": "absent"})).unwrap_err();
        assert!(gone.message.contains("image abc"), "{gone}");
    }
}
