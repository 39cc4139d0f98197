//! Making a data directory: all of it, or nothing.

use crate::callers::{Callers, LOCAL};
use crate::{config, data_dir};
use althing_client::Keystore;
use althing_protocol::{Error, PublicKey, RealmId, Result, v1};
use althing_realm::{Founding, Options, Realm};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What a new data directory is made of.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Where; it must not exist, or be empty.
    pub dir: PathBuf,
    /// The realm's name, for people.
    pub name: String,
    /// The key that holds every grant. Its secret half stays with the user, never on the node.
    pub founder: PublicKey,
    /// What its configuration says beside the defaults: `section.key` and a value.
    pub settings: Vec<(String, String)>,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialised {
    /// The data directory.
    pub dir: PathBuf,
    /// The realm's id.
    pub realm: RealmId,
    /// The node's own key.
    pub node: PublicKey,
    /// The key that the node keeps for the caller `local`.
    pub local: PublicKey,
}

/// Makes a data directory with a new realm, a node key, and the caller `local` who may do all that
/// an operator must.
///
/// # Errors
/// `conflict` when something is there already; nothing is left behind by any error.
pub fn init(options: &InitOptions) -> Result<Initialised> {
    let (dir, made) = make_directory(&options.dir, |building| build(building, options))?;
    Ok(Initialised { dir, ..made })
}

/// Makes a directory of what `build` puts into one beside it.
pub(crate) fn make_directory<T>(
    dir: &Path,
    build: impl FnOnce(&Path) -> Result<T>,
) -> Result<(PathBuf, T)> {
    let dir = std::path::absolute(dir).map_err(data_dir::failed("find", dir))?;
    if !is_vacant(&dir)? {
        return Err(exists(&dir));
    }
    let parent = dir.parent().ok_or_else(|| {
        Error::invalid(format!("data directory {}: is the root; name another", dir.display()))
    })?;
    fs::create_dir_all(parent).map_err(data_dir::failed("create", parent))?;
    // Beside the place where it goes, so that the last step is one rename.
    let building = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o700))
        .prefix(".althing-init-")
        .tempdir_in(parent)
        .map_err(data_dir::failed("create a directory in", parent))?;
    let made = build(building.path())?;
    sync(building.path())?;
    fs::rename(building.path(), &dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::NotADirectory => exists(&dir),
        _ => data_dir::failed("create", &dir)(error),
    })?;
    // It is where it belongs: nothing to remove.
    let _ = building.keep();
    sync(parent)?;
    Ok((dir, made))
}

/// Makes what a node has before it has a realm: configuration, key, and the caller `local`. Gives both
/// keys.
pub(crate) fn build_machine(
    dir: &Path,
    settings: &[(String, String)],
) -> Result<(PublicKey, PublicKey)> {
    let file = config::file_with(settings)?;
    let config = data_dir::config_file(dir);
    if let Some(parent) = config.parent() {
        data_dir::make_private(parent)?;
    }
    data_dir::write_private(&config, file.as_bytes())?;
    let node = Keystore::open(dir)?.create(data_dir::NODE_KEY)?.public();
    let callers = Callers::open(data_dir::callers(dir))?;
    let local = callers.create(LOCAL)?;
    callers.write_token(&local)?;
    Ok((node, local.caller.key))
}

fn build(dir: &Path, options: &InitOptions) -> Result<Initialised> {
    let (node, local) = build_machine(dir, &options.settings)?;
    let founding = Founding {
        name: options.name.clone(),
        founder: options.founder,
        node,
        grants: vec![everything(&local)],
    };
    let realm = Realm::create(&Options::new(data_dir::realm(dir)), founding)?;
    Ok(Initialised { dir: dir.to_owned(), realm, node, local })
}

/// The operator on this machine may do everything, until the founder takes it away.
fn everything(key: &PublicKey) -> v1::Grant {
    v1::Grant {
        subject: format!("key:{key}"),
        program: "*".into(),
        method: "*".into(),
        prefix: Vec::new(),
        exclusive: false,
        expires_us: 0,
    }
}

/// Whether nothing is there yet.
pub(crate) fn is_vacant(dir: &Path) -> Result<bool> {
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(is_empty) => Ok(is_empty),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(data_dir::failed("read", dir)(error)),
    }
}

fn exists(dir: &Path) -> Error {
    Error::conflict(format!(
        "data directory {}: exists and is not empty; start its node with `althing up`, or name \
         another directory",
        dir.display()
    ))
}

fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(data_dir::failed("flush", dir))
}
