//! The node's own operation as a member: to leave.

use crate::tokens::PROGRAM;
use althing_operations::{GrantNeeded, Need, Operation};
use althing_protocol::{Error, Result};
use althing_realm::Realm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const METHOD: &str = "leave";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Serialize, JsonSchema)]
struct Left {
    /// Index of the entry that ended the membership; absent when it could not be heard any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
}

pub(crate) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    let realm = Arc::clone(realm);
    vec![Operation::local_action(
        "action:node.leave.v1",
        "Ends this node's membership, and its realm here with it.",
        GrantNeeded::new(PROGRAM, METHOD),
        |_: &Nothing| Ok(Need::new(PROGRAM, METHOD)),
        move |_, _: Nothing| leave(Arc::clone(&realm)),
    )]
}

/// A client that goes away must not leave it half done.
async fn leave(realm: Arc<Realm>) -> Result<Left> {
    let left = tokio::spawn(async move { realm.leave().await }).await;
    let index = left.map_err(|error| Error::internal(format!("leaving: {error}")))??;
    Ok(Left { index })
}
