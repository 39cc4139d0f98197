//! Keys: a keyspace, a zero byte, and the key within it.

use smallvec::SmallVec;
use std::{borrow::Borrow, fmt};

/// A keyspace's name, in bytes: a program's id, and a suffix for what belongs to the program.
pub const KEYSPACE_BYTES_MAX: usize = 128;

/// Most keys are shorter than this and need no allocation, those of sessions and their decided
/// instructions among them, which every entry writes.
const INLINE_BYTES: usize = 56;

/// `keyspace ‖ 0 ‖ key`, ordered bytewise.
///
/// A keyspace's name has no zero byte, so a keyspace is a contiguous range, and no key of one
/// keyspace can be read as a key of another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(SmallVec<[u8; INLINE_BYTES]>);

impl Key {
    /// The key `key` of `keyspace`. Its length is checked where it is written.
    ///
    /// # Panics
    /// When `keyspace` is empty, has a zero byte or is longer than [`KEYSPACE_BYTES_MAX`]: names
    /// of keyspaces come from checked program ids, never from a guest.
    pub fn new(keyspace: &str, key: &[u8]) -> Self {
        let name = keyspace.as_bytes();
        assert!(
            !name.is_empty() && name.len() <= KEYSPACE_BYTES_MAX && !name.contains(&0),
            "keyspace {keyspace:?}: wants 1 to {KEYSPACE_BYTES_MAX} bytes, none of them zero"
        );
        let mut bytes = SmallVec::with_capacity(name.len() + 1 + key.len());
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(key);
        Self(bytes)
    }

    /// A key as stored, if it is well formed.
    pub(crate) fn from_stored(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().take(KEYSPACE_BYTES_MAX + 1).position(|b| *b == 0)?;
        let named = end > 0 && std::str::from_utf8(&bytes[..end]).is_ok();
        named.then(|| Self(SmallVec::from_slice(bytes)))
    }

    /// The keyspace's name.
    pub fn keyspace(&self) -> &str {
        let Ok(name) = std::str::from_utf8(&self.0[..self.separator()]) else {
            unreachable!("a key begins with a string")
        };
        name
    }

    /// The key within its keyspace.
    pub fn key(&self) -> &[u8] {
        &self.0[self.separator() + 1..]
    }

    /// All of it, as it is ordered and stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn separator(&self) -> usize {
        let Some(end) = self.0.iter().position(|b| *b == 0) else {
            unreachable!("a key has a separator")
        };
        end
    }
}

/// The first bytes of a key, for messages: a key can be longer than what is read.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match bytes.split_at_checked(64) {
        Some((start, rest)) if !rest.is_empty() => format!("\"{}...\"", start.escape_ascii()),
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.keyspace(), shown(self.key()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        for (keyspace, key) in [("sys", &b""[..]), ("sys.grants", b"\0a\0"), ("a", &[7; 300])] {
            let made = Key::new(keyspace, key);
            assert_eq!((made.keyspace(), made.key()), (keyspace, key));
            assert_eq!(Key::from_stored(made.as_bytes()), Some(made));
        }
    }

    #[test]
    fn a_stored_key_without_a_keyspace_is_refused() {
        for bytes in [&b""[..], b"\0key", b"no separator", &[b'a'; 200], b"\xff\0key"] {
            assert_eq!(Key::from_stored(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn it_stays_small() {
        assert_eq!(size_of::<Key>(), 64);
    }
}
