//! Hashes over sets of pairs and over writes.

use crate::{Key, Writes};
use althing_protocol::Hash;
use blake3::{
    Hasher,
    hazmat::{ContextKey, HasherExt, hash_derive_key_context},
};
use solana_lattice_hash::lt_hash::LtHash;
use std::sync::LazyLock;

static WRITES: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("althing writes v1"));
static PAIR: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("althing state pair v1"));
static STATE: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("althing state hash v1"));

/// Bytes of a stored [`StateSum`].
pub(crate) const SUM_BYTES: usize = 2 * LtHash::NUM_ELEMENTS;

/// The homomorphic sum over all pairs of the state: adding and removing pairs in any order gives
/// the same sum for the same set.
///
/// An element is 1,024 16-bit little-endian integers: the first 2,048 bytes of BLAKE3's extended
/// output in key derivation mode, context `althing state pair v1`, over the length of the key
/// (4 bytes, little-endian), the key with its keyspace, and the value. The sum is modulo 2^16 in
/// each of the 1,024 places. The *state hash* is BLAKE3, context `althing state hash v1`, over the
/// sum's bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StateSum(Box<LtHash>);

impl StateSum {
    pub(crate) fn empty() -> Self {
        Self(Box::new(LtHash::identity()))
    }

    pub(crate) fn add(&mut self, key: &Key, value: &[u8]) {
        self.0.mix_in(&element(key, value));
    }

    pub(crate) fn remove(&mut self, key: &Key, value: &[u8]) {
        self.0.mix_out(&element(key, value));
    }

    /// One change of a key: what it was, what it is. An unchanged value costs nothing.
    pub(crate) fn change(&mut self, key: &Key, old: Option<&[u8]>, new: Option<&[u8]>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.remove(key, old);
        }
        if let Some(new) = new {
            self.add(key, new);
        }
    }

    pub(crate) fn hash(&self) -> Hash {
        let hash = Hasher::new_from_context_key(&STATE).update(&self.to_bytes()).finalize();
        Hash(*hash.as_bytes())
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.0.iter().flat_map(|element| element.to_le_bytes()).collect()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != SUM_BYTES {
            return None;
        }
        let mut sum = Self::empty();
        for (element, pair) in sum.0.0.iter_mut().zip(bytes.chunks_exact(2)) {
            *element = u16::from_le_bytes([pair[0], pair[1]]);
        }
        Some(sum)
    }
}

fn element(key: &Key, value: &[u8]) -> LtHash {
    let mut hasher = Hasher::new_from_context_key(&PAIR);
    hasher.update(&length(key.as_bytes())).update(key.as_bytes()).update(value);
    LtHash::with(&hasher)
}

pub(crate) fn writes(writes: &Writes) -> Hash {
    let mut hasher = Hasher::new_from_context_key(&WRITES);
    for (key, value) in writes.iter() {
        hasher.update(&length(key.as_bytes())).update(key.as_bytes());
        match value {
            None => hasher.update(&[0]),
            Some(value) => hasher.update(&[1]).update(&length(value)).update(value),
        };
    }
    Hash(*hasher.finalize().as_bytes())
}

fn length(bytes: &[u8]) -> [u8; 4] {
    let Ok(length) = u32::try_from(bytes.len()) else {
        unreachable!("keys and values are far below 4 GiB")
    };
    length.to_le_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The digests are part of what nodes compare: these values never change.
    #[test]
    fn golden() {
        let mut sum = StateSum::empty();
        assert_eq!(sum.hash().to_string(), EMPTY);
        sum.add(&Key::new("sys", b"key"), b"value");
        assert_eq!(sum.hash().to_string(), ONE);
        let mut writes = Writes::new();
        writes.put(Key::new("sys", b"key"), *b"value");
        writes.delete(Key::new("sys", b"gone"));
        assert_eq!(writes.digest().to_string(), WRITTEN);
    }
    const EMPTY: &str = "545cadeac03d93c4bce881b1120e8ac67e79ac1bb91c7b2119a555acd89c64b3";
    const ONE: &str = "2de7e2e7f73a3352757a268e758b214bee3862b5a079b9dc736885dc0c414694";
    const WRITTEN: &str = "70ca41072a837c038df88659b501405c6c1991ef1767a4d25965208c709b26ef";

    #[test]
    fn order_and_history_do_not_matter() {
        let (a, b) = (Key::new("x", b"a"), Key::new("y", b"b"));
        let mut one = StateSum::empty();
        one.add(&a, b"1");
        one.change(&b, None, Some(b"2"));
        let mut other = StateSum::empty();
        other.add(&b, b"0");
        other.add(&a, b"1");
        other.change(&b, Some(b"0"), Some(b"2"));
        assert_eq!(one.hash(), other.hash());
        other.change(&b, Some(b"2"), None);
        assert_ne!(one.hash(), other.hash());
        assert!(StateSum::from_bytes(&other.to_bytes()).unwrap() == other);
    }

    #[test]
    fn where_a_key_ends_matters() {
        let mut one = StateSum::empty();
        one.add(&Key::new("x", b"ab"), b"c");
        let mut other = StateSum::empty();
        other.add(&Key::new("x", b"a"), b"bc");
        assert_ne!(one.hash(), other.hash());
    }
}
