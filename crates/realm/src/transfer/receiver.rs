//! A snapshot on its way here.

use super::{CHUNK_BYTES_MAX, Offer, at, incoming_dir};
use althing_log::SnapshotFile;
use althing_protocol::{Error, Hash, Result, realm_id};
use althing_state::snapshot::{self, SnapshotError};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// A file that nothing was added to for so long goes.
const PART_AGE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A file that arrives. What of it is here stays here when this is dropped, and after a restart.
#[derive(Debug)]
pub struct Receiver {
    path: PathBuf,
    file: File,
    genesis: Vec<u8>,
    offer: Offer,
    have: u64,
}

impl Receiver {
    /// Receives what `offer` says into the realm directory `dir`, from where an earlier attempt
    /// ended. A realm receives one file at a time: what is left of another one is removed.
    /// `free_bytes` is what the disk has to spare.
    ///
    /// # Errors
    /// `exhausted` when that is too little, or what the disk says.
    pub fn open(dir: &Path, genesis: &[u8], offer: Offer, free_bytes: u64) -> Result<Self> {
        let dir = incoming_dir(dir);
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        let path = dir.join(format!("{}.part", offer.file_hash));
        for other in fs::read_dir(&dir).map_err(at(&dir))? {
            let other = other.map_err(at(&dir))?.path();
            if other != path {
                fs::remove_file(&other).map_err(at(&other))?;
            }
        }
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(at(&path))?;
        let length = file.metadata().map_err(at(&path))?.len();
        let have = if length <= offer.bytes { length } else { 0 };
        file.set_len(have).map_err(at(&path))?;
        if offer.bytes - have > free_bytes {
            return Err(Error::exhausted(format!(
                "snapshot of entry {}: {} bytes are still to come, and the disk under {} has \
                 {free_bytes} to spare; free some space",
                offer.applied.index,
                offer.bytes - have,
                dir.display()
            )));
        }
        Ok(Self { path, file, genesis: genesis.to_vec(), offer, have })
    }

    /// Bytes that are here: the next chunk begins behind them.
    pub fn have(&self) -> u64 {
        self.have
    }

    /// Whether every byte is here.
    pub fn is_complete(&self) -> bool {
        self.have == self.offer.bytes
    }

    /// Takes a chunk; says how many bytes are here then. What is here already is skipped, so a
    /// chunk may come twice.
    ///
    /// # Errors
    /// `invalid` for a chunk that leaves a gap, goes beyond the end or is too large; what the disk
    /// says.
    pub fn put(&mut self, offset: u64, chunk: &[u8]) -> Result<u64> {
        let end = offset.checked_add(chunk.len() as u64);
        let fits = chunk.len() <= CHUNK_BYTES_MAX && offset <= self.have;
        let Some(end) = end.filter(|end| fits && *end <= self.offer.bytes) else {
            return Err(Error::invalid(format!(
                "chunk of {} bytes at {offset}: {} bytes are here of {}, and a chunk has at most \
                 {CHUNK_BYTES_MAX}; go on where they end",
                chunk.len(),
                self.have,
                self.offer.bytes
            )));
        };
        if end > self.have {
            let known = usize::try_from(self.have - offset).unwrap_or(chunk.len());
            let fresh = chunk.get(known..).unwrap_or_default();
            self.file.write_all_at(fresh, self.have).map_err(at(&self.path))?;
            self.have = end;
        }
        Ok(self.have)
    }

    /// Reads the whole file once more and gives it away, ready to be installed. A file that is not
    /// what was offered is removed, and the next attempt begins anew.
    ///
    /// # Errors
    /// `conflict` when some of it is still to come; `invalid`, saying what is wrong with it.
    pub fn finish(self) -> Result<SnapshotFile> {
        if !self.is_complete() {
            return Err(Error::conflict(format!(
                "snapshot of entry {}: {} of {} bytes are here; send the rest",
                self.offer.applied.index, self.have, self.offer.bytes
            )));
        }
        self.file.sync_all().map_err(at(&self.path))?;
        match self.check() {
            Ok(()) => Ok(SnapshotFile { position: self.offer.position(), path: Some(self.path) }),
            Err(error) => {
                discard(&self.path);
                Err(error)
            }
        }
    }

    fn check(&self) -> Result<()> {
        let file = File::open(&self.path).map_err(at(&self.path))?;
        let mut input = Hashing { inner: file, hasher: blake3::Hasher::new() };
        let checked = snapshot::check(&mut input, Some(&self.genesis));
        let refused = |why: String| {
            Err(Error::invalid(format!(
                "snapshot of entry {} of realm {}: {why}",
                self.offer.applied.index,
                realm_id(&self.genesis)
            )))
        };
        let header = match checked {
            Ok(header) => header,
            Err(SnapshotError::Io(error)) => return Err(at(&self.path)(error)),
            Err(error) => return refused(error.to_string()),
        };
        // The check of a snapshot reads up to the end, and there is nothing behind it.
        let file_hash = Hash(*input.hasher.finalize().as_bytes());
        if file_hash != self.offer.file_hash {
            return refused(format!(
                "its hash is {file_hash}, {} was offered; transfer it again",
                self.offer.file_hash
            ));
        }
        if header.applied != self.offer.applied || header.state_hash != self.offer.state_hash {
            return refused(format!(
                "it holds entry {} with state {}, and entry {} with state {} was offered; take it \
                 from another node",
                header.applied.index,
                header.state_hash,
                self.offer.applied.index,
                self.offer.state_hash
            ));
        }
        Ok(())
    }
}

/// Removes a file that is of no more use.
pub(crate) fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "a snapshot that was received is left");
    }
}

/// Removes from the realm directory `dir` what nobody went on sending for long.
pub(crate) fn discard_old(dir: &Path) -> Result<()> {
    let dir = incoming_dir(dir);
    let files = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files.map_err(at(&dir))?,
    };
    for file in files {
        let file = file.map_err(at(&dir))?;
        let written = file.metadata().and_then(|found| found.modified()).map_err(at(&dir))?;
        // A clock that went back makes a file no older.
        if written.elapsed().is_ok_and(|age| age > PART_AGE_MAX) {
            discard(&file.path());
        }
    }
    Ok(())
}

/// Hashes what is read.
struct Hashing<R> {
    inner: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hasher.update(&bytes[..read]);
        Ok(read)
    }
}
