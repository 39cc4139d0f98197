//! What was compiled, on this node's disk. Native code is never sent anywhere: a node that lacks an
//! image compiles it from its component.
//!
//! An image is one file, named after the component's hash and everything that the code depends on
//! (semantics, metering, version of the engine, configuration, processor features), and holds
//!
//! ```text
//!   the compiled image, first, so that it can be mapped where it lies
//!   length of the component, memory it starts with     8 bytes each, little endian
//!   BLAKE3 of its name, of these, and of the hash of each part of the image        32 bytes
//!   magic and version                                  16 bytes
//! ```
//!
//! It is written once the image was accepted and has started, so whatever is found here and is
//! sound needs neither to be inspected nor to be tried again.

use crate::{Halt, functions, meter};
use althing_protocol::{Hash, SEMANTICS};
use std::{
    fs::{self, File},
    hash::{Hash as _, Hasher},
    io::{self, Write},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};
use wasmtime::component::Component;

const MAGIC: &[u8; 16] = b"althing image 2\n";
const SEAL_BYTES: usize = 32 + MAGIC.len();
const FACTS_BYTES: usize = 16;
/// The hash of an image is that of its parts, so that all processors can work on it.
const PART_BYTES: usize = 256 << 10;
/// Files together may have this many bytes; those unused for longest go first.
const CACHE_BYTES_MAX: u64 = 1 << 30;

/// A directory of what was compiled.
pub(crate) struct Cache {
    dir: PathBuf,
    /// Stands for semantics, engine version, configuration and processor.
    compatibility: [u8; 32],
}

/// What is kept about an image beside its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) component_bytes: u64,
    pub(crate) memory_bytes_min: u64,
}

impl Facts {
    fn encode(self) -> [u8; FACTS_BYTES] {
        let mut bytes = [0; FACTS_BYTES];
        bytes[..8].copy_from_slice(&self.component_bytes.to_le_bytes());
        bytes[8..].copy_from_slice(&self.memory_bytes_min.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (component_bytes, memory_bytes_min) = bytes.split_first_chunk()?;
        Some(Self {
            component_bytes: u64::from_le_bytes(*component_bytes),
            memory_bytes_min: u64::from_le_bytes(memory_bytes_min.try_into().ok()?),
        })
    }
}

impl Cache {
    /// Opens `dir`, made if it is not there.
    pub(crate) fn open(dir: &Path, engine: &wasmtime::Engine) -> Result<Self, Halt> {
        private_dir(dir).map_err(|error| {
            Halt::new(format!("cache of compiled images {}: {error}", dir.display()))
        })?;
        let mut hasher = Blake3Hasher(blake3::Hasher::new());
        (SEMANTICS, meter::VERSION, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir: dir.to_owned(), compatibility: *hasher.0.finalize().as_bytes() })
    }

    fn name(&self, of: &[u8]) -> blake3::Hash {
        blake3::Hasher::new().update(of).update(&self.compatibility).finalize()
    }

    fn path(&self, name: &blake3::Hash, ending: &str) -> PathBuf {
        self.dir.join(format!("{}.{ending}", name.to_hex()))
    }

    /// The image of the component `hash`, if a sound one is here. One that is not is removed.
    pub(crate) fn get(&self, engine: &wasmtime::Engine, hash: &Hash) -> Option<(Component, Facts)> {
        let name = self.name(&hash.0);
        let path = self.path(&name, "image");
        let file = File::open(&path).ok()?;
        let found = match checked(&name, &file) {
            Ok(Some(facts)) => deserialize(engine, &file).map(|component| (component, facts)),
            Ok(None) | Err(_) => None,
        };
        if found.is_none() {
            tracing::warn!(path = %path.display(), %hash, "compiled image is corrupt: compiling it again");
            self.remove(&path);
        } else {
            touch(&path);
        }
        found
    }

    /// Keeps `component`. A failure costs the next start a compilation, and is only logged.
    pub(crate) fn put(&self, hash: &Hash, component: &Component, facts: Facts) {
        let name = self.name(&hash.0);
        let path = self.path(&name, "image");
        let stored = component.serialize().map_err(io::Error::other).and_then(|image| {
            let parts = image.chunks(PART_BYTES).map(blake3::hash);
            let seal = seal(&name, facts, parts);
            self.write(&path, &[&image, &facts.encode(), seal.as_bytes(), MAGIC])
        });
        if let Err(error) = stored {
            tracing::warn!(path = %path.display(), %hash, %error, "compiled image was not kept");
        }
    }

    /// The records of compiled functions, if they are sound.
    pub(crate) fn functions(&self) -> Option<Vec<u8>> {
        let name = self.name(functions::MAGIC);
        let path = self.path(&name, "functions");
        let mut records = fs::read(&path).ok()?;
        let at = records.len().checked_sub(SEAL_BYTES);
        let is_sound = at.is_some_and(|at| {
            let (records, trailer) = records.split_at(at);
            is_sealed(trailer, functions::MAGIC, &checksum(&name, records))
        });
        if !is_sound {
            tracing::warn!(path = %path.display(), "compiled functions are corrupt: starting anew");
            self.remove(&path);
            return None;
        }
        records.truncate(at?);
        Some(records)
    }

    /// Keeps the records of compiled functions, in the place of those before.
    pub(crate) fn keep_functions(&self, records: &[u8]) {
        let name = self.name(functions::MAGIC);
        let path = self.path(&name, "functions");
        let seal = checksum(&name, records);
        if let Err(error) = self.write(&path, &[records, seal.as_bytes(), functions::MAGIC]) {
            tracing::warn!(path = %path.display(), %error, "compiled functions were not kept");
        }
    }

    /// A file appears whole or not at all. It need not be on disk: a torn one has another hash.
    /// Nothing is ever written to a file that is there: one that is mapped stays as it is.
    fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.dir)?;
        for part in parts {
            file.write_all(part)?;
        }
        file.persist(path)?;
        self.shrink(CACHE_BYTES_MAX)
    }

    /// Removes the files unused for longest until the rest has at most `bytes_max` bytes.
    fn shrink(&self, bytes_max: u64) -> io::Result<()> {
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
            tracing::warn!(path = %path.display(), %error, "file of the cache was not removed");
        }
    }
}

/// Its time is when it was last used. Failing to set it only makes it go earlier.
fn touch(path: &Path) {
    if let Ok(file) = File::options().append(true).open(path) {
        file.set_modified(SystemTime::now()).ok();
    }
}

/// Ties what lies in a file to its name: in the wrong place it is as bad as damaged.
fn checksum(name: &blake3::Hash, bytes: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(name.as_bytes()).update(bytes).finalize()
}

/// The checksum of an image, over the hashes of its parts.
fn seal(
    name: &blake3::Hash,
    facts: Facts,
    parts: impl IntoIterator<Item = blake3::Hash>,
) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes()).update(&facts.encode());
    for part in parts {
        hasher.update(part.as_bytes());
    }
    hasher.finalize()
}

fn is_sealed(trailer: &[u8], magic: &[u8], hash: &blake3::Hash) -> bool {
    trailer
        .split_at_checked(32)
        .is_some_and(|(found, end)| found == hash.as_bytes() && end == magic)
}

/// What is kept about the image in `file`, when it is as it was written.
fn checked(name: &blake3::Hash, file: &File) -> io::Result<Option<Facts>> {
    const TRAILER_BYTES: usize = FACTS_BYTES + SEAL_BYTES;
    let Some(image_bytes) = file.metadata()?.len().checked_sub(TRAILER_BYTES as u64) else {
        return Ok(None);
    };
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, image_bytes)?;
    let (facts, end) = trailer.split_at(FACTS_BYTES);
    let Some(facts) = Facts::decode(facts) else { return Ok(None) };
    if !end.ends_with(MAGIC) {
        return Ok(None);
    }
    let found = seal(name, facts, parts(file, image_bytes)?);
    Ok(is_sealed(end, MAGIC, &found).then_some(facts))
}

/// The hash of each part of the first `bytes` of `file`, by all processors: with one, a large image
/// would take longer to check than to load.
fn parts(file: &File, bytes: u64) -> io::Result<Vec<blake3::Hash>> {
    const THREADS_MAX: u64 = 4;
    let parts = bytes.div_ceil(PART_BYTES as u64);
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let each = parts.div_ceil(threads.clamp(1, THREADS_MAX)).max(1);
    let hash = |first: u64| -> io::Result<Vec<blake3::Hash>> {
        let mut buffer = vec![0; PART_BYTES];
        let hash = |part: u64| {
            let at = part * PART_BYTES as u64;
            let len = usize::try_from(bytes - at).map_or(PART_BYTES, |left| left.min(PART_BYTES));
            file.read_exact_at(&mut buffer[..len], at)?;
            Ok(blake3::hash(&buffer[..len]))
        };
        (first..parts.min(first + each)).map(hash).collect()
    };
    let firsts = (0..parts).step_by(usize::try_from(each).unwrap_or(usize::MAX));
    let hashes: io::Result<Vec<Vec<blake3::Hash>>> = thread::scope(|scope| {
        let running: Vec<_> = firsts.map(|first| scope.spawn(move || hash(first))).collect();
        let panicked = |_| io::Error::other("a thread that hashed panicked");
        running.into_iter().map(|thread| thread.join().map_err(panicked)?).collect()
    });
    Ok(hashes?.concat())
}

#[allow(unsafe_code)]
fn deserialize(engine: &wasmtime::Engine, file: &File) -> Option<Component> {
    use std::os::fd::AsRawFd;
    const OPEN_FILES: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    // The file that was checked, not one that has its name by now.
    let path = format!("{OPEN_FILES}/{}", file.as_raw_fd());
    // SAFETY: the bytes must come from `Component::serialize`, since the engine runs them, and must
    // stay as they are while they are mapped. They do come from there: only `Cache::write` makes
    // files here, in a directory that nobody but this node's user can write to (`private_dir` sees
    // to it), and `checked` compared this very file with its hash, so neither a damaged disk nor a
    // torn write gets here. They do stay: files are replaced and removed, which leaves a mapping
    // alone, and never written to again. Who can write as this user can replace the node itself,
    // whose own code is mapped from a file just so. Version and configuration are checked by the
    // engine, which reads over what follows the image.
    unsafe { Component::deserialize_file(engine, path) }.ok()
}

/// Makes `dir` and closes it to everyone else.
fn private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    // Fails when the directory belongs to somebody else.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
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
