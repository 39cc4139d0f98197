//! Putting a snapshot in the place of a node's realm.

use crate::data_dir::{self, Lock};
use althing_protocol::{Error, Result};
use althing_realm::{Options, Realm, RestoredSnapshot};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::path::{Path, PathBuf};

/// What a restore did, or would do.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the snapshot holds: its state hash was recomputed from every pair.
    pub snapshot: RestoredSnapshot,
    /// Where the realm is now that was there before; none for a dry run.
    pub previous: Option<PathBuf>,
}

/// Makes the state of the node in `dir` that of the snapshot in `file`; the log begins behind it,
/// and callers, keys and configuration stay. What was there is moved aside, not removed. A dry run
/// checks the whole snapshot and changes nothing.
///
/// # Errors
/// `unavailable` while the node runs, `invalid` for a snapshot that is broken or of another realm.
pub async fn restore(dir: &Path, file: &Path, is_dry_run: bool) -> Result<Restored> {
    let _lock = Lock::take(dir)?;
    let realm = data_dir::realm(dir);
    let building = dir.join("realm.restoring");
    remove_leftover(&building)?;
    let restored = Realm::restore(Options::new(&building), file, Some(&realm)).await;
    let snapshot = match restored {
        Ok(snapshot) => snapshot,
        Err(error) => {
            remove_leftover(&building)?;
            return Err(error);
        }
    };
    if is_dry_run {
        remove_leftover(&building)?;
        return Ok(Restored { snapshot, previous: None });
    }
    let previous = free_name(dir)?;
    fs::rename(&building, &previous).map_err(data_dir::failed("rename", &building))?;
    // One step: at every moment there is a whole realm under the name, and the one that was there
    // before is under no name that a later restore removes.
    renameat_with(CWD, &previous, CWD, &realm, RenameFlags::EXCHANGE)
        .map_err(|error| data_dir::failed("replace", &realm)(error.into()))?;
    Ok(Restored { snapshot, previous: Some(previous) })
}

fn remove_leftover(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(data_dir::failed("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

fn free_name(dir: &Path) -> Result<PathBuf> {
    let names = (1..1_000).map(|n| dir.join(format!("realm.before-restore-{n}")));
    names.into_iter().find(|name| !name.exists()).ok_or_else(|| {
        Error::exhausted(format!(
            "{}: holds a thousand realms from before restores; remove those you do not need",
            dir.display()
        ))
    })
}
