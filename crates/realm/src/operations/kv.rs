//! Reading keys of `sys`.

use super::{blocking, page_limit};
use crate::{Realm, halt::internal};
use althing_machine::sys::decode_pair;
use althing_operations::{Context, GrantNeeded, Need, Operation, text};
use althing_protocol::{Error, Result, SYS, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

pub(super) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    let (for_get, for_list) = (Arc::clone(realm), Arc::clone(realm));
    vec![
        Operation::query(
            "query:kv.get.v1",
            "Reads a key.",
            GrantNeeded::new(SYS, "get").at("key"),
            |input: &GetInput| Ok(Need::new(SYS, "get").at(input.bytes()?)),
            move |context, input| get(Arc::clone(&for_get), context, input),
        )
        .example(json!({"key": "/notes/first"})),
        Operation::query(
            "query:kv.list.v1",
            "Lists keys under a prefix, in order, a page at a time.",
            GrantNeeded::new(SYS, "list").at("prefix"),
            |input: &ListInput| Ok(Need::new(SYS, "list").at(input.prefix_bytes()?)),
            move |context, input| list(Arc::clone(&for_list), context, input),
        )
        .example(json!({"prefix": "/notes/", "limit": 10})),
    ]
}

/// A key.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetInput {
    /// The key, as text. Exactly one of key and key_base64.
    key: Option<String>,
    /// The key, in base64.
    key_base64: Option<String>,
}

impl GetInput {
    fn bytes(&self) -> Result<Vec<u8>> {
        text::bytes("key", self.key.clone(), self.key_base64.clone())
    }
}

/// A page of keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListInput {
    /// Keys that start with this, as text; all keys if absent.
    prefix: Option<String>,
    /// The prefix, in base64.
    prefix_base64: Option<String>,
    /// Keys after this one, as text: the last key of the page before.
    after: Option<String>,
    /// The same, in base64.
    after_base64: Option<String>,
    /// At most this many; 100 if absent, 1,000 at most.
    limit: Option<u64>,
    /// Leaves the values out.
    #[serde(default)]
    keys_only: bool,
}

impl ListInput {
    fn prefix_bytes(&self) -> Result<Vec<u8>> {
        let prefix = (self.prefix.clone(), self.prefix_base64.clone());
        Ok(text::optional_bytes("prefix", prefix.0, prefix.1)?.unwrap_or_default())
    }
}

/// A key with its value.
#[derive(Serialize, JsonSchema)]
struct Item {
    /// The key, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The key in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    /// The value, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The value in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    /// Index of the entry that made the key.
    create: u64,
    /// Index of the entry that last changed it.
    modify: u64,
}

#[derive(Serialize, JsonSchema)]
struct Page {
    items: Vec<Item>,
    /// Whether there is more after the last one.
    more: bool,
    /// Index of the state that was read.
    index: u64,
}

fn item(key: Vec<u8>, stored: &[u8], keys_only: bool) -> Result<Item> {
    let pair = decode_pair(stored).map_err(internal)?;
    let (create, modify) = (pair.create, pair.modify);
    let (value, value_base64) = match keys_only {
        true => (None, None),
        false => text::text_or_base64(pair.value.to_vec()),
    };
    let (key, key_base64) = text::text_or_base64(key);
    Ok(Item { key, key_base64, value, value_base64, create, modify })
}

async fn get(realm: Arc<Realm>, context: Context, input: GetInput) -> Result<Item> {
    let view = realm.view(context.read).await?;
    let key = input.bytes()?;
    blocking(move || {
        let stored = realm.core.machine.kv_get(&view, &key).map_err(internal)?;
        match stored {
            Some(stored) => item(key, &stored, false),
            None => Err(Error::not_found(format!("key {}: does not exist", key.escape_ascii()))),
        }
    })
    .await
}

async fn list(realm: Arc<Realm>, context: Context, input: ListInput) -> Result<Page> {
    let view = realm.view(context.read).await?;
    let prefix = input.prefix_bytes()?;
    let limit = page_limit(input.limit, limits::SCAN_PAIRS_MAX)?;
    let after = text::optional_bytes("after", input.after, input.after_base64)?;
    blocking(move || {
        let machine = &realm.core.machine;
        let page = machine.kv_list(&view, &prefix, after.as_deref(), limit).map_err(internal)?;
        let items = page.pairs.into_iter().map(|(key, stored)| item(key, &stored, input.keys_only));
        Ok(Page {
            items: items.collect::<Result<_>>()?,
            more: page.more,
            index: view.applied().index,
        })
    })
    .await
}
