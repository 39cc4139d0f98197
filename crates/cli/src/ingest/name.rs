//! Names of files as keys.
//!
//! A key is `PREFIX/<absolute path>`; a directory's ends with a slash. So the keys of a tree are in
//! byte order exactly when it is walked in depth, siblings ordered by [`segment`]: what is below
//! `a/` stays together, and `a.b`, which sorts before `a/`, comes before all of it.

use althing_protocol::{Error, Result};
use std::{
    ffi::OsStr,
    fmt::{self, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path},
};

/// A name as UTF-8 without control characters, reversibly: `\` is `\\`, a control character or a
/// byte that is not UTF-8 is `\xNN`.
pub(crate) fn escape(name: &OsStr) -> String {
    let mut escaped = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => escaped.push_str("\\\\"),
                c if c.is_ascii_control() => push_hex(&mut escaped, c as u8),
                c => escaped.push(c),
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_hex(&mut escaped, byte));
    }
    escaped
}

fn push_hex(text: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\\x{byte:02x}");
}

/// What a sibling contributes to the key, and what siblings are ordered by.
pub(crate) fn segment(name: &OsStr, directory: bool) -> String {
    let mut segment = escape(name);
    if directory {
        segment.push('/');
    }
    segment
}

/// An absolute path as text: the names escaped, a slash before each; nothing for the root.
pub(crate) fn path(path: &Path) -> String {
    let mut text = String::with_capacity(path.as_os_str().len());
    for component in path.components() {
        if let Component::Normal(name) = component {
            text.push('/');
            text.push_str(&escape(name));
        }
    }
    text
}

/// The keyspace of an ingest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// Checks the prefix: slashes at its end do not count, one at its start is wanted.
    ///
    /// # Errors
    /// `invalid`, saying what a prefix looks like.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        let trimmed = prefix.trim_end_matches('/');
        if !trimmed.starts_with('/') || trimmed.contains("//") {
            return Err(Error::invalid(format!(
                "prefix {prefix:?}: wants whole segments after a slash, like /files"
            )));
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// The path that `key` stands for, as records have it.
    pub(crate) fn path_of(&self, key: &[u8]) -> String {
        let path = key.strip_prefix(self.0.as_bytes()).unwrap_or(key);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        // Only a key that no ingest wrote is not UTF-8.
        String::from_utf8_lossy(path).into_owned()
    }

    /// The key of the absolute path `path`.
    pub(crate) fn key(&self, path: &Path, directory: bool) -> String {
        let slash = if directory { "/" } else { "" };
        format!("{}{}{slash}", self.0, self::path(path))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// The way back, which proves that nothing is lost.
    fn unescape(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            if let Some(after) = rest[at..].strip_prefix("\\\\") {
                bytes.push(b'\\');
                rest = after;
            } else {
                bytes.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).unwrap());
                rest = &rest[at + 4..];
            }
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    #[test]
    fn common_names_stay_as_they_are() {
        assert_eq!(escape(OsStr::new("Übersicht 100%.txt")), "Übersicht 100%.txt");
        assert_eq!(escape(OsStr::from_bytes(b"a\xff\n\\x")), r"a\xff\x0a\\x");
    }

    #[test]
    fn keys_are_absolute_paths_under_the_prefix() {
        let prefix = Prefix::new("/files//").unwrap();
        assert_eq!(prefix.key(Path::new("/usr/share"), true), "/files/usr/share/");
        assert_eq!(prefix.key(Path::new("/usr/share"), false), "/files/usr/share");
        assert_eq!(prefix.key(Path::new("/"), true), "/files/");
        for directory in [false, true] {
            let key = prefix.key(Path::new("/usr/share"), directory);
            assert_eq!(prefix.path_of(key.as_bytes()), path(Path::new("/usr/share")));
        }
        for bad in ["", "/", "files", "/a//b"] {
            assert!(Prefix::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn escaping_is_reversible(name in proptest::collection::vec(1u8.., 0..40)) {
            let escaped = escape(OsStr::from_bytes(&name));
            prop_assert!(!escaped.contains(char::is_control) || escaped.chars().any(|c| c.is_control() && !c.is_ascii()));
            prop_assert_eq!(unescape(&escaped), name);
        }
    }
}
