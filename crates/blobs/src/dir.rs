//! Where things lie, and how a name becomes durable.

use crate::{BlobError, error::At};
use althing_protocol::Hash;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

const FORMAT: &str = "althing blobs 1";

/// The directory of a store.
#[derive(Debug)]
pub(crate) struct Dir {
    whole: PathBuf,
    partial: PathBuf,
    damaged: PathBuf,
}

impl Dir {
    /// Makes what is missing; refuses a directory of another version.
    pub(crate) fn open(root: &Path) -> Result<Self, BlobError> {
        let dir = Self {
            whole: root.join("whole"),
            partial: root.join("partial"),
            damaged: root.join("damaged"),
        };
        for path in [&dir.whole, &dir.partial, &dir.damaged] {
            fs::create_dir_all(path).at(path)?;
        }
        let format = root.join("format");
        match fs::read_to_string(&format) {
            Ok(found) if found.trim_end() == FORMAT => {}
            Ok(found) => {
                let found = found.chars().take(64).collect();
                return Err(BlobError::Format { path: format, found, expected: FORMAT });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut file = tempfile::NamedTempFile::new_in(root).at(root)?;
                io::Write::write_all(&mut file, format!("{FORMAT}\n").as_bytes()).at(&format)?;
                file.as_file().sync_all().at(&format)?;
                file.persist(&format).map_err(|e| e.error).at(&format)?;
                sync(root)?;
            }
            Err(error) => return Err(error).at(&format),
        }
        Ok(dir)
    }

    pub(crate) fn whole(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        self.whole.join(&name[..2]).join(name)
    }

    pub(crate) fn partial(&self, hash: &Hash, size: u64) -> PathBuf {
        self.partial.join(format!("{hash}.{size}"))
    }

    pub(crate) fn partials(&self) -> &Path {
        &self.partial
    }

    /// Moves the bytes of a blob out of the way, and returns where they are.
    pub(crate) fn set_aside(&self, hash: &Hash) -> Result<PathBuf, BlobError> {
        let to = self.damaged.join(hash.to_string());
        let from = self.whole(hash);
        fs::rename(&from, &to).at(&from)?;
        sync(&self.damaged)?;
        Ok(to)
    }

    /// Makes the directory of a blob, durably.
    pub(crate) fn make_parent(&self, hash: &Hash) -> Result<PathBuf, BlobError> {
        let parent = self.whole.join(&hash.to_string()[..2]);
        match fs::create_dir(&parent) {
            Ok(()) => sync(&self.whole)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).at(&parent),
        }
        Ok(parent)
    }

    /// All blobs with their sizes, in order of their hashes.
    pub(crate) fn list(&self) -> Result<Vec<(Hash, u64)>, BlobError> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.whole).at(&self.whole)? {
            let folder = folder.at(&self.whole)?.path();
            for file in fs::read_dir(&folder).at(&folder)? {
                let file = file.at(&folder)?;
                let name = file.file_name();
                if let Some(hash) = name.to_str().and_then(|name| name.parse().ok()) {
                    found.push((hash, file.metadata().at(&file.path())?.len()));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync(dir: &Path) -> Result<(), BlobError> {
    File::open(dir).and_then(|dir| dir.sync_all()).at(dir)
}
