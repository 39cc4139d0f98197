//! Pages of accounts and amounts.

use crate::{Account, Amount};
use althing_sdk::{Error, Result, db};
use serde::Serialize;

/// Rows on a page.
const LIMIT_MAX: u32 = 500;

pub(crate) fn limit_max() -> u32 {
    LIMIT_MAX
}

/// Rows in the order of the accounts.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    items: Vec<(String, Amount)>,
    /// There are more after the last one.
    more: bool,
}

impl Page {
    /// The amounts at `prefix`, whose keys end in an account, after the account `after`.
    pub(crate) fn read(prefix: &str, after: Option<&Account>, limit: u32) -> Result<Self> {
        let limit = limit.clamp(1, LIMIT_MAX);
        // One more than is shown, to know whether there is one.
        let mut scan = db::scan(prefix).page(limit + 1);
        if let Some(after) = after {
            scan = scan.after(format!("{prefix}{after}"));
        }
        let row = |(key, value): (Vec<u8>, Vec<u8>)| {
            let account = key.get(prefix.len()..).unwrap_or_default().to_vec();
            let account = String::from_utf8(account)
                .map_err(|_| Error::new("an account in the state is damaged"))?;
            Ok((account, Amount::from_bytes(&value)?))
        };
        let limit = limit as usize;
        let mut items: Vec<_> =
            scan.take(limit + 1).map(|pair| pair.and_then(row)).collect::<Result<_>>()?;
        let more = items.len() > limit;
        items.truncate(limit);
        Ok(Self { items, more })
    }
}
