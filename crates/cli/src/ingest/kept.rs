//! What the realm holds of a tree, in key order, read page by page.

use super::diff::Kept;
use crate::{context::Remote, pages::Pages, values};
use althing_protocol::{Error, Kind, Result};
use futures::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};

/// The pairs whose keys begin with `prefix`.
pub(crate) fn below(remote: &Remote, prefix: &str) -> impl Stream<Item = Result<Kept>> {
    let pages = Pages::new(remote, prefix.as_bytes());
    // An error is the last item: whoever reads stops at it.
    stream::unfold(pages, page).flat_map(|page| {
        let items = match page {
            Ok(items) => items.iter().map(pair).collect(),
            Err(e) => vec![Err(e)],
        };
        stream::iter(items)
    })
}

async fn page(mut pages: Pages<'_>) -> Option<(Result<Vec<Value>>, Pages<'_>)> {
    let items = pages.next().await.transpose()?;
    Some((items, pages))
}

/// The pair of `key`, if there is one.
pub(crate) fn at(remote: &Remote, key: String) -> impl Stream<Item = Result<Kept>> {
    stream::once(async move {
        match remote.call("query:kv.get.v1", json!({ "key": key })).await {
            Ok(item) => Some(pair(&item)),
            Err(e) if e.kind == Kind::NotFound => None,
            Err(e) => Some(Err(e)),
        }
    })
    .filter_map(|found| async { found })
}

fn pair(item: &Value) -> Result<Kept> {
    let field = |name| {
        let bytes = values::extract(item, name);
        bytes.ok_or_else(|| Error::internal(format!("a pair of the realm: has no {name}: {item}")))
    };
    Ok(Kept { key: field("key")?, value: field("value")? })
}
