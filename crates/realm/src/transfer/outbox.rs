//! The files of a node that sends its state.

use super::{CHUNK_BYTES_MAX, Offer, at, outgoing_dir, receiver::discard_old};
use crate::realm::Core;
use althing_log::{Position, SnapshotFile};
use althing_protocol::{Error, Hash, Result};
use althing_state::{View, snapshot};
use bytes::Bytes;
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Files at a time: one that is being sent for long, and a newer one.
const FILES_MAX: usize = 2;
/// A file that nobody has read from for so long goes.
const LINGER: Duration = Duration::from_secs(600);
/// A file that is older is not offered again: the log is kept from its position on.
const OFFERED_MAX: Duration = Duration::from_secs(6 * 3_600);
/// What a sender whose files are all in use asks, in milliseconds.
const BUSY_RETRY_MS: u64 = 5_000;

/// Snapshots in files for other nodes: few, each for all who want one, gone when nobody does.
///
/// A file serves while the log goes on behind it. So this node's log is kept from the oldest file's
/// position on, for as long as that file is offered.
pub struct Outbox {
    dir: PathBuf,
    files: Mutex<Vec<Arc<Outgoing>>>,
    /// Held by whoever makes a file: the others want the same one.
    making: tokio::sync::Mutex<()>,
}

/// A snapshot in a file that goes when nobody holds this any more.
pub struct Outgoing {
    path: PathBuf,
    file: File,
    offer: Offer,
    made: Instant,
    /// It is offered until then, if nobody reads from it.
    until: Mutex<Instant>,
}

impl Outbox {
    /// Of the realm in `dir`. What an earlier process left is removed; but what it had received of a
    /// snapshot stays a while.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        discard_old(dir)?;
        let dir = outgoing_dir(dir);
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&dir)(error)),
            _ => fs::create_dir_all(&dir).map_err(at(&dir))?,
        }
        Ok(Self { dir, files: Mutex::default(), making: tokio::sync::Mutex::default() })
    }

    /// A file with the state: the newest one there is, or one of now.
    ///
    /// # Errors
    /// `exhausted` when the disk is low, or when all files are in use and too old; what the disk
    /// says.
    pub(crate) async fn offer(&self, core: &Arc<Core>) -> Result<Arc<Outgoing>> {
        let _one_at_a_time = self.making.lock().await;
        if let Some(file) = self.newest() {
            file.touch();
            return Ok(file);
        }
        self.make_room()?;
        core.check_disk()?;
        let (core, dir) = (Arc::clone(core), self.dir.clone());
        let make = move || {
            let held = core.flusher.hold(&core.store);
            Outgoing::make(&dir, held.view()).map(Arc::new)
        };
        let made = tokio::task::spawn_blocking(make).await.map_err(crate::halt::internal)??;
        let applied = &made.offer.applied;
        tracing::info!(index = applied.index, bytes = made.offer.bytes, "snapshot for other nodes");
        self.files().push(Arc::clone(&made));
        Ok(made)
    }

    /// The file that the log wants to be sent.
    pub fn of(&self, file: &SnapshotFile) -> Option<Arc<Outgoing>> {
        self.files().iter().find(|outgoing| Some(&outgoing.path) == file.path.as_ref()).cloned()
    }

    /// The file that is offered under this hash.
    pub(crate) fn named(&self, file_hash: &Hash) -> Option<Arc<Outgoing>> {
        self.files().iter().find(|outgoing| outgoing.offer.file_hash == *file_hash).cloned()
    }

    /// The position from which the log is needed; none while no file is offered.
    pub(crate) fn needed_from(&self) -> Option<Position> {
        self.sweep();
        let files = self.files();
        let offered = files.iter().filter(|file| file.is_offered());
        offered.map(|file| file.offer.position()).min_by_key(|position| position.index)
    }

    fn newest(&self) -> Option<Arc<Outgoing>> {
        self.sweep();
        let files = self.files();
        let offered = files.iter().filter(|file| file.is_offered());
        offered.max_by_key(|file| file.offer.applied.index).cloned()
    }

    /// Drops files that nobody holds, and nobody has read from for long.
    fn sweep(&self) {
        self.files().retain(|file| Arc::strong_count(file) > 1 || file.is_offered());
    }

    fn make_room(&self) -> Result<()> {
        if self.files().len() < FILES_MAX {
            return Ok(());
        }
        Err(Error::exhausted(format!(
            "snapshots of this node: {FILES_MAX} are being sent, and too old to be sent anew; ask \
             again later, or another node"
        ))
        .retry_after_ms(BUSY_RETRY_MS))
    }

    fn files(&self) -> MutexGuard<'_, Vec<Arc<Outgoing>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outgoing {
    /// Writes the state of `view` to a file in `dir`.
    pub(super) fn make(dir: &Path, view: &View) -> Result<Self> {
        let temp = tempfile::NamedTempFile::new_in(dir).map_err(at(dir))?;
        let path = temp.path().to_owned();
        let mut out = Tally::new(BufWriter::new(temp.as_file()));
        let header = snapshot::write(view, &mut out)
            .map_err(|error| Error::unavailable(format!("snapshot {}: {error}", path.display())))?;
        let (file_hash, bytes) = out.end();
        let offer =
            Offer { applied: header.applied, state_hash: header.state_hash, file_hash, bytes };
        // It need not outlive this process: nothing is synced.
        let (file, path) = temp.keep().map_err(|error| at(&path)(error.error))?;
        let now = Instant::now();
        Ok(Self { path, file, offer, made: now, until: Mutex::new(now + LINGER) })
    }

    /// What is said of it.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The bytes from `offset` on: `bytes_max` of them, or up to the end, and never more than
    /// [`CHUNK_BYTES_MAX`]. None at the end.
    ///
    /// # Errors
    /// `invalid` when `offset` is behind the end, or what the disk says.
    pub fn chunk(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        let Some(left) = self.offer.bytes.checked_sub(offset) else {
            return Err(Error::invalid(format!(
                "chunk at {offset}: the snapshot has {} bytes",
                self.offer.bytes
            )));
        };
        self.touch();
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let mut chunk = vec![0; left.min(bytes_max).min(CHUNK_BYTES_MAX)];
        self.file.read_exact_at(&mut chunk, offset).map_err(at(&self.path))?;
        Ok(chunk.into())
    }

    /// As the log names it.
    pub(crate) fn as_file(&self) -> SnapshotFile {
        SnapshotFile { position: self.offer.position(), path: Some(self.path.clone()) }
    }

    fn touch(&self) {
        *self.until() = (Instant::now() + LINGER).min(self.made + OFFERED_MAX);
    }

    fn is_offered(&self) -> bool {
        Instant::now() < *self.until()
    }

    /// Nobody has read from it for long.
    #[cfg(test)]
    pub(super) fn age(&self) {
        *self.until() = Instant::now();
    }

    fn until(&self) -> MutexGuard<'_, Instant> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a snapshot that was sent is left");
        }
    }
}

/// Hashes and counts what passes.
struct Tally<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Tally<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    fn end(self) -> (Hash, u64) {
        (Hash(*self.hasher.finalize().as_bytes()), self.bytes)
    }
}

impl<W: Write> Write for Tally<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
