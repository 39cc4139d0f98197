//! What is known of a file.

use serde::{Deserialize, Serialize};

/// A file, as whoever walks the tree tells it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its path, with `/` between the names.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified, in microseconds since the Unix epoch.
    pub modified_us: u64,
    /// What it is; a file when left out.
    #[serde(default)]
    pub kind: Kind,
}

/// What lies at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    #[default]
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A socket, a pipe, a device.
    Other,
}

/// A file as the state keeps it, under its path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) size: u64,
    pub(crate) modified_us: u64,
    pub(crate) kind: Kind,
    /// In order.
    pub(crate) tags: Vec<String>,
}
