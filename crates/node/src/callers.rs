//! Who may come in: names, each with a key the node keeps for it and the hash of its token.
//!
//! A token opens the door and says which key signs; what that key may do, the grant table says. The
//! node's and the founder's keys are never among them. Of a token the node keeps its BLAKE3 only:
//! it has 256 random bits, so a slow hash would protect nothing more.

use crate::data_dir;
use althing_client::Keystore;
use althing_operations::Caller;
use althing_protocol::{Error, PublicKey, Result, SecretKey};
use data_encoding::BASE32_NOPAD;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// The operator on this machine: the command line reads this caller's token from its file.
pub const LOCAL: &str = "local";
/// Callers of one node.
const CALLERS_MAX: usize = 256;
/// A caller's name, in bytes.
const NAME_BYTES_MAX: usize = 64;
const TOKEN_PREFIX: &str = "althing_";
const FORMAT: u32 = 1;

/// `NAME.toml`: what makes a caller one. Written last and removed first.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    key: String,
    token_blake3: String,
    created_us: u64,
}

struct Kept {
    secret: SecretKey,
    token: blake3::Hash,
    created_us: u64,
}

/// A caller, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) key: PublicKey,
    pub(crate) created_us: u64,
}

/// A token that is shown once.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) caller: Caller,
    pub(crate) token: Zeroizing<String>,
}

/// All callers of a node.
pub(crate) struct Callers {
    dir: PathBuf,
    keys: Keystore,
    kept: RwLock<BTreeMap<Arc<str>, Kept>>,
}

impl Callers {
    /// Opens `DATA/callers`, making it when it is not there.
    pub(crate) fn open(dir: PathBuf) -> Result<Self> {
        data_dir::make_private(&dir)?;
        let keys = Keystore::open(&dir)?;
        let callers = Self { dir, keys, kept: RwLock::default() };
        for name in callers.recorded()? {
            let kept = callers.load(&name)?;
            callers.write().insert(name.into(), kept);
        }
        Ok(callers)
    }

    /// Makes a caller with a new key and a new token.
    pub(crate) fn create(&self, name: &str) -> Result<Created> {
        check_name(name)?;
        let mut kept = self.write();
        if kept.contains_key(name) {
            return Err(Error::conflict(format!(
                "token {name}: exists; revoke it first, or choose another name"
            )));
        }
        if kept.len() >= CALLERS_MAX {
            return Err(Error::exhausted(format!(
                "token {name}: this node has {CALLERS_MAX} already; revoke one that is not used"
            )));
        }
        // A key without its record was left behind by a creation that was cut off.
        data_dir::remove(&self.path(name, "key"))?;
        let secret = self.keys.create(name)?;
        let token = new_token();
        let fresh = Kept { secret, token: blake3::hash(token.as_bytes()), created_us: now_us() };
        let record = Record {
            format: FORMAT,
            key: fresh.secret.public().to_string(),
            token_blake3: fresh.token.to_hex().to_string(),
            created_us: fresh.created_us,
        };
        let text = toml::to_string(&record)
            .map_err(|error| Error::internal(format!("token {name}: {error}")))?;
        data_dir::write_private(&self.path(name, "toml"), text.as_bytes())?;
        let caller = Caller { key: fresh.secret.public(), name: name.to_owned() };
        kept.insert(name.into(), fresh);
        Ok(Created { caller, token })
    }

    /// Writes the token of a caller to its file, for the command line on this machine.
    pub(crate) fn write_token(&self, created: &Created) -> Result<()> {
        let line = Zeroizing::new(format!("{}\n", *created.token));
        data_dir::write_private(&self.path(&created.caller.name, "token"), line.as_bytes())
    }

    /// Forgets a caller: its token and its key, at once and for good.
    pub(crate) fn revoke(&self, name: &str) -> Result<()> {
        if name == LOCAL {
            return Err(Error::invalid(format!(
                "token {LOCAL}: is this machine's own way in and cannot be revoked; its grants can"
            )));
        }
        let mut kept = self.write();
        if !kept.contains_key(name) {
            return Err(Error::not_found(format!(
                "token {name:?}: there is none of that name; query:token.list.v1 lists them"
            )));
        }
        data_dir::remove(&self.path(name, "toml"))?;
        kept.remove(name);
        data_dir::remove(&self.path(name, "key"))
    }

    /// Whose token this is.
    pub(crate) fn authenticate(&self, token: &str) -> Option<Caller> {
        let presented = blake3::hash(token.as_bytes());
        // `blake3::Hash` compares in constant time, and all of them are compared.
        let mut found = None;
        for (name, kept) in self.read().iter() {
            if kept.token == presented {
                found = Some(Caller { key: kept.secret.public(), name: name.to_string() });
            }
        }
        found
    }

    /// Whether the caller is still one: what lasts asks again.
    pub(crate) fn knows(&self, caller: &Caller) -> bool {
        let kept = self.read();
        kept.get(caller.name.as_str()).is_some_and(|kept| kept.secret.public() == caller.key)
    }

    /// The key that signs for `caller`.
    pub(crate) fn secret(&self, caller: &Caller) -> Result<SecretKey> {
        match self.read().get(caller.name.as_str()) {
            Some(kept) if kept.secret.public() == caller.key => Ok(kept.secret.clone()),
            _ => Err(revoked(&caller.name)),
        }
    }

    /// All callers, by name.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let listed = |(name, kept): (&Arc<str>, &Kept)| Listed {
            name: name.to_string(),
            key: kept.secret.public(),
            created_us: kept.created_us,
        };
        self.read().iter().map(listed).collect()
    }

    fn recorded(&self) -> Result<Vec<String>> {
        let failed = data_dir::failed("read", &self.dir);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(&failed)? {
            let path = entry.map_err(&failed)?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str());
            if let (Some(name), Some("toml")) = (name, path.extension().and_then(|e| e.to_str())) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn load(&self, name: &str) -> Result<Kept> {
        let path = self.path(name, "toml");
        let refused = |reason: String| {
            Error::unavailable(format!(
                "caller {name}: {}: {reason}; restore the file, or remove it and make a new token",
                path.display()
            ))
        };
        let text = fs::read_to_string(&path).map_err(|error| refused(error.to_string()))?;
        let record: Record = toml::from_str(&text).map_err(|error| refused(error.to_string()))?;
        if record.format != FORMAT {
            return Err(refused(format!("has format {}, this node reads {FORMAT}", record.format)));
        }
        let token = blake3::Hash::from_hex(&record.token_blake3)
            .map_err(|error| refused(format!("token_blake3: {error}")))?;
        let secret = self.keys.load(name)?;
        if secret.public().to_string() != record.key {
            return Err(refused(format!("is for key {}, not the one kept", record.key)));
        }
        Ok(Kept { secret, token, created_us: record.created_us })
    }

    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.dir.join(format!("{name}.{extension}"))
    }

    // A value is whole at all times, so a panic elsewhere leaves nothing half done.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Arc<str>, Kept>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Arc<str>, Kept>> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refusal of a caller that was one.
pub(crate) fn revoked(name: &str) -> Error {
    Error::denied(format!("token {name}: was revoked; ask the operator for a new one"))
}

fn check_name(name: &str) -> Result<()> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let first = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if first && name.len() <= NAME_BYTES_MAX && name.bytes().all(inner) {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME_BYTES_MAX).collect();
    Err(Error::invalid(format!(
        "token {shown:?}: not a name; use 1 to {NAME_BYTES_MAX} of a-z 0-9 - _, a letter first"
    )))
}

fn new_token() -> Zeroizing<String> {
    let mut random = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(random.as_mut_slice());
    Zeroizing::new(format!(
        "{TOKEN_PREFIX}{}",
        BASE32_NOPAD.encode(random.as_slice()).to_lowercase()
    ))
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;
    use std::os::unix::fs::PermissionsExt;

    fn open() -> (tempfile::TempDir, Callers) {
        let dir = tempfile::tempdir().unwrap();
        let callers = Callers::open(dir.path().join("callers")).unwrap();
        (dir, callers)
    }

    #[test]
    fn a_token_is_its_callers_and_survives_a_restart() {
        let (dir, callers) = open();
        let created = callers.create("phone").unwrap();
        callers.create("tablet").unwrap();
        assert_eq!(callers.authenticate(&created.token), Some(created.caller.clone()));
        drop(callers);
        let callers = Callers::open(dir.path().join("callers")).unwrap();
        assert_eq!(callers.authenticate(&created.token), Some(created.caller.clone()));
        assert_eq!(callers.secret(&created.caller).unwrap().public(), created.caller.key);
        assert_eq!(callers.list().len(), 2);
    }

    #[test]
    fn no_other_text_is_a_token() {
        let (_dir, callers) = open();
        let created = callers.create("phone").unwrap();
        let shorter = &created.token[..created.token.len() - 1];
        for wrong in ["", shorter, "phone", &created.caller.key.to_string()] {
            assert_eq!(callers.authenticate(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nothing_on_disk_is_the_token_and_nothing_is_readable_by_others() {
        let (_dir, callers) = open();
        let created = callers.create("phone").unwrap();
        for entry in fs::read_dir(&callers.dir).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
            let bytes = fs::read(&path).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(&created.token[8..]));
        }
    }

    #[test]
    fn a_revoked_caller_is_gone_and_its_name_is_free_for_another_key() {
        let (_dir, callers) = open();
        let first = callers.create("phone").unwrap();
        callers.revoke("phone").unwrap();
        assert_eq!(callers.authenticate(&first.token), None);
        assert!(!callers.knows(&first.caller));
        assert_eq!(callers.revoke("phone").unwrap_err().kind, Kind::NotFound);
        let second = callers.create("phone").unwrap();
        assert_ne!(first.caller.key, second.caller.key);
        assert_eq!(callers.secret(&first.caller).unwrap_err().kind, Kind::Denied);
    }

    #[test]
    fn names_that_are_taken_or_are_no_names_are_refused() {
        let (_dir, callers) = open();
        callers.create(LOCAL).unwrap();
        assert_eq!(callers.create(LOCAL).unwrap_err().kind, Kind::Conflict);
        assert_eq!(callers.revoke(LOCAL).unwrap_err().kind, Kind::Invalid);
        for bad in ["", "../key", "Phone", "a.b", &"a".repeat(65)] {
            assert_eq!(callers.create(bad).unwrap_err().kind, Kind::Invalid, "{bad}");
        }
    }

    #[test]
    fn a_creation_that_was_cut_off_leaves_no_caller() {
        let (dir, callers) = open();
        let created = callers.create("phone").unwrap();
        fs::remove_file(callers.path("phone", "toml")).unwrap();
        let callers = Callers::open(dir.path().join("callers")).unwrap();
        assert!(callers.list().is_empty());
        assert_ne!(callers.create("phone").unwrap().caller.key, created.caller.key);
    }

    #[test]
    fn a_damaged_record_is_named() {
        let (dir, callers) = open();
        callers.create("phone").unwrap();
        fs::write(callers.path("phone", "toml"), "format = 2\n").unwrap();
        let error = Callers::open(dir.path().join("callers")).err().unwrap();
        assert!(error.message.contains("phone.toml"), "{error}");
    }
}
