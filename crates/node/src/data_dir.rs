//! The data directory: where what lies, who may read it, and that one process holds it.

use althing_protocol::{Error, Result};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `DATA/config/host.toml`.
pub(crate) fn config_file(dir: &Path) -> PathBuf {
    dir.join("config").join("host.toml")
}

/// `DATA/callers`: a key and a token's hash for each caller.
pub(crate) fn callers(dir: &Path) -> PathBuf {
    dir.join("callers")
}

/// `DATA/realm`: the realm's own directory.
pub(crate) fn realm(dir: &Path) -> PathBuf {
    dir.join("realm")
}

/// The keystore name of the node's own key, beside the data: `DATA/node.key`.
pub(crate) const NODE_KEY: &str = "node";

/// `DATA/address`: where the node listens while it runs.
pub(crate) fn address(dir: &Path) -> PathBuf {
    dir.join("address")
}

const LOCK_TRIES: u32 = 10;
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Holds the data directory for this process; the system lets go when the process ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "holding the file is holding the lock")] File);

impl Lock {
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        if !realm(dir).is_dir() {
            return Err(Error::not_found(format!(
                "data directory {}: holds no realm; make one with `althing init`, or join one with \
                 `althing join`",
                dir.display()
            )));
        }
        let path = dir.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("lock", &path))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                // A client that looks whether a node runs holds it for a moment.
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_RETRY),
                Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            }
        }
        Err(Error::unavailable(format!(
            "data directory {}: another process holds it; stop that node first, or use another \
             directory",
            dir.display()
        )))
    }
}

/// Makes a directory, and those above it, for its owner alone.
pub(crate) fn make_private(dir: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create", dir))
}

/// Writes a file whole or not at all, for its owner alone, and makes it survive a power loss.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(failed("write", path))
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// An I/O error on `path` as ours.
pub(crate) fn failed<'a>(verb: &'a str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |error| Error::unavailable(format!("{}: cannot {verb} it: {error}", path.display()))
}
