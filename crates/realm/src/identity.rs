//! Which realm a directory holds, beside its state and its log: so that a state file that was put
//! under another realm's log is found before anything is replayed into it.

use althing_protocol::{Error, RealmId, Result};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

const FIRST_LINE: &str = "althing realm 1";

fn path(dir: &Path) -> PathBuf {
    dir.join("id")
}

/// Writes the id, durably.
pub(crate) fn write(dir: &Path, id: &RealmId) -> Result<()> {
    let at = |e: std::io::Error| Error::unavailable(format!("{}: {e}", path(dir).display()));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(at)?;
    write!(file, "{FIRST_LINE}\n{id}\n").map_err(at)?;
    file.as_file().sync_all().map_err(at)?;
    file.persist(path(dir)).map_err(|e| at(e.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at)
}

/// The id that the directory has.
///
/// # Errors
/// `unavailable` when it says none, or is of another version.
pub(crate) fn read(dir: &Path) -> Result<RealmId> {
    let file = path(dir);
    let text = fs::read_to_string(&file).map_err(|e| {
        Error::unavailable(format!("{}: {e}; restore the directory", file.display()))
    })?;
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    if version != FIRST_LINE {
        return Err(Error::unavailable(format!(
            "{}: says {version:?}, this binary reads {FIRST_LINE:?}; use the binary that wrote it",
            file.display()
        )));
    }
    let found = lines.next().unwrap_or_default();
    found
        .parse()
        .map_err(|e: Error| Error::unavailable(format!("{}: {}", file.display(), e.message)))
}

/// # Errors
/// `unavailable` when the directory says that it holds another realm, or is of another version.
pub(crate) fn check(dir: &Path, id: &RealmId) -> Result<()> {
    match read(dir)? {
        found if found == *id => Ok(()),
        found => Err(Error::unavailable(format!(
            "{}: the directory holds realm {found}, but this state is of realm {id}; use one of \
             the right realm",
            dir.display()
        ))),
    }
}
