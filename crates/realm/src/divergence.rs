//! What a node keeps when it finds that it differs from the others.

use crate::{Realm, fingerprint::Difference};
use althing_protocol::{CheckpointValues, Error, PublicKey, Result};
use althing_state::Fingerprint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The file, at most, in bytes. An explanation that does not fit is left out.
const EVIDENCE_BYTES_MAX: usize = 4 << 20;

/// This node found other values than the voters vouch for. It is kept in the realm's directory until
/// the node is repaired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Divergence {
    /// Index of the checkpoint at which it was found.
    pub checkpoint: u64,
    /// What this node found there.
    pub own: ValuesShown,
    /// What the checkpoint says.
    pub vouched: ValuesShown,
    /// Keys of the voters that signed it.
    pub signers: Vec<String>,
    /// Where it begins, once another node was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<Beginning>,
    /// A node with the right values where every entry gave what it gave here: then no entry made the
    /// difference, and the state was changed beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agrees_with: Option<String>,
}

/// The values of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ValuesShown {
    /// Chain over entries.
    pub entry_chain: String,
    /// Chain over results.
    pub result_chain: String,
    /// Hash of the state.
    pub state_hash: String,
}

/// The first entry that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Beginning {
    /// Its index.
    pub index: u64,
    /// Whether both nodes are known to agree right before it.
    pub is_first: bool,
    /// The node that was asked.
    pub peer: String,
    /// This node's chains after it.
    pub own: ChainsShown,
    /// That node's.
    pub theirs: ChainsShown,
    /// What the entry does when this node runs it again, if it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<serde_json::Value>,
}

/// The chains after an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChainsShown {
    /// Chain over entries.
    pub entry_chain: String,
    /// Chain over results.
    pub result_chain: String,
}

impl Divergence {
    /// At a checkpoint that `signers` vouch for.
    pub(crate) fn new(
        own: &CheckpointValues,
        vouched: &CheckpointValues,
        signers: &BTreeSet<PublicKey>,
    ) -> Self {
        Self {
            checkpoint: vouched.index,
            own: own.into(),
            vouched: vouched.into(),
            signers: signers.iter().map(PublicKey::to_string).collect(),
            begins: None,
            agrees_with: None,
        }
    }

    /// Adds that every entry up to the checkpoint gave the same on `peer`.
    #[must_use]
    pub(crate) fn agreeing(self, peer: impl Into<String>) -> Self {
        Self { agrees_with: Some(peer.into()), ..self }
    }

    /// Adds where it begins, as compared with `peer`.
    #[must_use]
    pub(crate) fn beginning(
        self,
        difference: &Difference,
        peer: impl Into<String>,
        explanation: Option<serde_json::Value>,
    ) -> Self {
        let begins = Beginning {
            index: difference.index,
            is_first: difference.is_first,
            peer: peer.into(),
            own: (&difference.own).into(),
            theirs: (&difference.theirs).into(),
            explanation,
        };
        Self { begins: Some(begins), ..self }
    }

    /// Why the realm stops on this node.
    pub fn reason(&self, dir: &Path) -> String {
        let Self { checkpoint, own, vouched, begins, agrees_with, .. } = self;
        let parts = [
            ("chain of entries", own.entry_chain == vouched.entry_chain),
            ("chain of results", own.result_chain == vouched.result_chain),
            ("state", own.state_hash == vouched.state_hash),
        ];
        let parts: Vec<_> = parts.iter().filter(|(_, same)| !same).map(|(what, _)| *what).collect();
        let begins = match (begins, agrees_with) {
            (Some(begins), _) if begins.is_first => format!(", first at entry {}", begins.index),
            (Some(begins), _) => format!(", at entry {} or before", begins.index),
            (None, Some(peer)) => format!(
                ", though every entry gave what it gave on {peer}: the state was changed beside \
                 them, by a disk or by a snapshot"
            ),
            (None, None) => String::new(),
        };
        format!(
            "diverged: at entry {checkpoint} this node's {} differs from what the voters vouch \
             for{begins}; what is known is in {}; keep a copy of the realm's directory as evidence, \
             then run `althing repair`",
            parts.join(", "),
            Self::path(dir).display()
        )
    }

    /// Where it is kept.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("divergence.json")
    }

    /// What is kept in the realm directory `dir`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        let mut bytes = Vec::new();
        file.take(EVIDENCE_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(at(&path))?;
        let kept = serde_json::from_slice(&bytes);
        kept.map(Some).map_err(|error| at(&path)(error.into()))
    }

    /// Keeps it in the realm directory `dir`, durably, in the place of what was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(mut self, dir: &Path) -> Result<()> {
        let path = Self::path(dir);
        let mut bytes = self.encode(&path)?;
        if bytes.len() > EVIDENCE_BYTES_MAX {
            if let Some(begins) = &mut self.begins {
                begins.explanation = None;
            }
            bytes = self.encode(&path)?;
        }
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(at(&path))?;
        file.write_all(&bytes).map_err(at(&path))?;
        file.as_file().sync_all().map_err(at(&path))?;
        file.persist(&path).map_err(|error| at(&path)(error.error))?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(&path))
    }

    /// Removes what is kept in the realm directory `dir`: the node was repaired.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(dir: &Path) -> Result<()> {
        let path = Self::path(dir);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
            _ => Ok(()),
        }
    }

    fn encode(&self, path: &Path) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|error| at(path)(error.into()))
    }
}

impl Realm {
    /// What this node knows about its divergence, if it found one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn divergence(&self) -> Result<Option<Divergence>> {
        Divergence::read(&self.core.options.dir)
    }

    /// Whether the realm stopped on this node because it differs from what the voters vouch for. It
    /// goes on telling other nodes, and callers that ask, what it knows.
    pub fn has_diverged(&self) -> bool {
        self.core.cluster.diverged.borrow().is_some()
    }

    /// Adds where this node's divergence begins, as compared with `peer`, to what is kept. Explains
    /// that entry, if its state can still be made again.
    ///
    /// # Errors
    /// When there is no divergence, or it cannot be kept.
    pub(crate) async fn keep_difference(
        self: Arc<Self>,
        difference: &Difference,
        peer: impl Into<String> + Send,
    ) -> Result<Divergence> {
        let found = self.divergence()?.ok_or_else(|| {
            Error::conflict("this node differs from no checkpoint; there is nothing to add to")
        })?;
        let dir = self.core.options.dir.clone();
        let explained = self.explain(difference.index, None).await;
        let explanation = match explained {
            Ok(explained) => serde_json::to_value(explained).ok(),
            Err(error) => Some(serde_json::json!({ "unavailable": error.to_string() })),
        };
        let found = found.beginning(difference, peer, explanation);
        let kept = found.clone();
        tokio::task::spawn_blocking(move || kept.keep(&dir))
            .await
            .map_err(crate::halt::internal)??;
        Ok(found)
    }
}

impl From<&CheckpointValues> for ValuesShown {
    fn from(values: &CheckpointValues) -> Self {
        Self {
            entry_chain: values.entry_chain.to_string(),
            result_chain: values.result_chain.to_string(),
            state_hash: values.state_hash.to_string(),
        }
    }
}

impl From<&Fingerprint> for ChainsShown {
    fn from(fingerprint: &Fingerprint) -> Self {
        Self {
            entry_chain: fingerprint.entry_chain.to_string(),
            result_chain: fingerprint.result_chain.to_string(),
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::unavailable(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::testing;
    use althing_protocol::{Hash, Kind};

    fn found() -> Divergence {
        let values = |state: u8| CheckpointValues {
            index: 32_768,
            entry_chain: Hash([1; 32]),
            result_chain: Hash([2; 32]),
            state_hash: Hash([state; 32]),
        };
        Divergence::new(&values(3), &values(4), &BTreeSet::from([PublicKey([5; 32])]))
    }

    fn difference() -> Difference {
        let chains =
            |n: u8| Fingerprint { entry_chain: Hash([1; 32]), result_chain: Hash([n; 32]) };
        Difference { index: 32_001, is_first: true, own: chains(6), theirs: chains(7) }
    }

    #[test]
    fn what_is_kept_comes_back_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Divergence::read(dir.path()).unwrap(), None);
        found().keep(dir.path()).unwrap();
        assert_eq!(Divergence::read(dir.path()).unwrap(), Some(found()));
        let explanation = serde_json::json!({ "index": 32_001 });
        let more = found().beginning(&difference(), "node 2", Some(explanation));
        more.clone().keep(dir.path()).unwrap();
        assert_eq!(Divergence::read(dir.path()).unwrap(), Some(more));
        for _ in 0..2 {
            Divergence::forget(dir.path()).unwrap();
            assert_eq!(Divergence::read(dir.path()).unwrap(), None);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_explanation_too_large_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let huge = serde_json::json!("x".repeat(EVIDENCE_BYTES_MAX));
        found().beginning(&difference(), "node 2", Some(huge)).keep(dir.path()).unwrap();
        let kept = Divergence::read(dir.path()).unwrap().unwrap();
        assert_eq!(kept, found().beginning(&difference(), "node 2", None));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_realm_that_stopped_tells_what_the_entry_did() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("realm");
        let realm = testing::realm(&dir).await;
        testing::put(&realm, "a", 3).await;
        let index = *realm.core.applied.borrow();
        let own = realm.core.fingerprint(index).unwrap().unwrap();
        let theirs = Fingerprint { result_chain: Hash([7; 32]), ..own };
        let difference = Difference { index, is_first: true, own, theirs };
        let nothing = Arc::clone(&realm).keep_difference(&difference, "node 2").await;
        assert_eq!(nothing.unwrap_err().kind, Kind::Conflict);

        found().keep(&dir).unwrap();
        realm.core.stop.set(found().reason(&dir));
        let kept = Arc::clone(&realm).keep_difference(&difference, "node 2").await;
        assert_eq!(realm.divergence().unwrap(), Some(kept.unwrap()));
        let begins = realm.divergence().unwrap().unwrap().begins.unwrap();
        assert_eq!((begins.index, begins.own), (index, (&own).into()));
        let explanation = begins.explanation.unwrap().to_string();
        assert!(explanation.contains("/a/2"), "{explanation}");

        let unknown = Difference { index: index + 1, ..difference };
        let kept = Arc::clone(&realm).keep_difference(&unknown, "node 2").await.unwrap();
        let explanation = kept.begins.unwrap().explanation.unwrap().to_string();
        assert!(explanation.contains("unavailable"), "{explanation}");
        realm.shutdown().await.unwrap();
    }

    #[test]
    fn the_reason_names_what_differs_and_where() {
        let dir = Path::new("/realm");
        let reason = found().reason(dir);
        assert!(reason.contains("at entry 32768 this node's state differs"), "{reason}");
        assert!(reason.contains("/realm/divergence.json"), "{reason}");
        assert!(reason.contains("`althing repair`"), "{reason}");
        let reason = found().beginning(&difference(), "node 2", None).reason(dir);
        assert!(reason.contains("vouch for, first at entry 32001;"), "{reason}");
        let reason = found().agreeing("member 2").reason(dir);
        assert!(reason.contains("every entry gave what it gave on member 2"), "{reason}");
    }
}
