//! What a realm can do, as operations: JSON in, JSON out, each with the grant it needs.
//!
//! Queries of `sys`'s own tables need grants on `sys`; those of a program, on the program. Queries
//! are methods too: `sys/get` and `sys/list` at the key, `counter/value` for a contract's query.

mod actors;
mod admin;
mod blobs;
mod catalog;
mod images;
mod kv;
mod log;
mod members;
mod programs;

use crate::Realm;
use althing_operations::{GrantNeeded, Need, Operation};
use althing_protocol::{Error, Result, SYS};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

impl Realm {
    /// Everything a realm can do.
    pub fn operations(self: &Arc<Self>) -> Vec<Operation> {
        let mut all = althing_operations::actions();
        all.extend(actors::operations(self));
        all.extend(kv::operations(self));
        all.extend(catalog::operations(self));
        all.extend(programs::operations(self));
        all.extend(images::operations(self));
        all.extend(admin::operations(self));
        all.extend(members::operations(self));
        all.extend(log::operations(self));
        all.extend(blobs::operations(self));
        all
    }
}

/// No input.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn on_sys(method: &str) -> GrantNeeded {
    GrantNeeded::new(SYS, method)
}

fn need_sys(method: &str) -> Result<Need> {
    Ok(Need::new(SYS, method))
}

/// Entries, pairs or lines of one page.
fn page_limit(wanted: Option<u64>, max: usize) -> Result<usize> {
    match wanted {
        None => Ok(max.min(100)),
        Some(0) => Err(Error::invalid("limit 0: wants at least 1")),
        Some(limit) => Ok(usize::try_from(limit).unwrap_or(max).min(max)),
    }
}

/// Runs what reads the disk or a guest, off the reactor.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(run).await.map_err(crate::halt::internal)?
}
