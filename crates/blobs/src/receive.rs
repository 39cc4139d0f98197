//! Uploads in chunks, which go on where they stopped.

use crate::{BlobError, Blobs, error::At, store::check_size};
use althing_protocol::{Error, Hash, limits};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// Uploads that may be unfinished at the same time; each is at most a blob's size.
pub const PARTIALS_MAX: usize = 16;
/// An unfinished upload that got nothing for so long makes way when there are too many.
pub const PARTIAL_IDLE_MAX: Duration = Duration::from_secs(15 * 60);

/// A part of a blob, with its own hash.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Where it starts in the blob, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// BLAKE3 of them.
    pub hash: Hash,
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes here, from the start on: where the next chunk starts.
    pub received: u64,
    /// Whether the blob is whole, verified and on disk.
    pub complete: bool,
}

/// An unfinished upload on disk.
struct Partial {
    hash: Hash,
    path: PathBuf,
    received: u64,
    touched: SystemTime,
}

impl Blobs {
    /// How far the upload of a blob is; nothing received if it is unknown.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn stat(&self, hash: &Hash) -> Result<Received, BlobError> {
        if let Some(size) = self.size(hash)? {
            return Ok(Received { received: size, complete: true });
        }
        let own = self.partials()?.into_iter().filter(|partial| partial.hash == *hash);
        let received = own.map(|partial| partial.received).max().unwrap_or(0);
        Ok(Received { received, complete: false })
    }

    /// Takes a chunk of the blob `hash` of `size` bytes. The chunk with which the blob is whole
    /// returns after the blob is verified and on disk.
    ///
    /// A chunk may repeat what is here already: sending the first chunk again tells where to go
    /// on. If it differs from what is here, it and what follows it count, so bytes that somebody
    /// else sent wrongly do no harm for long.
    ///
    /// # Errors
    /// `invalid` for a chunk that is too large, not what its hash says, or beyond the end, and
    /// when the whole does not have its hash: the upload is dropped then. `conflict` for a chunk
    /// that leaves a gap. `exhausted` when too many uploads are unfinished.
    pub fn receive(&self, hash: &Hash, size: u64, chunk: Chunk<'_>) -> Result<Received, BlobError> {
        check_size(size)?;
        let end = check_chunk(hash, size, chunk)?;
        let _writing = self.writing();
        if let Some(size) = self.size(hash)? {
            return Ok(Received { received: size, complete: true });
        }
        let path = self.dir.partial(hash, size);
        let mut file = match open(&path, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_room()?;
                open(&path, true).at(&path)?
            }
            Err(error) => return Err(error).at(&path),
        };
        let received = file.metadata().at(&path)?.len();
        if chunk.offset > received {
            if received == 0 {
                fs::remove_file(&path).at(&path)?;
            }
            return Err(Error::conflict(format!(
                "blob {hash}: {received} bytes are here, the chunk starts at byte {}; go on at \
                 byte {received}",
                chunk.offset
            ))
            .into());
        }
        let received = write(&mut file, received, chunk, end).at(&path)?;
        if received < size {
            return Ok(Received { received, complete: false });
        }
        self.finish(hash, size, &mut file, path)
    }

    /// Verifies the whole and gives it its place, or drops it.
    fn finish(
        &self,
        hash: &Hash,
        size: u64,
        file: &mut File,
        path: PathBuf,
    ) -> Result<Received, BlobError> {
        file.seek(SeekFrom::Start(0)).at(&path)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut *file).at(&path)?;
        let found = Hash(*hasher.finalize().as_bytes());
        if found != *hash {
            fs::remove_file(&path).at(&path)?;
            return Err(Error::invalid(format!(
                "blob {hash}: the {size} bytes received have the hash {found}; upload it again \
                 from the start"
            ))
            .into());
        }
        self.keep(hash, file, &path)?;
        Ok(Received { received: size, complete: true })
    }

    /// Makes sure that one more upload may begin; those that stand still for long make way.
    fn make_room(&self) -> Result<(), BlobError> {
        let mut left = 0;
        let mut oldest_idle = Duration::ZERO;
        let partials = self.partials()?;
        let full = partials.len() >= PARTIALS_MAX;
        for partial in partials {
            let idle = partial.touched.elapsed().unwrap_or_default();
            if full && idle >= PARTIAL_IDLE_MAX {
                fs::remove_file(&partial.path).at(&partial.path)?;
            } else {
                left += 1;
                oldest_idle = oldest_idle.max(idle);
            }
        }
        if left < PARTIALS_MAX {
            return Ok(());
        }
        let wait = PARTIAL_IDLE_MAX.saturating_sub(oldest_idle);
        let message = format!(
            "uploads: {PARTIALS_MAX} are unfinished, that is the limit; finish one, or wait until \
             one has stood still for {} minutes",
            PARTIAL_IDLE_MAX.as_secs() / 60
        );
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Err(Error::exhausted(message).retry_after_ms(wait_ms).into())
    }

    fn partials(&self) -> Result<Vec<Partial>, BlobError> {
        let dir = self.dir.partials();
        let mut partials = Vec::new();
        for file in fs::read_dir(dir).at(dir)? {
            let file = file.at(dir)?;
            let Some(hash) = hash_of_name(&file.file_name()) else { continue };
            let path = file.path();
            // It may be finished and gone by now.
            let Ok(metadata) = file.metadata() else { continue };
            let touched = metadata.modified().at(&path)?;
            partials.push(Partial { hash, path, received: metadata.len(), touched });
        }
        Ok(partials)
    }

    /// Removes files that a crash left before they got a name.
    pub(crate) fn drop_leftovers(&self) -> Result<(), BlobError> {
        let dir = self.dir.partials();
        for file in fs::read_dir(dir).at(dir)? {
            let file = file.at(dir)?;
            if hash_of_name(&file.file_name()).is_none() {
                fs::remove_file(file.path()).at(&file.path())?;
            }
        }
        Ok(())
    }
}

/// Where the chunk ends, if it is sound.
fn check_chunk(hash: &Hash, size: u64, chunk: Chunk<'_>) -> Result<u64, Error> {
    let length = chunk.bytes.len();
    if length > limits::CHUNK_BYTES_MAX || (length == 0 && size > 0) {
        return Err(Error::invalid(format!(
            "chunk of blob {hash}: has {length} bytes, wants 1 to {}",
            limits::CHUNK_BYTES_MAX
        )));
    }
    let end = chunk.offset.checked_add(length as u64).filter(|end| *end <= size);
    let Some(end) = end else {
        return Err(Error::invalid(format!(
            "chunk of blob {hash}: {length} bytes at byte {} do not fit into {size} bytes",
            chunk.offset
        )));
    };
    let found = Hash::of(chunk.bytes);
    if found != chunk.hash {
        return Err(Error::invalid(format!(
            "chunk of blob {hash} at byte {}: has the hash {found}, not {}; send it again",
            chunk.offset, chunk.hash
        )));
    }
    Ok(end)
}

fn open(path: &std::path::Path, create: bool) -> io::Result<File> {
    File::options().read(true).write(true).create_new(create).open(path)
}

/// Writes what of `chunk` is not here yet, and returns how many bytes are here then.
fn write(file: &mut File, received: u64, chunk: Chunk<'_>, end: u64) -> io::Result<u64> {
    let known = received.min(end) - chunk.offset;
    let (again, new) = chunk.bytes.split_at(known as usize);
    let mut here = vec![0; again.len()];
    file.seek(SeekFrom::Start(chunk.offset))?;
    file.read_exact(&mut here)?;
    if here == again {
        file.write_all(new)?;
        return Ok(received.max(end));
    }
    file.set_len(chunk.offset)?;
    file.seek(SeekFrom::Start(chunk.offset))?;
    file.write_all(chunk.bytes)?;
    Ok(end)
}

/// The hash in the name of a partial, `HASH.SIZE`.
fn hash_of_name(name: &OsStr) -> Option<Hash> {
    let (hash, size) = name.to_str()?.split_once('.')?;
    size.parse::<u64>().ok()?;
    hash.parse().ok()
}
