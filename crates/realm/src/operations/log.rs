//! The log: entries with their outcomes, and whether it agrees with itself.

use super::{Nothing, need_sys, on_sys, page_limit};
use crate::{Realm, ShownEntry, ShownExplanation, Verified, show_entry};
use althing_operations::Operation;
use althing_protocol::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// Entries of one page, in bytes.
const PAGE_BYTES: usize = 4 << 20;

pub(super) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    let of = || Arc::clone(realm);
    let (for_list, for_verify, for_explain) = (of(), of(), of());
    vec![
        Operation::query(
            "query:log.list.v1",
            "Lists entries of the log with their outcomes.",
            on_sys("log_read"),
            |_: &ListInput| need_sys("log_read"),
            move |_, input| list(Arc::clone(&for_list), input),
        )
        .example(json!({"from": 1, "limit": 10})),
        Operation::query(
            "query:log.verify.v1",
            "Recomputes the chains of the log, its signatures and the state hash, and compares.",
            on_sys("log_read"),
            |_: &Nothing| need_sys("log_read"),
            move |_, _| verify(Arc::clone(&for_verify)),
        ),
        Operation::query(
            "query:log.explain.v1",
            "Runs an entry again on a copy of the state, and says what it did step by step.",
            on_sys("log_explain"),
            |_: &ExplainInput| need_sys("log_explain"),
            move |_, input| explain(Arc::clone(&for_explain), input),
        )
        .example(json!({"index": 42})),
    ]
}

/// A page of the log.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListInput {
    /// The first index; the first entry kept if absent.
    from: Option<u64>,
    /// At most this many; 100 if absent, 1,000 at most.
    limit: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Page {
    entries: Vec<ShownEntry>,
    /// First entry that is kept.
    first_kept: u64,
    /// Last entry that is applied.
    last: u64,
}

async fn list(realm: Arc<Realm>, input: ListInput) -> Result<Page> {
    let limit = page_limit(input.limit, 1_000)?;
    let first_kept = realm.first_kept()?;
    let from = input.from.unwrap_or(first_kept);
    let entries = realm.entries(from, limit as u64, PAGE_BYTES).await?;
    let entries = entries.iter().map(show_entry).collect::<Result<_>>()?;
    Ok(Page { entries, first_kept, last: *realm.applied().borrow() })
}

async fn verify(realm: Arc<Realm>) -> Result<Verified> {
    realm.verify(|_, _| {}).await
}

/// An entry to look into.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExplainInput {
    /// Index of the entry.
    index: u64,
    /// The snapshot in the realm's `snapshots` directory to start from, without its ending; the
    /// nearest one before the entry if absent, or genesis.
    snapshot: Option<String>,
}

async fn explain(realm: Arc<Realm>, input: ExplainInput) -> Result<ShownExplanation> {
    realm.explain(input.index, input.snapshot).await
}
