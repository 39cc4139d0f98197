//! `query:kv.list.v1`, page by page.

use crate::{context::Remote, values};
use althing_protocol::{Error, Result, limits};
use serde_json::{Map, Value};

/// Items of one page: as many as the node gives.
const PAGE_ITEMS: u64 = limits::SCAN_PAIRS_MAX as u64;

/// The keys that begin with a prefix, in order.
pub(crate) struct Pages<'a> {
    remote: &'a Remote,
    input: Map<String, Value>,
    left: u64,
    more: bool,
}

impl<'a> Pages<'a> {
    /// All of them.
    pub(crate) fn new(remote: &'a Remote, prefix: &[u8]) -> Self {
        let mut input = Map::new();
        values::insert(&mut input, "prefix", prefix.to_vec());
        Self { remote, input, left: u64::MAX, more: true }
    }

    /// Without their values.
    pub(crate) fn keys_only(mut self) -> Self {
        self.input.insert("keys_only".into(), true.into());
        self
    }

    /// At most `limit` of them.
    pub(crate) fn limit(mut self, limit: u64) -> Self {
        self.left = limit;
        self
    }

    /// Those after `key`.
    pub(crate) fn after(mut self, key: Option<String>) -> Self {
        if let Some(key) = key {
            self.input.insert("after".into(), key.into());
        }
        self
    }

    /// Whether there are more than were given.
    pub(crate) fn more(&self) -> bool {
        self.more
    }

    /// The next page; `None` when all or the limit are given.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Value>>> {
        if !self.more || self.left == 0 {
            return Ok(None);
        }
        self.input.insert("limit".into(), self.left.min(PAGE_ITEMS).into());
        let mut page = self.remote.call("query:kv.list.v1", self.input.clone().into()).await?;
        self.more = page.get("more") == Some(&Value::Bool(true));
        let items = match page.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => return Err(Error::internal("answer to query:kv.list.v1: has no items")),
        };
        self.left = self.left.saturating_sub(items.len() as u64);
        let last = items.last().and_then(|item| values::extract(item, "key"));
        match last {
            Some(key) => {
                for name in ["after", "after_base64"] {
                    self.input.remove(name);
                }
                values::insert(&mut self.input, "after", key);
            }
            None => self.more = false,
        }
        Ok(Some(items))
    }
}
