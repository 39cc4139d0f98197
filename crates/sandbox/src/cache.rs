//! Compiled images on this node's disk. Native code is never sent anywhere: a node that lacks an
//! image compiles it from its component.
//!
//! An entry is one file, named after the component's hash and everything that the code depends on
//! (engine version, configuration, processor features), and holds
//!
//! ```text
//!   magic and version                   16 bytes
//!   BLAKE3 of its name and of the rest  32 bytes
//!   the compiled image
//! ```

use crate::Halt;
use althing_protocol::Hash;
use std::{
    fs,
    hash::{Hash as _, Hasher},
    io::Write,
    path::{Path, PathBuf},
    time::SystemTime,
};
use wasmtime::component::Component;

const MAGIC: &[u8; 16] = b"althing image 1\n";
const HEADER_BYTES: usize = MAGIC.len() + 32;
/// Entries together may have this many bytes; those unused for longest go first.
const CACHE_BYTES_MAX: u64 = 1 << 30;

/// A directory of compiled images.
pub(crate) struct Cache {
    dir: PathBuf,
    /// Stands for engine version, configuration and processor.
    compatibility: [u8; 32],
}

impl Cache {
    /// Opens `dir`, made if it is not there.
    pub(crate) fn open(dir: &Path, engine: &wasmtime::Engine) -> Result<Self, Halt> {
        private_dir(dir).map_err(|error| {
            Halt::new(format!("cache of compiled images {}: {error}", dir.display()))
        })?;
        let mut hasher = Blake3Hasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir: dir.to_owned(), compatibility: *hasher.0.finalize().as_bytes() })
    }

    fn name(&self, hash: &Hash) -> blake3::Hash {
        blake3::Hasher::new().update(&hash.0).update(&self.compatibility).finalize()
    }

    fn path(&self, name: &blake3::Hash) -> PathBuf {
        self.dir.join(format!("{}.image", name.to_hex()))
    }

    /// The image of the component `hash`, if a sound one is here. One that is not is removed.
    pub(crate) fn get(&self, engine: &wasmtime::Engine, hash: &Hash) -> Option<Component> {
        let name = self.name(hash);
        let path = self.path(&name);
        let entry = fs::read(&path).ok()?;
        let found = checked(&name, &entry).and_then(|image| deserialize(engine, image));
        if found.is_none() {
            tracing::warn!(path = %path.display(), %hash, "compiled image is corrupt: compiling it again");
            self.remove(&path);
        } else if let Ok(file) = fs::File::open(&path) {
            // Its time is when it was last used. Failing to set it only makes it go earlier.
            file.set_modified(SystemTime::now()).ok();
        }
        found
    }

    /// Keeps `component`. A failure costs the next start a compilation, and is only logged.
    pub(crate) fn put(&self, hash: &Hash, component: &Component) {
        let name = self.name(hash);
        let path = self.path(&name);
        let stored = component
            .serialize()
            .map_err(std::io::Error::other)
            .and_then(|image| self.write(&name, &path, &image))
            .and_then(|()| self.shrink(CACHE_BYTES_MAX));
        if let Err(error) = stored {
            tracing::warn!(path = %path.display(), %hash, %error, "compiled image was not kept");
        }
    }

    /// The entry appears whole or not at all. It need not be on disk: a torn one has another hash.
    fn write(&self, name: &blake3::Hash, path: &Path, image: &[u8]) -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.dir)?;
        file.write_all(MAGIC)?;
        file.write_all(checksum(name, image).as_bytes())?;
        file.write_all(image)?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes the entries unused for longest until the rest has at most `bytes_max` bytes.
    fn shrink(&self, bytes_max: u64) -> std::io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            entries.push((metadata.modified()?, metadata.len(), entry.path()));
        }
        entries.sort_by(|a, b| b.cmp(a));
        let mut bytes = 0;
        for (_, size, path) in entries {
            bytes += size;
            if bytes > bytes_max {
                self.remove(&path);
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "compiled image was not removed");
        }
    }
}

/// Ties an image to the name of its entry: one in the wrong place is as bad as a damaged one.
fn checksum(name: &blake3::Hash, image: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(name.as_bytes()).update(image).finalize()
}

/// The image in `entry`, when it is as it was written.
fn checked<'a>(name: &blake3::Hash, entry: &'a [u8]) -> Option<&'a [u8]> {
    let (header, image) = entry.split_at_checked(HEADER_BYTES)?;
    let (magic, hash) = header.split_at(MAGIC.len());
    (magic == MAGIC && hash == checksum(name, image).as_bytes()).then_some(image)
}

#[allow(unsafe_code)]
fn deserialize(engine: &wasmtime::Engine, image: &[u8]) -> Option<Component> {
    // SAFETY: the bytes must come from `Component::serialize`, since the engine runs them. They do:
    // only `Cache::write` makes entries, in a directory that nobody but this node's user can write
    // to (`private_dir` sees to it), and `checked` compared these very bytes, already in memory,
    // with their hash, so neither a damaged disk nor a torn write gets here. Who can write as this
    // user can replace the node itself. Version and configuration are checked by the engine.
    unsafe { Component::deserialize(engine, image) }.ok()
}

/// Makes `dir` and closes it to everyone else.
fn private_dir(dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Fails when the directory belongs to somebody else.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// BLAKE3 behind the standard trait, to hash what the engine calls its compatibility.
struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
