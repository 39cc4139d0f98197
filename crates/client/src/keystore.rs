//! Secret keys on disk, readable by their owner only.
//!
//! ```text
//! althing key v1
//! 64 hexadecimal digits: the seed of RFC 8032
//! # public key 64 hexadecimal digits
//! ```

use althing_protocol::{Error, PublicKey, Result, SecretKey};
use data_encoding::HEXLOWER;
use etcetera::BaseStrategy;
use rand::{TryRng, rngs::SysRng};
use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const HEADER: &str = "althing key v1";
const COMMENT: &str = "# public key ";
/// A key file, in bytes, with room for a comment of one's own.
const FILE_BYTES_MAX: u64 = 4 << 10;
const NAME_BYTES_MAX: usize = 64;

/// A new key, of the operating system's randomness.
///
/// # Errors
/// `internal` when the operating system has none.
pub fn generate() -> Result<SecretKey> {
    let mut seed = Zeroizing::new([0; 32]);
    SysRng
        .try_fill_bytes(seed.as_mut_slice())
        .map_err(|e| Error::internal(format!("randomness of the operating system: {e}")))?;
    Ok(SecretKey::from_seed(&seed))
}

/// Writes a key file at `path`, mode 0600. It appears whole or not at all, and replaces nothing.
///
/// # Errors
/// `conflict` when there is a file already.
pub fn write_key(path: &Path, key: &SecretKey) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let seed = Zeroizing::new(HEXLOWER.encode(key.seed().as_slice()));
    let text = Zeroizing::new(format!("{HEADER}\n{}\n{COMMENT}{}\n", *seed, key.public()));
    // The temporary file has mode 0600 from the start.
    let write = || -> io::Result<_> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    let file = write().map_err(|e| failed(dir, &e))?;
    file.persist_noclobber(path).map_err(|e| match e.error.kind() {
        io::ErrorKind::AlreadyExists => Error::conflict(format!(
            "key file {}: exists, and a key is never overwritten; use another name, or move it away",
            path.display()
        )),
        _ => failed(path, &e.error),
    })?;
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| failed(dir, &e))
}

/// Reads a key file.
///
/// # Errors
/// `not-found`; `denied` when others may read it, with the command that mends it; `invalid` when
/// it is damaged.
pub fn read_key(path: &Path) -> Result<SecretKey> {
    let shown = path.display();
    let file = fs::File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!(
            "key file {shown}: not there; see `althing key list`, or make one with `althing key new`"
        )),
        _ => failed(path, &e),
    })?;
    let metadata = file.metadata().map_err(|e| failed(path, &e))?;
    owner_only(path, &metadata, "600")?;
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|e| damaged(path, &e.to_string()))?;
    parse(&text).map_err(|reason| damaged(path, reason))
}

fn parse(text: &str) -> Result<SecretKey, &'static str> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err("its first line is not `althing key v1`");
    }
    let digits = lines.next().unwrap_or_default().trim_end();
    let mut seed = Zeroizing::new([0; 32]);
    if digits.len() != 64 || HEXLOWER.decode_mut(digits.as_bytes(), seed.as_mut_slice()).is_err() {
        return Err("its second line is not 64 hexadecimal digits");
    }
    let key = SecretKey::from_seed(&seed);
    let public = key.public().to_string();
    match lines.find_map(|line| line.strip_prefix(COMMENT)) {
        Some(said) if said.trim_end() == public => Ok(key),
        Some(_) => Err("its public key is not that of its secret key"),
        None => Err("its line `# public key ...` is missing"),
    }
}

/// What is known about a key without showing its secret.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// Its name in the store.
    pub name: String,
    /// Its public half, or what is wrong with the file.
    pub public: Result<PublicKey>,
}

/// A directory of keys, `NAME.key` each.
#[derive(Clone, Debug)]
pub struct Keystore {
    dir: PathBuf,
}

impl Keystore {
    /// Where a user's keys lie: `$XDG_CONFIG_HOME/althing/keys` or what the platform has for it.
    ///
    /// # Errors
    /// `invalid` when the user has no home directory.
    pub fn default_dir() -> Result<PathBuf> {
        let base = etcetera::choose_base_strategy().map_err(|e| {
            Error::invalid(format!("home directory: {e}; set HOME or XDG_CONFIG_HOME"))
        })?;
        Ok(base.config_dir().join("althing").join("keys"))
    }

    /// Opens the store of this user.
    ///
    /// # Errors
    /// As [`Self::default_dir`] and [`Self::open`].
    pub fn open_default() -> Result<Self> {
        Self::open(Self::default_dir()?)
    }

    /// Opens the store in `dir`, or makes it, mode 0700.
    ///
    /// # Errors
    /// `denied` when others may look into the directory, with the command that mends it.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // Parents that are missing get the same mode.
        builder.recursive(true).create(&dir).map_err(|e| failed(&dir, &e))?;
        let metadata = fs::metadata(&dir).map_err(|e| failed(&dir, &e))?;
        owner_only(&dir, &metadata, "700")?;
        Ok(Self { dir })
    }

    /// Makes a key called `name`.
    ///
    /// # Errors
    /// `conflict` when there is one already.
    pub fn create(&self, name: &str) -> Result<SecretKey> {
        let path = self.path(name)?;
        let key = generate()?;
        write_key(&path, &key)?;
        Ok(key)
    }

    /// The key called `name`.
    ///
    /// # Errors
    /// As [`read_key`].
    pub fn load(&self, name: &str) -> Result<SecretKey> {
        read_key(&self.path(name)?)
    }

    /// The public half of the key called `name`.
    ///
    /// # Errors
    /// As [`read_key`].
    pub fn show(&self, name: &str) -> Result<PublicKey> {
        Ok(self.load(name)?.public())
    }

    /// All keys, by name; damaged ones too, with what is wrong with them.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<KeyInfo>> {
        let mut names = Vec::new();
        for file in fs::read_dir(&self.dir).map_err(|e| failed(&self.dir, &e))? {
            let name = file.map_err(|e| failed(&self.dir, &e))?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".key"));
            names.extend(name.filter(|name| is_name(name)).map(str::to_owned));
        }
        names.sort_unstable();
        let info = |name: String| KeyInfo { public: self.show(&name), name };
        Ok(names.into_iter().map(info).collect())
    }

    /// Where the key called `name` lies.
    ///
    /// # Errors
    /// `invalid` when that is no name for a key.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        if is_name(name) {
            return Ok(self.dir.join(format!("{name}.key")));
        }
        Err(Error::invalid(format!(
            "key {name:?}: not a name; use 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 - _ ., not a dot first"
        )))
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with('.')
        && name.bytes().all(allowed)
}

#[cfg(unix)]
fn owner_only(path: &Path, metadata: &fs::Metadata, mode: &str) -> Result<()> {
    let found = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if found & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::denied(format!(
        "{}: others may use it (mode {found:03o}), so it is not secret; chmod {mode} '{}'",
        path.display(),
        path.display()
    )))
}

#[cfg(not(unix))]
fn owner_only(_: &Path, _: &fs::Metadata, _: &str) -> Result<()> {
    Ok(())
}

fn damaged(path: &Path, reason: &str) -> Error {
    Error::invalid(format!(
        "key file {}: damaged, {reason}; restore it from a backup, or move it away",
        path.display()
    ))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    let message = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Error::denied(message),
        _ => Error::internal(message),
    }
}
