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

/// Deletes the first keys that start with `prefix`, at most `limit` of them, and at most 10,000.
///
/// # Errors
/// As [`delete`].
pub fn delete_prefix(prefix: impl AsRef<[u8]>, limit: u32) -> Result<Deleted> {
    host::db_delete_prefix(prefix.as_ref(), limit)
}

/// What [`delete_prefix`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Keys that were deleted.
    pub keys: u32,
    /// There are more keys with that prefix: go on in this call, or in the next instruction.
    pub more: bool,
}

/// The pairs whose keys start with `prefix`, in ascending order. They are fetched page by page.
pub fn scan(prefix: impl Into<Vec<u8>>) -> Scan {
    let range = Range { prefix: prefix.into(), after: None, before: None, is_descending: false };
    Scan { range, page: 64, pairs: Vec::new().into_iter(), more: true }
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
    range: Range,
    page: u32,
    pairs: vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    more: bool,
}

/// What is left of a scan.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) prefix: Vec<u8>,
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) before: Option<Vec<u8>>,
    pub(crate) is_descending: bool,
}

impl Scan {
    /// Only keys after `key`, which need not exist.
    #[must_use]
    pub fn after(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.range.after = Some(key.into());
        self
    }

    /// Only keys before `key`, which need not exist.
    #[must_use]
    pub fn before(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.range.before = Some(key.into());
        self
    }

    /// From the last key to the first.
    #[must_use]
    pub fn rev(mut self) -> Self {
        self.range.is_descending = true;
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
            match host::db_scan(&self.range, self.page) {
                Ok((pairs, more)) => {
                    self.more = more && !pairs.is_empty();
                    if let Some((last, _)) = pairs.last() {
                        let end = match self.range.is_descending {
                            true => &mut self.range.before,
                            false => &mut self.range.after,
                        };
                        *end = Some(last.clone());
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
