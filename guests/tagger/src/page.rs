//! Pages of queries.

use crate::rule::Rule;
use althing_sdk::{Error, Reply, Result, db, reply, serde_json};
use serde::Serialize;

/// Items on one page.
const ITEMS_MAX: u32 = 1_000;
/// Bytes of the items on one page, so that it fits an output.
const BYTES_MAX: usize = 56 << 10;

/// A part of an ordered list.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    items: Vec<Item>,
    /// There is more after the last one.
    more: bool,
}

/// What a page is made of.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Item {
    Path(String),
    Count { tag: String, files: u64 },
    Rule { tag: String, rule: Rule },
}

impl Item {
    pub(crate) fn plain(path: String) -> Self {
        Self::Path(path)
    }
}

impl Page {
    /// At most `limit` items of the keys that start with `prefix`, and come after `after` behind it.
    /// `item` gets what follows the prefix, and the value.
    pub(crate) fn of(
        prefix: &[u8],
        after: Option<&str>,
        limit: u32,
        item: impl Fn(String, &[u8]) -> Result<Item>,
    ) -> Result<Reply> {
        let limit = limit.clamp(1, ITEMS_MAX);
        // One more than is asked for, to know whether there is more.
        let mut scan = db::scan(prefix).page(limit + 1);
        if let Some(after) = after {
            scan = scan.after([prefix, after.as_bytes()].concat());
        }
        let mut page = Self { items: Vec::new(), more: false };
        let mut bytes = 0;
        for pair in scan {
            let (key, value) = pair?;
            if page.items.len() == limit as usize {
                page.more = true;
                break;
            }
            let name = key.get(prefix.len()..).unwrap_or_default().to_vec();
            let name = String::from_utf8(name).map_err(|_| Error::new("a key is no text"))?;
            let item = item(name, &value)?;
            bytes += serde_json::to_string(&item).map_err(|e| Error::new(e.to_string()))?.len() + 1;
            if bytes > BYTES_MAX {
                page.more = true;
                break;
            }
            page.items.push(item);
        }
        reply(page)
    }
}
