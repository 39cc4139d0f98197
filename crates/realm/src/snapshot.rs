//! Snapshots in files: saved from a running realm, restored into an empty directory.

use crate::{Options, Realm, cluster, halt::internal, realm::state_path};
use althing_protocol::{Error, Result, realm_id};
use althing_state::snapshot;
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    fs::{self, File},
    io::BufWriter,
    path::Path,
    sync::Arc,
};

/// What a snapshot holds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RestoredSnapshot {
    /// The realm.
    pub realm: String,
    /// The last entry in it.
    pub index: u64,
    /// Pairs of keys and values.
    pub pairs: u64,
    /// Hash of the state; restoring recomputes it.
    pub state_hash: String,
}

impl RestoredSnapshot {
    fn new(header: &snapshot::Header) -> Self {
        Self {
            realm: realm_id(&header.genesis).to_string(),
            index: header.applied.index,
            pairs: header.pairs,
            state_hash: header.state_hash.to_string(),
        }
    }
}

impl Realm {
    /// Writes the state of now to a file that must not exist: the whole of it, or nothing.
    /// Images that programs run are not in it: they are blobs.
    ///
    /// # Errors
    /// `conflict` when the file exists, or what the disk says.
    pub async fn save_snapshot(&self, path: &Path) -> Result<RestoredSnapshot> {
        let path = path.to_owned();
        let core = Arc::clone(&self.core);
        let save = move || {
            let held = core.flusher.hold(&core.store);
            let at = |e: &dyn std::fmt::Display| {
                Error::unavailable(format!("snapshot {}: {e}", path.display()))
            };
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            let temp = tempfile::NamedTempFile::new_in(dir.unwrap_or(Path::new(".")));
            let temp = temp.map_err(|e| at(&e))?;
            let header =
                snapshot::write(held.view(), BufWriter::new(temp.as_file())).map_err(|e| at(&e))?;
            temp.as_file().sync_all().map_err(|e| at(&e))?;
            temp.persist_noclobber(&path).map_err(|e| match e.error.kind() {
                std::io::ErrorKind::AlreadyExists => Error::conflict(format!(
                    "snapshot {}: exists; choose another name",
                    path.display()
                )),
                _ => at(&e.error),
            })?;
            Ok(RestoredSnapshot::new(&header))
        };
        tokio::task::spawn_blocking(save).await.map_err(internal)?
    }

    /// Makes a realm of one node from a snapshot, in an empty directory: the state as it was, and
    /// a log that begins behind it. `replaced` is the directory of a realm that this is to take the
    /// place of: the snapshot must be of that realm, and the blobs, which no snapshot holds, are
    /// copied from there.
    ///
    /// # Errors
    /// What is wrong with the snapshot, the directory or the disk.
    pub async fn restore(
        options: Options,
        file: &Path,
        replaced: Option<&Path>,
    ) -> Result<RestoredSnapshot> {
        let (file, replaced) = (file.to_owned(), replaced.map(Path::to_owned));
        let restore = move || restore_state(&options, &file, replaced.as_deref());
        tokio::task::spawn_blocking(restore).await.map_err(internal)?
    }
}

fn restore_state(
    options: &Options,
    file: &Path,
    replaced: Option<&Path>,
) -> Result<RestoredSnapshot> {
    let dir = &options.dir;
    let state = state_path(dir);
    let at = |e: &dyn std::fmt::Display| Error::unavailable(format!("{}: {e}", dir.display()));
    fs::create_dir_all(dir).map_err(|e| at(&e))?;
    if state.exists() || dir.join("log").exists() {
        return Err(Error::conflict(format!("{}: holds a realm; choose another", dir.display())));
    }
    let broken =
        |e: snapshot::SnapshotError| Error::invalid(format!("snapshot {}: {e}", file.display()));
    let open =
        || File::open(file).map_err(|e| Error::not_found(format!("{}: {e}", file.display())));
    let header = snapshot::read_header(open()?).map_err(broken)?;
    if let Some(replaced) = replaced {
        crate::identity::check(replaced, &realm_id(&header.genesis))?;
    }
    let voter = only_voter(&header, file)?;
    let store = snapshot::restore(&state, open()?, None, &althing_state::Options::default());
    let store = store.map_err(broken)?;
    // From here on the chains are recomputed: `log verify` starts at this index.
    let values = header.applied.checkpoint(header.state_hash);
    store.checkpoint_put(&values).map_err(internal)?;
    cluster::is_member(&store, voter, Default::default())?;
    store.meta_put(RESTORED, b"yes").map_err(internal)?;
    crate::identity::write(dir, &realm_id(&header.genesis))?;
    if let Some(replaced) = replaced {
        copy_dir(&replaced.join("blobs"), &dir.join("blobs")).map_err(|e| at(&e))?;
    }
    Ok(RestoredSnapshot::new(&header))
}

/// The member that the restored node is. Where others vote they have a realm of their own: going back
/// alone would make two of one.
fn only_voter(header: &snapshot::Header, file: &Path) -> Result<u64> {
    let voters = althing_log::voters(&header.applied.membership).map_err(internal)?;
    match voters.iter().collect::<Vec<_>>().as_slice() {
        [only] => Ok(**only),
        _ => Err(Error::conflict(format!(
            "snapshot {}: members {voters:?} vote in it, and no single one goes back without the \
             others; a damaged node among them comes back with `althing repair`, a lost one joins anew",
            file.display()
        ))),
    }
}

/// Present until the log behind a restored state is begun.
pub(crate) const RESTORED: &str = "restored";

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_dir(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}
