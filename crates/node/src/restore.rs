//! Putting a snapshot in the place of a node's realm.

use crate::data_dir::{self, Lock};
use althing_protocol::{Error, Result};
use althing_realm::{Options, Realm, RestoredSnapshot};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
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
    if let Err(error) = renameat_with(CWD, &previous, CWD, &realm, RenameFlags::EXCHANGE) {
        // It is the restored one still, which nobody is to take for the one from before.
        remove_leftover(&previous)?;
        return Err(not_replaced(&realm, error));
    }
    Ok(Restored { snapshot, previous: Some(previous) })
}

/// Directories have no second name, as files may have, so a file system that cannot exchange two has
/// no other way that leaves a realm under the name whatever happens.
fn not_replaced(realm: &Path, error: Errno) -> Error {
    if [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP].contains(&error) {
        return Error::unavailable(format!(
            "{}: its file system cannot exchange two directories in one step, so nothing was \
             changed; move the data directory to one that can, such as ext4, XFS, Btrfs or tmpfs, \
             and restore it there",
            realm.display()
        ));
    }
    data_dir::failed("replace", realm)(error.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_cannot_exchange_is_named_as_the_cause() {
        let refused = |error| not_replaced(Path::new("/data/realm"), error).message;
        for error in [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP] {
            assert!(refused(error).contains("cannot exchange two directories"), "{error}");
        }
        assert!(refused(Errno::ACCESS).contains("cannot replace it"), "{}", refused(Errno::ACCESS));
    }
}
