//! What can go wrong with a blob.

use althing_protocol::{Error, Hash};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What can go wrong with a blob.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The request is at fault.
    #[error(transparent)]
    Refused(#[from] Error),
    /// The bytes on disk changed. They were moved out of the way, so the blob is missing now.
    #[error(
        "blob {hash}: its bytes on disk have changed; they lie in {}, upload the blob again",
        moved_to.display()
    )]
    Damaged {
        /// The blob.
        hash: Hash,
        /// Where its bytes are now.
        moved_to: PathBuf,
    },
    /// The directory is of another version.
    #[error("{}: says {found:?}, this program reads {expected:?}", path.display())]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        let full = |source: &io::Error| {
            matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        };
        match error {
            BlobError::Refused(error) => error,
            BlobError::Damaged { .. } => Self::unavailable(error.to_string()),
            BlobError::Io { ref source, .. } if full(source) => {
                Self::exhausted(format!("{error}; make room on that disk"))
            }
            BlobError::Io { .. } | BlobError::Format { .. } => Self::internal(error.to_string()),
        }
    }
}

/// Says which path an I/O error is about.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T, BlobError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, BlobError> {
        self.map_err(|source| BlobError::Io { path: path.to_owned(), source })
    }
}
