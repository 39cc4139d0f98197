//! The real machine over the real state, driven as the realm does, without its threads.

use crate::bug::Bug;
use crate::ledger::Ledger;
use crate::power::Power;
use crate::state_disk::StateDisk;
use althing_log::{Committed, Halt, Position, SnapshotFile};
use althing_machine::{EntryAt, Images, Machine, genesis_writes};
use althing_protocol::{
    Error, FORMAT, Hash, RealmId, SEMANTICS, decode, next_entry_chain, next_result_chain, realm_id,
    v1,
};
use althing_sandbox::Image;
use althing_state::{Applied, Flusher, Options, Store, Tip, View, Writes, snapshot};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// The state is flushed at every such entry, on all nodes alike: there its hash is compared.
const FLUSH_INTERVAL: u64 = 16;
/// Views of flushed states that a snapshot may still be asked of.
const VIEWS_MAX: usize = 4;
/// Pages that a state keeps in memory.
const CACHE_BYTES: usize = 64 << 10;

/// The birth of the simulated realm: the same for all seeds, so that its first state is made once.
pub(crate) struct Birth {
    pub(crate) realm: RealmId,
    /// The file of a state at entry 0.
    image: Vec<u8>,
}

pub(crate) static BIRTH: LazyLock<Birth> = LazyLock::new(|| {
    let founder = crate::keys::founder().public();
    let any = v1::Grant {
        subject: "any".to_owned(),
        program: "sys".to_owned(),
        method: "*".to_owned(),
        ..v1::Grant::default()
    };
    let genesis = v1::Genesis {
        format: FORMAT,
        name: "simulation".to_owned(),
        founder: founder.0.to_vec(),
        created_us: 1,
        nonce: vec![0; 16],
        semantics: SEMANTICS,
        node: crate::keys::node(1).public().0.to_vec(),
        grants: vec![any],
    }
    .encode_to_vec();
    Birth { realm: realm_id(&genesis), image: first_state(&genesis) }
});

#[allow(clippy::expect_used)] // A constant.
fn first_state(genesis: &[u8]) -> Vec<u8> {
    let disk = StateDisk::default();
    let supply = crate::power::Supply::default();
    let writes = genesis_writes(genesis).expect("the genesis is well-formed");
    let file = disk.open(&supply.start());
    let store = Store::create_with_backend(file, genesis, writes, &options());
    drop(store.expect("memory does not fail"));
    disk.image()
}

fn options() -> Options {
    Options { cache_bytes: CACHE_BYTES, ..Options::default() }
}

/// The state of one run of a node.
pub(crate) struct Replica {
    pub(crate) machine: Machine,
    pub(crate) store: Store,
    node: u64,
    power: Power,
    ledger: Ledger,
    bug: Option<Bug>,
    verified: Verified,
    inner: Mutex<Inner>,
}

struct Inner {
    tip: Tip,
    flusher: Flusher,
    /// Flushed states, the newest last.
    views: Vec<View>,
    /// Snapshots that were received and are not installed yet.
    received: BTreeMap<PathBuf, Vec<u8>>,
}

/// Envelopes whose signature was checked: by any node, since all would find the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verified(Arc<Mutex<BTreeSet<Hash>>>);

impl Verified {
    pub(crate) fn check(&self, envelope: &v1::Envelope) -> althing_protocol::Result<()> {
        let name = Hash::of(&envelope.encode_to_vec());
        let mut checked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !checked.contains(&name) {
            let author = althing_protocol::Batch::decode(envelope)?.author;
            althing_protocol::verify(envelope, &author)?;
            checked.insert(name);
        }
        Ok(())
    }
}

/// No program of the simulation has an image.
struct NoImages;

impl Images for NoImages {
    fn image(
        &self,
        hash: &Hash,
    ) -> Result<althing_protocol::Result<Arc<Image>>, althing_machine::Halt> {
        Err(althing_machine::Halt::new(format!("image {hash}: there are none here")))
    }
}

impl Replica {
    /// Opens the state on `disk`, or makes the first one.
    pub(crate) fn open(
        node: u64,
        disk: &StateDisk,
        power: Power,
        ledger: Ledger,
        verified: Verified,
        bug: Option<Bug>,
    ) -> Result<Self, Halt> {
        if disk.is_empty() {
            disk.replace(&BIRTH.image);
        }
        let store = Store::open_with_backend(disk.open(&power), &options()).map_err(halt)?;
        let machine = Machine::new(BIRTH.realm, Arc::new(NoImages), Vec::new());
        let inner = Inner {
            tip: store.tip(),
            flusher: store.flusher(),
            views: vec![store.view()],
            received: BTreeMap::new(),
        };
        let inner = Mutex::new(inner);
        Ok(Self { machine, store, node, power, ledger, bug, verified, inner })
    }

    /// The bytes of the state at a position that was durable a moment ago.
    pub(crate) fn snapshot_bytes(&self, at: &Position) -> io::Result<Vec<u8>> {
        let gone = || io::Error::other(format!("the state at entry {} is gone", at.index));
        let views = self.lock().views.clone();
        let view = views.iter().find(|view| view.applied().index == at.index);
        let mut bytes = Vec::new();
        snapshot::write(view.ok_or_else(gone)?, &mut bytes).map_err(io::Error::other)?;
        Ok(bytes)
    }

    /// Takes the bytes of a snapshot, to be installed.
    pub(crate) fn receive(&self, bytes: Vec<u8>) -> io::Result<SnapshotFile> {
        let header = snapshot::check(bytes.as_slice(), Some(&self.store.genesis()));
        let position = position(&header.map_err(io::Error::other)?.applied);
        let path = PathBuf::from(Hash::of(&bytes).to_string());
        self.lock().received.insert(path.clone(), bytes);
        Ok(SnapshotFile { position, path: Some(path) })
    }

    /// The hash of the whole state now, and behind which entry that is.
    pub(crate) fn state_hash(&self) -> Result<(u64, Hash), Halt> {
        let view = self.store.view();
        Ok((view.applied().index, view.state_hash().map_err(halt)?))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, tip: &mut Tip, committed: &Committed) -> Result<Option<v1::Result>, Halt> {
        let before = tip.applied().clone();
        let placed = Applied {
            index: committed.index,
            term: committed.term,
            node: committed.node,
            ..before.clone()
        };
        let Some(bytes) = &committed.bytes else {
            let membership = committed.membership.as_deref().map(Arc::from);
            let membership = membership.unwrap_or(before.membership);
            tip.set_applied(Applied { membership, ..placed });
            return Ok(None);
        };
        let entry: v1::Entry = decode("entry", bytes).map_err(halt)?;
        let is_verified = match &entry.kind {
            Some(v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope) })) => {
                self.verified.check(envelope).is_ok()
            }
            _ => true,
        };
        let at = EntryAt { index: committed.index, entry: &entry, is_verified };
        let ran = self.machine.apply(tip.view(), at).map_err(halt)?;
        let result = ran.result.encode_to_vec();
        let after = Applied {
            timestamp_us: ran.timestamp_us,
            entry_chain: next_entry_chain(&before.entry_chain, committed.index, bytes),
            result_chain: next_result_chain(&before.result_chain, committed.index, &result),
            ..placed
        };
        tip.merge(ran.writes);
        tip.record(committed.index, result);
        tip.set_applied(after);
        Ok(Some(ran.result))
    }

    fn flush(&self, inner: &mut Inner) -> Result<(), Halt> {
        if inner.tip.freeze()
            && let Some(flushed) = inner.flusher.flush().map_err(halt)?
        {
            self.ledger.state(self.node, flushed.applied.index, flushed.state_hash);
        }
        inner.tip.publish();
        inner.views.push(self.store.view());
        if inner.views.len() > VIEWS_MAX {
            inner.views.remove(0);
        }
        Ok(())
    }
}

impl althing_log::Replica for Replica {
    type Response = v1::Result;

    fn applied(&self) -> Position {
        position(self.store.view().applied())
    }

    async fn apply(&self, entries: Vec<Committed>) -> Result<Vec<v1::Result>, Halt> {
        self.power.check().map_err(halt)?;
        let mut inner = self.lock();
        let mut results = Vec::with_capacity(entries.len());
        for committed in entries {
            let result = self.entry(&mut inner.tip, &committed)?;
            self.ledger.applied(self.node, &committed, inner.tip.applied(), result.as_ref());
            results.extend(result);
            if committed.index.is_multiple_of(FLUSH_INTERVAL) {
                self.flush(&mut inner)?;
            }
        }
        inner.tip.publish();
        Ok(results)
    }

    async fn snapshot(&self) -> Result<SnapshotFile, Halt> {
        Ok(SnapshotFile { position: position(&self.store.durable()), path: None })
    }

    /// Nothing is written yet: the bytes are made when they are sent.
    async fn snapshot_file(&self) -> Result<SnapshotFile, Error> {
        let inner = self.lock();
        let newest = inner.views.last().map(|view| position(view.applied()));
        let position = newest.ok_or_else(|| Error::unavailable("no state was flushed yet"))?;
        Ok(SnapshotFile { position, path: None })
    }

    async fn install(&self, snapshot: SnapshotFile) -> Result<(), Halt> {
        self.power.check().map_err(halt)?;
        let mut inner = self.lock();
        let path = snapshot.path.ok_or_else(|| Halt("a snapshot without bytes".to_owned()))?;
        let bytes = inner.received.remove(&path);
        let bytes = bytes.ok_or_else(|| Halt("a snapshot that was not received".to_owned()))?;
        inner.tip.replace(bytes.as_slice(), &[]).map_err(halt)?;
        if self.bug == Some(Bug::LostSessions) {
            forget_decided(&mut inner.tip)?;
        }
        self.ledger.installed();
        inner.tip.publish();
        inner.views = vec![self.store.view()];
        Ok(())
    }
}

/// [`Bug::LostSessions`]: what was decided is not in the state any more.
fn forget_decided(tip: &mut Tip) -> Result<(), Halt> {
    let view = tip.view();
    let page = view.scan("sys.decided", Bound::Unbounded, b"", usize::MAX, usize::MAX);
    let mut writes = Writes::new();
    for (key, _) in page.map_err(halt)?.pairs {
        writes.delete(althing_state::Key::new("sys.decided", &key));
    }
    tip.merge(writes);
    let applied = tip.applied().clone();
    tip.set_applied(applied);
    Ok(())
}

pub(crate) fn position(applied: &Applied) -> Position {
    Position {
        index: applied.index,
        term: applied.term,
        node: applied.node,
        membership: applied.membership.to_vec(),
    }
}

pub(crate) fn halt(error: impl Display) -> Halt {
    Halt(error.to_string())
}
