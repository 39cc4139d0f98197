//! The node's own operations: tokens. They change this node, never the realm.

use crate::callers::Callers;
use althing_operations::{GrantNeeded, Need, Operation};
use althing_protocol::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What grants name as the program of the node's own operations.
pub(crate) const PROGRAM: &str = "node";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// The caller's name.
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Serialize, JsonSchema)]
struct Shown {
    /// The caller's name.
    name: String,
    /// Public key that the node keeps for it, in hexadecimal: grants go to `key:KEY`.
    key: String,
    /// The token. It is shown this once.
    token: String,
}

#[derive(Serialize, JsonSchema)]
struct Revoked {
    /// The caller's name.
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct List {
    /// All callers, by name.
    tokens: Vec<Listed>,
}

#[derive(Serialize, JsonSchema)]
struct Listed {
    /// The caller's name.
    name: String,
    /// Public key that the node keeps for it, in hexadecimal.
    key: String,
    /// When it was made, in microseconds since 1970, UTC.
    created_us: u64,
}

/// The operations on `callers`.
pub(crate) fn operations(callers: &Arc<Callers>) -> Vec<Operation> {
    let named = |method: &'static str| move |input: &Named| Ok(need(method, &input.name));
    let grant = |method: &str| GrantNeeded::new(PROGRAM, method).at("name");
    let [for_create, for_revoke, for_list] = [(); 3].map(|()| Arc::clone(callers));
    vec![
        Operation::local_action(
            "action:token.create.v1",
            "Makes a caller: a token, and a key that this node keeps and signs with for it.",
            grant("token_create"),
            named("token_create"),
            move |_, input: Named| create(Arc::clone(&for_create), input.name),
        ),
        Operation::local_action(
            "action:token.revoke.v1",
            "Forgets a caller, its token and its key.",
            grant("token_revoke"),
            named("token_revoke"),
            move |_, input: Named| revoke(Arc::clone(&for_revoke), input.name),
        ),
        Operation::query(
            "query:token.list.v1",
            "Lists the callers of this node.",
            GrantNeeded::new(PROGRAM, "token_list"),
            |_: &Nothing| Ok(Need::new(PROGRAM, "token_list")),
            move |_, _: Nothing| list(Arc::clone(&for_list)),
        ),
    ]
}

fn need(method: &str, name: &str) -> Need {
    Need::new(PROGRAM, method).at(name)
}

async fn create(callers: Arc<Callers>, name: String) -> Result<Shown> {
    let created = blocking(move || callers.create(&name)).await?;
    Ok(Shown {
        name: created.caller.name,
        key: created.caller.key.to_string(),
        token: created.token.to_string(),
    })
}

async fn revoke(callers: Arc<Callers>, name: String) -> Result<Revoked> {
    blocking(move || callers.revoke(&name).map(|()| Revoked { name })).await
}

async fn list(callers: Arc<Callers>) -> Result<List> {
    let tokens = callers.list().into_iter().map(|listed| Listed {
        name: listed.name,
        key: listed.key.to_string(),
        created_us: listed.created_us,
    });
    Ok(List { tokens: tokens.collect() })
}

/// Files are written off the reactor.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal(format!("token: {error}")))?
}
