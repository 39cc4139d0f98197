//! The log's directory: whose it is, which version, who has it open.

use crate::fault::REMEDY;
use althing_protocol::Error;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Version of the directory that this binary writes and reads.
pub(crate) const VERSION: u32 = 1;

/// A directory that this process alone has open, until it is dropped.
#[derive(Debug)]
pub(crate) struct Dir {
    path: PathBuf,
    /// Masks what records say about durability, so that no author can forge such a record inside
    /// the bytes of an entry. It never leaves the node.
    pub(crate) salt: u64,
    _lock: File,
}

impl Dir {
    /// Makes the directory, or goes on with one that was being made.
    pub(crate) fn create(path: &Path, node: u64) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(|error| io_error("create", path, &error))?;
        if !path.join("format").exists() {
            let lock = lock(path)?;
            write_format(path, node)?;
            drop(lock);
        }
        Self::open(path, node)
    }

    /// Opens the directory of `node`.
    pub(crate) fn open(path: &Path, node: u64) -> Result<Self, Error> {
        let (name, text) = read_format(path)?;
        let (owner, salt) = parse_format(&text, &name)?;
        if owner != node {
            return Err(Error::invalid(format!(
                "{} belongs to node {owner}, not to node {node}; correct the path or the node's id",
                name.display()
            )));
        }
        let lock = lock(path)?;
        let wal = path.join("wal");
        fs::create_dir_all(&wal).map_err(|error| io_error("create", &wal, &error))?;
        sync(path)?;
        Ok(Self { path: path.to_owned(), salt, _lock: lock })
    }

    /// Raft id of the node whose directory it is.
    pub(crate) fn owner(path: &Path) -> Result<u64, Error> {
        let (name, text) = read_format(path)?;
        Ok(parse_format(&text, &name)?.0)
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.path.join("wal")
    }

    pub(crate) fn durable(&self) -> PathBuf {
        self.path.join("durable")
    }
}

pub(crate) fn io_error(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!(
        "cannot {what} {}: {error}; mend the disk or its permissions",
        path.display()
    ))
}

/// Makes names in a directory durable.
pub(crate) fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|error| io_error("flush", path, &error))
}

fn lock(path: &Path) -> Result<File, Error> {
    let name = path.join("lock");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .map_err(|error| io_error("open", &name, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::unavailable(format!(
            "the log in {} is open in another process; stop that process first",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &name, &error)),
    }
}

fn write_format(path: &Path, node: u64) -> Result<(), Error> {
    let salt = RandomState::new().build_hasher().finish();
    let text = format!("althing log\nversion {VERSION}\nnode {node}\nsalt {salt:016x}\n");
    let (new, name) = (path.join("format.new"), path.join("format"));
    File::create(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, &name))
        .map_err(|error| io_error("write", &name, &error))?;
    sync(path)
}

fn read_format(path: &Path) -> Result<(PathBuf, String), Error> {
    let name = path.join("format");
    match fs::read_to_string(&name) {
        Ok(text) => Ok((name, text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::not_found(format!(
                "there is no log in {}: the file `format` is missing; correct the path, or {REMEDY}",
                path.display()
            )))
        }
        Err(error) => Err(io_error("read", &name, &error)),
    }
}

/// Whose it is, and its salt.
fn parse_format(text: &str, name: &Path) -> Result<(u64, u64), Error> {
    let damaged = || {
        Error::internal(format!(
            "{} is not a log's format file; restore it from a backup",
            name.display()
        ))
    };
    let mut lines = text.lines();
    let mut field = |key: &str| lines.next().and_then(|line| line.strip_prefix(key)).map(str::trim);
    if field("althing log") != Some("") {
        return Err(damaged());
    }
    let version: u32 = field("version ").and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
    if version != VERSION {
        return Err(Error::unavailable(format!(
            "{} has version {version}, this program reads version {VERSION}; run the program that wrote it, or a newer one",
            name.display()
        )));
    }
    let owner: u64 = field("node ").and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
    let salt = field("salt ").and_then(|text| u64::from_str_radix(text, 16).ok());
    Ok((owner, salt.ok_or_else(damaged)?))
}
