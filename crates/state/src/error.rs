//! What can go wrong with a node's own state.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

/// A failure of this node's disk or data: it stops the realm and is never an outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// There is a store already where one was to be created.
    #[error("state {0}: exists already; open it, or choose an empty directory")]
    Exists(PathBuf),
    /// There is no store.
    #[error("state {0}: does not exist; create the realm with `althing init`")]
    Missing(PathBuf),
    /// Another process, or a view of this one, holds the file.
    #[error("state: the file is in use; stop the other process that has it open")]
    Locked,
    /// The file is not a store of ours.
    #[error(
        "state: not an Althing state file: {0}; restore it from a backup or a snapshot, or from \
         another member by `althing repair --from KEY@HOST:PORT`"
    )]
    NotOurs(String),
    /// A newer program wrote the file.
    #[error("state: format version {found}, this program reads up to {known}; use a newer program")]
    NewerFormat {
        /// Version in the file.
        found: u32,
        /// The newest version this program reads.
        known: u32,
    },
    /// Bytes on disk are not those we wrote.
    #[error(
        "state: damaged: {0}; restore it from a snapshot, or from another member by `althing repair \
         --from KEY@HOST:PORT`"
    )]
    Corrupt(String),
    /// The store closed this view because it was held too long.
    #[error("state: this view (generation {0}) was held too long and is closed; take a new one")]
    ViewExpired(u64),
    /// A key or value to store breaks a limit.
    #[error("state: {0}")]
    Invalid(althing_protocol::Error),
    /// The file system refused.
    #[error("state {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The storage engine failed.
    #[error("state: storage failed: {0}")]
    Storage(#[source] Box<redb::Error>),
}

impl StateError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Calls into the storage engine where it reads pages that may be damaged.
///
/// Unless it is repairing, redb does not verify a page's checksum, and panics when the page makes no
/// sense. Whatever the panic left behind in the engine is not used: an error here stops the realm.
pub(crate) fn guarded<T>(f: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
    guarded_as(f)
}

/// [`guarded`], for what fails in more ways.
pub(crate) fn guarded_as<T, E: From<StateError>>(f: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason");
        let what = format!("the storage engine cannot read a page: {text}");
        Err(StateError::Corrupt(what).into())
    })
}

impl From<redb::Error> for StateError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Corrupted(what) => Self::Corrupt(what),
            redb::Error::DatabaseAlreadyOpen => Self::Locked,
            other => Self::Storage(Box::new(other)),
        }
    }
}

macro_rules! from_redb {
    ($($name:ident),*) => {
        $(impl From<redb::$name> for StateError {
            fn from(error: redb::$name) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}

from_redb!(
    StorageError,
    TableError,
    TransactionError,
    CommitError,
    DatabaseError,
    SetDurabilityError
);
