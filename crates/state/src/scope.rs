//! One instruction's window on the state.

use crate::{
    Applied, Key, Page, Range, StateError, Value, View, Writes, gaps::Gaps, key::shown,
    writes::weight,
};
use althing_protocol::{Error, limits};
use std::{cell::RefCell, collections::BTreeMap, fmt, ops::Bound};

/// A view with an instruction's own writes over it. Reads see the writes first.
///
/// It is owned, so it can travel into a guest's store and back. Dropping it undoes everything;
/// [`into_writes`](Self::into_writes) gives what to merge into the [`Tip`](crate::Tip).
pub struct Scope {
    view: View,
    writes: Writes,
    /// One for each open savepoint, innermost last: what the keys written since had before.
    undo: Vec<BTreeMap<Key, Option<Option<Value>>>>,
    /// Learned by scans.
    gaps: RefCell<Gaps>,
    bytes_max: usize,
}

/// A moment to go back to. Savepoints nest: the last one taken ends first.
#[derive(Debug)]
#[must_use = "a savepoint ends with `rollback` or `release`"]
pub struct Savepoint {
    depth: usize,
}

/// A key that was written, with its value before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// Its value before, or none.
    pub old: Option<Value>,
    /// Its value after, or none.
    pub new: Option<Value>,
}

impl Scope {
    /// A scope over `view` without writes.
    pub fn new(view: View) -> Self {
        let bytes_max = limits::SCOPE_WRITES_BYTES_MAX;
        Self { view, writes: Writes::new(), undo: Vec::new(), gaps: RefCell::default(), bytes_max }
    }

    /// Lets all of it be `bytes` longer than [`limits::SCOPE_WRITES_BYTES_MAX`] from now on: for what
    /// is noted in any case, also when the writes that it is about are as long as they may be.
    pub fn allow_more(&mut self, bytes: usize) {
        self.bytes_max = limits::SCOPE_WRITES_BYTES_MAX + bytes;
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn get(&self, key: &Key) -> Result<Option<Value>, StateError> {
        match self.writes.get(key) {
            Some(value) => Ok(value.cloned()),
            None => self.view.get(key),
        }
    }

    /// Part of an ordered scan; see [`View::scan`].
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn scan(
        &self,
        keyspace: &str,
        start: Bound<&[u8]>,
        prefix: &[u8],
        limit_pairs: usize,
        limit_bytes: usize,
    ) -> Result<Page, StateError> {
        let range = Range { start, ..Range::of_prefix(prefix) };
        self.range(keyspace, range, limit_pairs, limit_bytes)
    }

    /// The pairs of `keyspace` in `range`; see [`View::range`].
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn range(
        &self,
        keyspace: &str,
        range: Range<'_>,
        limit_pairs: usize,
        limit_bytes: usize,
    ) -> Result<Page, StateError> {
        let overlay = Some((&self.writes, &self.gaps));
        self.view.page(overlay, range.within(keyspace), limit_pairs, limit_bytes)
    }

    /// Writes `value` to `key`.
    ///
    /// # Errors
    /// `invalid` when key or value is longer than what is stored may be; `exhausted` when the scope's writes are.
    pub fn put(&mut self, key: Key, value: impl Into<Value>) -> Result<(), Error> {
        self.write(key, Some(value.into()))
    }

    /// Deletes `key`, if it is there.
    ///
    /// # Errors
    /// `invalid` when the key is too long; `exhausted` when the scope's writes are.
    pub fn delete(&mut self, key: Key) -> Result<(), Error> {
        self.write(key, None)
    }

    fn write(&mut self, key: Key, value: Option<Value>) -> Result<(), Error> {
        check_pair(&key, value.as_deref())?;
        let replaced = match self.writes.get(&key) {
            Some(old) => weight(&key, old),
            None => 0,
        };
        let bytes = self.writes.bytes() - replaced + weight(&key, value.as_ref());
        if bytes > self.bytes_max {
            return Err(Error::exhausted(format!(
                "writes of the instruction: {bytes} bytes, the limit is {}; write less at once",
                self.bytes_max
            )));
        }
        if value.is_some() {
            self.gaps.get_mut().split(key.as_bytes());
        }
        match self.undo.last_mut() {
            None => drop(self.writes.set(key, value)),
            Some(undo) => {
                let old = self.writes.set(key.clone(), value);
                undo.entry(key).or_insert(old);
            }
        }
        Ok(())
    }

    /// Starts a part that can be undone alone. It costs one more map entry per key written in it.
    pub fn savepoint(&mut self) -> Savepoint {
        self.undo.push(BTreeMap::new());
        Savepoint { depth: self.undo.len() }
    }

    /// Undoes all since `savepoint`.
    ///
    /// # Panics
    /// When a savepoint taken later is still open.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        for (key, old) in self.close(savepoint) {
            self.gaps.get_mut().split(key.as_bytes());
            match old {
                Some(old) => drop(self.writes.set(key, old)),
                None => self.writes.unset(&key),
            }
        }
    }

    /// Keeps all since `savepoint`.
    ///
    /// # Panics
    /// When a savepoint taken later is still open.
    pub fn release(&mut self, savepoint: Savepoint) {
        let inner = self.close(savepoint);
        if let Some(outer) = self.undo.last_mut() {
            for (key, old) in inner {
                outer.entry(key).or_insert(old);
            }
        }
    }

    /// What changed since the innermost savepoint, by key.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn changes(&self) -> Result<Vec<Change>, StateError> {
        let since = self.undo.last().into_iter().flatten();
        since
            .map(|(key, before)| {
                let old = match before {
                    Some(value) => value.clone(),
                    None => self.view.get(key)?,
                };
                let new = self.writes.get(key).flatten().cloned();
                Ok(Change { key: key.clone(), old, new })
            })
            .collect()
    }

    fn close(&mut self, savepoint: Savepoint) -> BTreeMap<Key, Option<Option<Value>>> {
        assert_eq!(savepoint.depth, self.undo.len(), "savepoints end in reverse order");
        self.undo.pop().unwrap_or_default()
    }

    /// The writes so far.
    pub fn writes(&self) -> &Writes {
        &self.writes
    }

    /// The position of the view below.
    pub fn applied(&self) -> &Applied {
        self.view.applied()
    }

    /// The view below, without the writes.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Gives up the view and keeps the writes. The view must be gone before the writes are
    /// merged: a map that is shared is copied when it changes.
    ///
    /// # Panics
    /// When a savepoint is open.
    pub fn into_writes(self) -> Writes {
        assert!(self.undo.is_empty(), "a savepoint is open");
        let Self { view, writes, .. } = self;
        drop(view);
        writes
    }
}

/// Checks sizes of a pair, or of a key that is deleted.
pub(crate) fn check_pair(key: &Key, value: Option<&[u8]>) -> Result<(), Error> {
    let bytes = key.key().len();
    if bytes > limits::KEY_BYTES_MAX {
        return Err(Error::invalid(format!(
            "key of {}: {bytes} bytes, the limit is {}",
            key.keyspace(),
            limits::KEY_BYTES_MAX
        )));
    }
    match value.map(<[u8]>::len) {
        Some(bytes) if bytes > limits::STORED_VALUE_BYTES_MAX => Err(Error::invalid(format!(
            "value of key {}: {bytes} bytes, the limit is {}",
            shown(key.key()),
            limits::STORED_VALUE_BYTES_MAX
        ))),
        _ => Ok(()),
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope {{ view: {:?}, writes: {} }}", self.view, self.writes.len())
    }
}
