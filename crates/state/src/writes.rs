//! What one instruction, or many, changed.

use crate::{Key, digest};
use althing_protocol::Hash;
use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

/// A value; shared, never copied.
pub type Value = Arc<[u8]>;

/// Keys with their new values, in order; `None` is a deletion.
///
/// It has no limits of its own: a [`Scope`](crate::Scope) checks what guests write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    map: BTreeMap<Key, Option<Value>>,
    bytes: usize,
}

/// What a write counts for: its key, and its value if it has one.
pub(crate) fn weight(key: &Key, value: Option<&Value>) -> usize {
    key.as_bytes().len() + value.map_or(0, |v| v.len())
}

impl Writes {
    /// No writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a new value.
    pub fn put(&mut self, key: Key, value: impl Into<Value>) {
        self.set(key, Some(value.into()));
    }

    /// Adds a deletion.
    pub fn delete(&mut self, key: Key) {
        self.set(key, None);
    }

    /// Adds a new value or a deletion; gives back the write it replaces.
    pub(crate) fn set(&mut self, key: Key, value: Option<Value>) -> Option<Option<Value>> {
        let key_bytes = key.as_bytes().len();
        self.bytes += weight(&key, value.as_ref());
        let old = self.map.insert(key, value);
        if let Some(old) = &old {
            self.bytes -= key_bytes + old.as_ref().map_or(0, |v| v.len());
        }
        old
    }

    /// Takes a write away.
    pub(crate) fn unset(&mut self, key: &Key) {
        if let Some(old) = self.map.remove(key) {
            self.bytes -= weight(key, old.as_ref());
        }
    }

    /// The write to `key`, if there is one.
    pub fn get(&self, key: &Key) -> Option<Option<&Value>> {
        self.map.get(key).map(Option::as_ref)
    }

    /// Adds all of `later`, which wins where both wrote.
    pub fn merge(&mut self, later: Self) {
        for (key, value) in later.map {
            self.set(key, value);
        }
    }

    /// How many keys are written.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Keys and values, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The writes in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, Option<&Value>)> {
        self.map.iter().map(|(key, value)| (key, value.as_ref()))
    }

    pub(crate) fn map(&self) -> &BTreeMap<Key, Option<Value>> {
        &self.map
    }

    /// What goes into the chain of results: the same for the same writes, however they came about.
    ///
    /// BLAKE3 in its key derivation mode, context `althing writes v1`, over each write in key
    /// order: length of the key (4 bytes, little-endian) and the key; then `0` for a deletion, or
    /// `1`, the length of the value (4 bytes) and the value.
    pub fn digest(&self) -> Hash {
        digest::writes(self)
    }
}

impl IntoIterator for Writes {
    type Item = (Key, Option<Value>);
    type IntoIter = btree_map::IntoIter<Key, Option<Value>>;

    fn into_iter(self) -> Self::IntoIter {
        self.map.into_iter()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("k", name.as_bytes())
    }

    #[test]
    fn bytes_follow_replacements() {
        let mut writes = Writes::new();
        writes.put(key("a"), *b"12345");
        assert_eq!(writes.bytes(), 3 + 5);
        writes.put(key("a"), *b"1");
        writes.delete(key("b"));
        assert_eq!((writes.len(), writes.bytes()), (2, 3 + 1 + 3));
        writes.delete(key("a"));
        writes.unset(&key("b"));
        assert_eq!((writes.len(), writes.bytes()), (1, 3));
        let mut later = Writes::new();
        later.put(key("a"), *b"12");
        writes.merge(later);
        assert_eq!((writes.len(), writes.bytes()), (1, 5));
    }

    #[test]
    fn the_digest_tells_writes_apart() {
        let of = |writes: &[(&str, Option<&[u8]>)]| {
            let mut all = Writes::new();
            for (name, value) in writes {
                all.set(key(name), value.map(Value::from));
            }
            all.digest()
        };
        let a: &[u8] = b"1";
        assert_eq!(of(&[("a", Some(a)), ("b", None)]), of(&[("b", None), ("a", Some(a))]));
        let different = [
            of(&[]),
            of(&[("a", None)]),
            of(&[("a", Some(b""))]),
            of(&[("a", Some(a))]),
            of(&[("b", Some(a))]),
            of(&[("a", Some(a)), ("b", Some(a))]),
        ];
        for (i, one) in different.iter().enumerate() {
            assert!(!different[i + 1..].contains(one), "{i}");
        }
    }
}
