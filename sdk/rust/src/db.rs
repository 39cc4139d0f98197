//! The contract's keyspace: an ordered map from bytes to bytes, its own alone.
//!
//! Reads see the writes of the same call. Keys have 1 to 4,096 bytes, values at most 1 MiB.

use crate::{Error, Result, host};
use serde::{Serialize, de::DeserializeOwned};
use std::vec;

/// The value of `key`.
///
/// # Errors
/// When the key is empty or too long.
pub fn get(key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
    host::db_get(key.as_ref())
}

/// The value of `key`, which is JSON.
///
/// # Errors
/// As [`get`], and when the value is not a `T`.
pub fn get_json<T: DeserializeOwned>(key: impl AsRef<[u8]>) -> Result<Option<T>> {
    let key = key.as_ref();
    let Some(value) = get(key)? else { return Ok(None) };
    decode(key, &value).map(Some)
}

/// Writes `key`.
///
/// # Errors
/// When key or value are too long, when the call has written too much, in a query.
pub fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
    host::db_put(key.as_ref(), value.as_ref())
}

/// Writes `key`, with `value` as JSON.
///
/// # Errors
/// As [`put`], and when the value cannot be JSON.
pub fn put_json(key: impl AsRef<[u8]>, value: &(impl Serialize + ?Sized)) -> Result<()> {
    let key = key.as_ref();
    let json = serde_json::to_vec(value).map_err(|error| {
        Error::new(format!("value of {}: {error}", String::from_utf8_lossy(key)))
    })?;
    put(key, json)
}

/// Deletes `key`; true when it was there.
///
/// # Errors
/// As [`put`].
pub fn delete(key: impl AsRef<[u8]>) -> Result<bool> {
    host::db_delete(key.as_ref())
}

/// The pairs whose keys start with `prefix`, in order. They are fetched page by page.
pub fn scan(prefix: impl Into<Vec<u8>>) -> Scan {
    Scan { prefix: prefix.into(), after: None, page: 64, pairs: Vec::new().into_iter(), more: true }
}

/// A value that should be JSON.
///
/// # Errors
/// When it is not a `T`.
pub fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T> {
    serde_json::from_slice(value)
        .map_err(|error| Error::new(format!("value of {}: {error}", String::from_utf8_lossy(key))))
}

/// Pairs in order: see [`scan`].
#[derive(Debug)]
pub struct Scan {
    prefix: Vec<u8>,
    after: Option<Vec<u8>>,
    page: u32,
    pairs: vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    more: bool,
}

impl Scan {
    /// Starts after `key`, which need not exist.
    #[must_use]
    pub fn after(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.after = Some(key.into());
        self
    }

    /// Fetches `pairs` at a time instead of 64. What is fetched is paid for, so ask for no more than
    /// is used.
    #[must_use]
    pub fn page(mut self, pairs: u32) -> Self {
        self.page = pairs.max(1);
        self
    }
}

impl Iterator for Scan {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(pair) = self.pairs.next() {
                return Some(Ok(pair));
            }
            if !self.more {
                return None;
            }
            match host::db_scan(&self.prefix, self.after.as_deref(), self.page) {
                Ok((pairs, more)) => {
                    self.more = more && !pairs.is_empty();
                    if let Some((last, _)) = pairs.last() {
                        self.after = Some(last.clone());
                    }
                    self.pairs = pairs.into_iter();
                }
                Err(error) => {
                    self.more = false;
                    return Some(Err(error));
                }
            }
        }
    }
}
