//! Bringing back a node whose state differs from the others', or is damaged: its state is thrown away
//! for one that another member gives, and its own log goes on behind that.
//!
//! # Which files are replaced
//! | in the realm's directory | |
//! |---|---|
//! | `state.redb` | replaced; the old one moves to `REALM.before-repair-N` beside the directory |
//! | `divergence.json` | copied there, then removed: last of all, since a node does not open with it |
//! | `log/` | stays; without what [`althing_log::fit`] says cannot be the realm's |
//! | `id`, `blobs/`, `cache/`, `snapshots/` | stay: named or checked by hashes |
//!
//! # Why nothing is lost
//! What a member owes the others lies in its log: its vote, and the entries that it said it has. A
//! quorum that counted on it finds both unchanged. The state is a cache of entries that are decided,
//! and the state of any other member is that of a longer or a shorter part of the same entries:
//!
//! - It may stand at an entry that the log holds: the entries behind it are run again.
//! - It may stand behind the log's end: the log begins there anew, and what it had is in the state.
//! - It may stand at an entry for which the log has another one. That was never decided, nor was
//!   anything behind it, so it goes, as it would when a leader sends its entries; what is before it
//!   is in the state.
//! - It may stand before the log begins: such a state is refused, and the next member is asked.
//!
//! A crash leaves the old state, with which the node does not open, or the state of the other member,
//! whole. The first entry after which the new state differs from the others' is found as ever: the
//! next checkpoint compares it.
//!
//! A node whose *log* is lost or damaged has forgotten what it owes. Under its old name it could vote
//! twice in a term, or take part in a quorum for which the entries that it had acknowledged do not
//! exist. Its membership ends; the machine joins anew, under another id and with another key.

mod fetch;
mod own;

use crate::{
    Options, Realm, checkpoint::COPIED, cluster, divergence::Divergence, halt::internal,
    realm::state_path, transfer::Offer,
};
use althing_log::SnapshotFile;
use althing_protocol::{Contact, Error, RealmId, Result};
use althing_state::{Store, snapshot};
use fetch::Source;
use own::Own;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a repair did, or would do.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// The realm.
    pub realm: RealmId,
    /// This node, as a member.
    pub member: u64,
    /// What is wrong with its state.
    pub why: String,
    /// The member that the state comes from.
    pub from: u64,
    /// The last entry in it.
    pub index: u64,
    /// Hash of the state.
    pub state_hash: String,
    /// The snapshot, in bytes.
    pub bytes: u64,
    /// The last entry of the node's own log.
    pub log_last: u64,
    /// Where the old state is now; none for a dry run.
    pub previous: Option<PathBuf>,
}

impl Realm {
    /// Replaces the state of a node that is stopped by that of another member: of one of `contacts`,
    /// or of those that its own state knows. Its log, and with it its membership, stays. A dry run
    /// asks all that and changes nothing. `progress` is told how many bytes are here, of how many.
    ///
    /// # Errors
    /// `conflict` when the log is damaged or lost: then the machine must join anew; `unavailable`
    /// when no other member gives its state; what the disk says.
    pub async fn repair(
        options: &Options,
        contacts: &[Contact],
        is_dry_run: bool,
        progress: impl Fn(u64, u64) + Send,
    ) -> Result<Repaired> {
        let identity = options.identity.as_ref();
        let identity = identity.ok_or_else(|| internal("repairing without a key of the node"))?;
        let (dir, key) = (options.dir.clone(), identity.key.public());
        let own = tokio::task::spawn_blocking(move || Own::look(&dir, &key));
        let own = Arc::new(own.await.map_err(internal)??);
        let peers = althing_peers::Peers::caller(&identity.key).await?;
        let repaired = async {
            let source = Source::find(&peers, &own, contacts).await?;
            source.confirm().await?;
            let mut repaired = own.repaired(&source);
            if !is_dry_run {
                let file = source.fetch(progress).await?;
                let (genesis, offer) = (source.genesis.clone(), source.offer.clone());
                let own = Arc::clone(&own);
                let replace = move || own.replace(&file, &genesis, &offer);
                let replaced = tokio::task::spawn_blocking(replace).await;
                repaired.previous = Some(replaced.map_err(internal)??);
            }
            Ok(repaired)
        }
        .await;
        peers.shutdown().await;
        repaired
    }
}

impl Own {
    fn repaired(&self, source: &Source<'_>) -> Repaired {
        Repaired {
            realm: self.realm,
            member: self.log.node,
            why: self.why.clone(),
            from: source.member,
            index: source.offer.applied.index,
            state_hash: source.offer.state_hash.to_string(),
            bytes: source.offer.bytes,
            log_last: self.log.last,
            previous: None,
        }
    }

    /// Puts the state in `file` in the place of its own. Gives where that is now.
    fn replace(&self, file: &SnapshotFile, genesis: &[u8], offer: &Offer) -> Result<PathBuf> {
        let building = self.dir.join("state.repairing");
        self.build(&building, file, genesis, offer)?;
        althing_log::fit(&self.dir.join("log"), &file.position)?;
        let previous = self.put_aside(&building)?;
        Divergence::forget(&self.dir)?;
        if let Some(path) = &file.path {
            crate::transfer::discard(path);
        }
        Ok(previous)
    }

    /// Makes a store of the file, which says that it is this member's.
    fn build(
        &self,
        path: &Path,
        file: &SnapshotFile,
        genesis: &[u8],
        offer: &Offer,
    ) -> Result<Store> {
        let at = |e: std::io::Error| Error::unavailable(format!("{}: {e}", path.display()));
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(error)),
            _ => {}
        }
        let input = file.path.as_deref().ok_or_else(|| internal("a snapshot without a file"))?;
        let input = File::open(input).map_err(at)?;
        let options = althing_state::Options::default();
        let store = snapshot::restore(path, input, Some(genesis), &options);
        let store = store.map_err(|e| Error::unavailable(format!("{}: {e}", path.display())))?;
        // From here on the chains are recomputed: `log verify` starts at this index.
        let values = offer.applied.checkpoint(offer.state_hash);
        store.checkpoint_put(&values).map_err(internal)?;
        store.meta_put(COPIED, &values.index.to_le_bytes()).map_err(internal)?;
        cluster::is_member(&store, self.log.node, Default::default())?;
        Ok(store)
    }

    /// Gives the new state the old one's name in one step, and keeps the old one with what is known
    /// about it. The old one gets its other name before it loses this one, so that at every moment a
    /// whole state has the name and the old one has one: file systems that cannot exchange two names
    /// can do that.
    fn put_aside(&self, building: &Path) -> Result<PathBuf> {
        let at = |e: std::io::Error| Error::unavailable(format!("{}: {e}", self.dir.display()));
        let previous = self.free_name()?;
        fs::create_dir(&previous).map_err(at)?;
        let evidence = Divergence::path(&self.dir);
        if evidence.exists() {
            fs::copy(&evidence, Divergence::path(&previous)).map_err(at)?;
        }
        let (state, old) = (state_path(&self.dir), state_path(&previous));
        let sync = |dir: &Path| File::open(dir).and_then(|dir| dir.sync_all()).map_err(at);
        if state.exists() {
            fs::hard_link(&state, &old).map_err(at)?;
            sync(&previous)?;
            sync(previous.parent().unwrap_or(&previous))?;
        }
        fs::rename(building, &state).map_err(at)?;
        sync(&self.dir)?;
        Ok(previous)
    }

    fn free_name(&self) -> Result<PathBuf> {
        let name = self.dir.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let names =
            (1..1_000).map(|n| self.dir.with_file_name(format!("{name}.before-repair-{n}")));
        names.into_iter().find(|name| !name.exists()).ok_or_else(|| {
            Error::exhausted(format!(
                "{}: has a thousand states from before repairs beside it; remove those you do not \
                 need",
                self.dir.display()
            ))
        })
    }
}

#[cfg(test)]
mod tests;
