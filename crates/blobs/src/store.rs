//! Whole blobs: put, get, pin, remove.

use crate::{
    BlobError,
    dir::{Dir, sync},
    error::At,
};
use althing_protocol::{Error, Hash, limits};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// A store of blobs in a directory that nobody else writes.
#[derive(Debug)]
pub struct Blobs {
    pub(crate) dir: Dir,
    /// What must not be removed. Not on disk: whoever needs blobs knows which, and pins them.
    pinned: Mutex<HashSet<Hash>>,
    /// Held while a file of the store changes: uploads are rare and one at a time.
    writing: Mutex<()>,
}

impl Blobs {
    /// Opens the store in `dir`, or makes it.
    ///
    /// # Errors
    /// When the directory is of another version or the file system fails.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, BlobError> {
        let dir = Dir::open(dir.as_ref())?;
        let store = Self { dir, pinned: Mutex::default(), writing: Mutex::default() };
        store.drop_leftovers()?;
        Ok(store)
    }

    /// Size of a blob in bytes, if it is here and whole.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn size(&self, hash: &Hash) -> Result<Option<u64>, BlobError> {
        let path = self.dir.whole(hash);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at(&path),
        }
    }

    /// Stores `bytes`; they are on disk when this returns.
    ///
    /// # Errors
    /// `invalid` above the limit; when the file system fails.
    pub fn put(&self, bytes: &[u8]) -> Result<Hash, BlobError> {
        check_size(bytes.len() as u64)?;
        let hash = Hash::of(bytes);
        let _writing = self.writing();
        if self.size(&hash)?.is_none() {
            let partials = self.dir.partials();
            let mut file = tempfile::NamedTempFile::new_in(partials).at(partials)?;
            file.write_all(bytes).at(file.path())?;
            self.keep(&hash, file.as_file(), file.path())?;
        }
        Ok(hash)
    }

    /// The bytes of a blob, verified, if it is here.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] when they no longer have this hash; when the file system fails.
    pub fn get(&self, hash: &Hash) -> Result<Option<Vec<u8>>, BlobError> {
        let sound = |bytes: &Vec<u8>| Hash::of(bytes) == *hash;
        match self.read(hash)? {
            Some(bytes) if !sound(&bytes) => {}
            found => return Ok(found),
        }
        // Somebody else may have set it aside, and stored it anew, before this lock was free.
        let _writing = self.writing();
        match self.read(hash)? {
            Some(bytes) if !sound(&bytes) => {}
            found => return Ok(found),
        }
        let moved_to = self.dir.set_aside(hash)?;
        tracing::error!(%hash, moved_to = %moved_to.display(), "a blob's bytes on disk have changed");
        Err(BlobError::Damaged { hash: *hash, moved_to })
    }

    /// The size of a blob and its bytes from `offset` on, at most `bytes_max`, if it is here. They
    /// are not verified: who receives all of them sees whether they have this hash.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn part(
        &self,
        hash: &Hash,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<(u64, Vec<u8>)>, BlobError> {
        let path = self.dir.whole(hash);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at(&path),
        };
        let size = file.metadata().at(&path)?.len();
        file.seek(SeekFrom::Start(offset)).at(&path)?;
        let mut bytes = Vec::new();
        file.take(bytes_max as u64).read_to_end(&mut bytes).at(&path)?;
        Ok(Some((size, bytes)))
    }

    fn read(&self, hash: &Hash) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.dir.whole(hash);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at(&path),
        };
        let mut bytes = Vec::new();
        // One byte more than a blob may have: a file that grew does not fill the memory.
        file.take(limits::IMAGE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).at(&path)?;
        Ok(Some(bytes))
    }

    /// All whole blobs with their sizes in bytes, in order of their hashes.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn list(&self) -> Result<Vec<(Hash, u64)>, BlobError> {
        self.dir.list()
    }

    /// Keeps a blob from being removed, here or not yet here.
    pub fn pin(&self, hash: Hash) {
        self.pinned().insert(hash);
    }

    /// Lets a blob be removed.
    pub fn unpin(&self, hash: &Hash) {
        self.pinned().remove(hash);
    }

    /// Makes a blob as young as one stored now, if it is there: it is about to be used.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn touch(&self, hash: &Hash) -> Result<bool, BlobError> {
        let _writing = self.writing();
        let path = self.dir.whole(hash);
        match File::options().append(true).open(&path) {
            Ok(file) => file.set_modified(SystemTime::now()).at(&path).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).at(&path),
        }
    }

    /// Removes every blob that is not pinned and was stored or touched at least `age` ago: what was
    /// uploaded just now is about to be used. Returns what it removed.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn remove_unpinned(&self, age: Duration) -> Result<Vec<Hash>, BlobError> {
        let _writing = self.writing();
        let mut removed = Vec::new();
        for (hash, _) in self.dir.list()? {
            let path = self.dir.whole(&hash);
            let stored = fs::metadata(&path).and_then(|metadata| metadata.modified()).at(&path)?;
            let young = stored.elapsed().map_or(age > Duration::ZERO, |since| since < age);
            // Pins are looked up one by one: one that comes in the meantime counts.
            if !young && !self.pinned().contains(&hash) {
                fs::remove_file(&path).at(&path)?;
                removed.push(hash);
            }
        }
        Ok(removed)
    }

    /// Gives a verified file its place, durably. The caller holds [`Self::writing`].
    pub(crate) fn keep(&self, hash: &Hash, file: &File, path: &Path) -> Result<(), BlobError> {
        file.sync_all().at(path)?;
        let parent = self.dir.make_parent(hash)?;
        fs::rename(path, self.dir.whole(hash)).at(path)?;
        sync(&parent)
    }

    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        // Guards no data, so a panic of its holder left nothing half done in memory.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pinned(&self) -> MutexGuard<'_, HashSet<Hash>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn check_size(size: u64) -> Result<(), BlobError> {
    let max = limits::IMAGE_BYTES_MAX as u64;
    if size > max {
        let message =
            format!("blob of {size} bytes: too large, the limit is {max}; make it smaller");
        return Err(Error::invalid(message).into());
    }
    Ok(())
}
