//! A directory tree as records in the order of their keys.

use super::name::{self, Prefix};
use althing_protocol::limits;
use futures::{Stream, StreamExt as _, stream};
use serde::Serialize;
use std::{
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};
use tokio::sync::mpsc;
use walkdir::{DirEntry, IntoIter, WalkDir};

/// Metadata of a file: the value under its key, as compact JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct File {
    /// The absolute path, escaped as in [`name`].
    pub path: String,
    pub kind: FileKind,
    /// In bytes; 0 for a directory, whose size says something about its file system only.
    pub size: u64,
    /// Microseconds since the epoch.
    pub modified_us: i64,
    /// Permission bits.
    pub mode: u32,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileKind {
    File,
    Directory,
    Symlink,
    /// A socket, a pipe, a device.
    Other,
}

/// A file as it goes into the realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub key: String,
    pub value: Vec<u8>,
    pub file: File,
}

/// What walking finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    Found(Record),
    /// What has this key, or lies below it where it ends with a slash, could not be read: nobody
    /// knows whether it is there.
    Unreadable {
        key: String,
        problem: Problem,
    },
    /// Has no place in the realm, nor what is below it.
    Skipped(Problem),
}

/// A file that could not be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    pub path: String,
    pub reason: String,
}

/// Walks what is at a path: the file itself, and what is below it when it is a directory. Does not
/// follow symlinks. A path with nothing there gives nothing.
pub(crate) struct Walk {
    prefix: Prefix,
    top: PathBuf,
    /// Left out, with all below it: the node's own data, which every ingest changes.
    without: Option<PathBuf>,
    entries: IntoIter,
}

impl Walk {
    /// `top` is absolute.
    pub(crate) fn new(
        prefix: Prefix,
        top: &Path,
        depth_max: usize,
        without: Option<PathBuf>,
    ) -> Self {
        let entries = WalkDir::new(top)
            .follow_links(false)
            .follow_root_links(false)
            .max_depth(depth_max)
            .sort_by(|a, b| segment(a).cmp(&segment(b)))
            .into_iter();
        Self { prefix, top: top.to_owned(), without, entries }
    }

    /// The records, read ahead on a thread for blocking work.
    pub(crate) fn stream(self) -> impl Stream<Item = Walked> {
        const CHUNK: usize = 256;
        let (sender, receiver) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            let mut walk = self;
            loop {
                let chunk: Vec<Walked> = walk.by_ref().take(CHUNK).collect();
                let last = chunk.len() < CHUNK;
                if sender.blocking_send(chunk).is_err() || last {
                    return;
                }
            }
        });
        stream::unfold(receiver, |mut receiver| async {
            let chunk = receiver.recv().await?;
            Some((stream::iter(chunk), receiver))
        })
        .flatten()
    }

    fn entry(&mut self, entry: &DirEntry) -> Option<Walked> {
        let directory = entry.file_type().is_dir();
        let key = self.prefix.key(entry.path(), directory);
        let path = name::path(entry.path());
        if key.len() > limits::KEY_BYTES_MAX {
            if directory {
                self.entries.skip_current_dir();
            }
            let reason =
                format!("its key has {} bytes, the limit is {}", key.len(), limits::KEY_BYTES_MAX);
            return Some(Walked::Skipped(Problem { path, reason }));
        }
        match entry.metadata() {
            Ok(metadata) => Some(Walked::Found(record(key, path, entry, &metadata))),
            Err(e) => self.error(key, path, &e),
        }
    }

    /// What has vanished since its directory was read is not there: no problem.
    fn error(&self, key: String, path: String, error: &walkdir::Error) -> Option<Walked> {
        let cause = error.io_error();
        if cause.is_some_and(|e| e.kind() == io::ErrorKind::NotFound) {
            return None;
        }
        let reason = cause.map_or_else(|| error.to_string(), ToString::to_string);
        Some(Walked::Unreadable { key, problem: Problem { path, reason } })
    }
}

impl Iterator for Walk {
    type Item = Walked;

    fn next(&mut self) -> Option<Walked> {
        loop {
            let walked = match self.entries.next()? {
                Ok(entry) if self.without.as_deref() == Some(entry.path()) => {
                    self.entries.skip_current_dir();
                    None
                }
                Ok(entry) => self.entry(&entry),
                // Only a directory fails here; without a path it may be any one.
                Err(e) => {
                    let path = e.path().unwrap_or(&self.top);
                    self.error(self.prefix.key(path, true), name::path(path), &e)
                }
            };
            if walked.is_some() {
                return walked;
            }
        }
    }
}

fn segment(entry: &DirEntry) -> String {
    name::segment(entry.file_name(), entry.file_type().is_dir())
}

fn record(key: String, path: String, entry: &DirEntry, metadata: &Metadata) -> Record {
    let kind = match entry.file_type() {
        t if t.is_dir() => FileKind::Directory,
        t if t.is_symlink() => FileKind::Symlink,
        t if t.is_file() => FileKind::File,
        _ => FileKind::Other,
    };
    let file = File {
        path,
        kind,
        size: if kind == FileKind::Directory { 0 } else { metadata.size() },
        modified_us: metadata
            .mtime()
            .saturating_mul(1_000_000)
            .saturating_add(metadata.mtime_nsec() / 1_000),
        mode: metadata.mode() & 0o7777,
    };
    Record { key, value: encode(&file), file }
}

/// # Panics
/// Never: a struct of texts and numbers has a JSON form.
#[allow(clippy::expect_used)]
fn encode(file: &File) -> Vec<u8> {
    serde_json::to_vec(file).expect("texts and numbers have a JSON form")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::{collections::BTreeSet, ffi::OsStr, fs, os::unix::ffi::OsStrExt as _};

    fn walk(top: &Path) -> Vec<Walked> {
        Walk::new(Prefix::new("/files").unwrap(), top, usize::MAX, None).collect()
    }

    fn records(top: &Path) -> Vec<Record> {
        let found = |walked| match walked {
            Walked::Found(record) => record,
            other => panic!("{other:?}"),
        };
        walk(top).into_iter().map(found).collect()
    }

    #[test]
    fn a_record_says_what_the_file_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::write(root.join("a.txt"), "hello").unwrap();
        std::os::unix::fs::symlink("/nowhere", root.join("link")).unwrap();
        let records = records(&root);
        let kinds: Vec<FileKind> = records.iter().map(|r| r.file.kind).collect();
        assert_eq!(kinds, [FileKind::Directory, FileKind::File, FileKind::Symlink]);
        assert_eq!(records[0].key, format!("/files{}/", root.display()));
        assert_eq!(records[0].file.size, 0);
        assert_eq!(records[1].file.size, 5);
        assert!(records[1].file.modified_us > 1_600_000_000_000_000);
        assert_eq!(records[1].file.path, format!("{}/a.txt", root.display()));
    }

    #[test]
    fn nothing_there_gives_nothing() {
        assert_eq!(walk(Path::new("/no/such/path")), []);
    }

    #[test]
    fn a_symlink_as_top_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().canonicalize().unwrap().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        let records = records(&link);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].file.kind, FileKind::Symlink);
    }

    #[test]
    fn the_nodes_own_data_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("data/realm")).unwrap();
        fs::write(root.join("x"), "").unwrap();
        let prefix = Prefix::new("/files").unwrap();
        let walk = Walk::new(prefix, &root, usize::MAX, Some(root.join("data")));
        assert_eq!(walk.count(), 2);
    }

    #[test]
    fn a_key_too_long_is_named_and_what_is_below_it_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        // Every control character takes four bytes of a key, so the path itself stays legal.
        let segment = "\x01".repeat(250);
        let deep = (0..5).fold(root.clone(), |path, _| path.join(&segment));
        fs::create_dir_all(deep.join("below")).unwrap();
        let walked = walk(&root);
        assert_eq!(walked.len(), 6, "the root, four that fit, and the one that does not");
        let Some(Walked::Skipped(problem)) = walked.last() else { panic!("{walked:?}") };
        assert!(problem.reason.contains("4096"), "{problem:?}");
    }

    /// Paths of names where the order of keys and that of directories differ.
    fn trees() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        let byte = prop_oneof![
            Just(b'a'),
            Just(b'-'),
            Just(b'0'),
            Just(b'.'),
            Just(0xff),
            Just(b'\\'),
            Just(1),
            Just(b'~')
        ];
        let name = proptest::collection::vec(byte, 1..3).prop_map(|mut name| {
            if name == b"." || name == b".." {
                name.push(b'a');
            }
            name
        });
        proptest::collection::vec(proptest::collection::vec(name, 1..5), 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn keys_come_in_byte_order_and_none_is_missing(tree in trees()) {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().canonicalize().unwrap();
            let prefix = Prefix::new("/files").unwrap();
            let mut expected = BTreeSet::from([prefix.key(&root, true)]);
            for names in &tree {
                let mut path = root.clone();
                for name in names {
                    path.push(OsStr::from_bytes(name));
                    // What is a file already stays one: the rest of this path has no place then.
                    let last = std::ptr::eq(name, names.last().unwrap());
                    if last && !path.exists() {
                        fs::write(&path, "").unwrap();
                    } else if !path.exists() {
                        fs::create_dir(&path).unwrap();
                    }
                    expected.insert(prefix.key(&path, path.is_dir()));
                    if !path.is_dir() {
                        break;
                    }
                }
            }
            let keys: Vec<String> = records(&root).into_iter().map(|record| record.key).collect();
            prop_assert_eq!(keys, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
