//! What must hold at every moment, checked as it happens. The first breach ends the run.

use crate::trace::Trace;
use althing_log::{Body, Committed, Id, Record};
use althing_protocol::{Hash, PublicKey, v1};
use althing_state::Applied;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt::{self, Display};
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An entry as the first node that applied it found it. All others must find the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    term: u64,
    leader: u64,
    entry_chain: Hash,
    result_chain: Hash,
    content: Hash,
}

/// An instruction: author, session, sequence number.
type Name = (PublicKey, u64, u64);

#[derive(Debug, Default)]
struct Inner {
    breach: Option<String>,
    /// Every entry that was ever written: what it followed, and what it says.
    written: BTreeMap<Id, (Option<Id>, blake3::Hash)>,
    /// Every entry that was ever applied.
    applied: BTreeMap<u64, Found>,
    /// State hashes, at the entries where nodes flushed.
    states: BTreeMap<u64, Hash>,
    /// Which run of which node led, by term and Raft id.
    leaders: BTreeMap<(u64, u64), (usize, u64)>,
    /// Where each instruction took effect, with its outcome.
    executed: BTreeMap<Name, v1::Outcome>,
    acknowledged: u64,
    reads: u64,
    crashes: u64,
    snapshots: u64,
    /// The last entry of which a client knows the outcome.
    acknowledged_to: u64,
    /// By key: the entry that last changed it, as far as any client knows.
    known: BTreeMap<Vec<u8>, u64>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions that clients know the outcome of.
    pub acknowledged: u64,
    /// Linearizable reads that were answered.
    pub reads: u64,
    /// Machines that crashed.
    pub crashes: u64,
    /// Snapshots that were installed.
    pub snapshots: u64,
    /// Leaders there were.
    pub leaders: u64,
    /// Entries that were applied.
    pub entries: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.acknowledged += more.acknowledged;
        self.reads += more.reads;
        self.crashes += more.crashes;
        self.snapshots += more.snapshots;
        self.leaders += more.leaders;
        self.entries += more.entries;
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, reads, crashes, snapshots, leaders, entries } = self;
        write!(
            f,
            "{entries} entries, {acknowledged} acknowledged, {reads} reads, {leaders} leaders, \
             {crashes} crashes, {snapshots} snapshots installed"
        )
    }
}

/// Clones are the same ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    inner: Arc<Mutex<Inner>>,
    trace: Trace,
}

impl Ledger {
    pub(crate) fn new(trace: Trace) -> Self {
        Self { inner: Arc::default(), trace }
    }

    pub(crate) fn breach(&self) -> Option<String> {
        self.lock().breach.clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        let inner = self.lock();
        Counts {
            acknowledged: inner.acknowledged,
            reads: inner.reads,
            crashes: inner.crashes,
            snapshots: inner.snapshots,
            leaders: inner.leaders.len() as u64,
            entries: inner.applied.len() as u64,
        }
    }

    /// The last entry of which a client knows the outcome: all must have it in the end.
    pub(crate) fn acknowledged_to(&self) -> u64 {
        self.lock().acknowledged_to
    }

    pub(crate) fn crashed(&self) {
        self.lock().crashes += 1;
    }

    pub(crate) fn installed(&self) {
        self.lock().snapshots += 1;
    }

    /// Records a breach, unless there is one.
    pub(crate) fn fail(&self, what: String) {
        self.trace.note("BREACH", &what);
        self.lock().breach.get_or_insert(what);
    }

    /// Log matching: an entry of one name says the same on all disks, and follows the same entry.
    pub(crate) fn appended(&self, node: u64, previous: Option<Id>, record: &Record) {
        let this = (previous, body_hash(&record.body));
        let other = match self.lock().written.entry(record.id) {
            Slot::Vacant(slot) => {
                slot.insert(this);
                return;
            }
            Slot::Occupied(other) => *other.get(),
        };
        // Behind a purged log the one before is known by its place only.
        if other.1 != this.1 || other.0 != this.0 {
            self.fail(format!(
                "log matching: node {node} writes {:?} behind {previous:?} with content {}, \
                 elsewhere it is behind {:?} with content {}",
                record.id,
                &this.1.to_hex()[..8],
                other.0,
                &other.1.to_hex()[..8]
            ));
        }
    }

    /// State machine safety: the same entries, and the same results, on all nodes.
    pub(crate) fn applied(
        &self,
        node: u64,
        committed: &Committed,
        after: &Applied,
        result: Option<&v1::Result>,
    ) {
        let content = committed.bytes.as_deref().or(committed.membership.as_deref());
        let found = Found {
            term: committed.term,
            leader: committed.node,
            entry_chain: after.entry_chain,
            result_chain: after.result_chain,
            content: Hash::of(content.unwrap_or_default()),
        };
        self.trace.detail(
            node,
            format_args!("applies {} {:.8}", committed.index, after.result_chain.to_string()),
        );
        let other = match self.lock().applied.entry(committed.index) {
            Slot::Vacant(slot) => {
                slot.insert(found);
                None
            }
            Slot::Occupied(other) => Some(other.get().clone()).filter(|other| *other != found),
        };
        if let Some(other) = other {
            return self.fail(format!(
                "node {node} applied entry {} of term {} by {} (chains {:.8} and {:.8}), another \
                 node that of term {} by {} (chains {:.8} and {:.8})",
                committed.index,
                committed.term,
                committed.node,
                after.entry_chain.to_string(),
                after.result_chain.to_string(),
                other.term,
                other.leader,
                other.entry_chain.to_string(),
                other.result_chain.to_string()
            ));
        }
        if let Some((bytes, result)) = committed.bytes.as_deref().zip(result) {
            self.executed(committed.index, bytes, result);
        }
    }

    /// Exactly once: an instruction takes effect in one entry.
    fn executed(&self, index: u64, bytes: &[u8], result: &v1::Result) {
        let Ok(entry) = althing_protocol::decode::<v1::Entry>("entry", bytes) else { return };
        let Some(v1::entry::Kind::Signed(signed)) = entry.kind else { return };
        let envelope = signed.envelope.unwrap_or_default();
        let Ok(batch) = althing_protocol::Batch::decode(&envelope) else { return };
        for (sequence, outcome) in (batch.sequence..).zip(&result.outcomes) {
            // A retry has the outcome of the first time, and its index.
            if outcome.index != index {
                continue;
            }
            let name = (batch.author, batch.session, sequence);
            let first = self.lock().executed.entry(name).or_insert_with(|| outcome.clone()).clone();
            if first != *outcome {
                self.fail(format!(
                    "exactly once: instruction {sequence} of session {} of {:.8} took effect in \
                     entry {} and again in entry {index}",
                    batch.session,
                    batch.author.to_string(),
                    first.index
                ));
            }
        }
    }

    /// A client has these outcomes: they are those of the log.
    pub(crate) fn acknowledged(
        &self,
        author: &PublicKey,
        session: u64,
        sequence: u64,
        outcomes: &[v1::Outcome],
    ) {
        for (sequence, outcome) in (sequence..).zip(outcomes) {
            let logged = self.lock().executed.get(&(*author, session, sequence)).cloned();
            if logged.as_ref() != Some(outcome) {
                self.fail(format!(
                    "acknowledged: instruction {sequence} of session {session} of {:.8} has the \
                     outcome of entry {}, in the log it is {}",
                    author.to_string(),
                    outcome.index,
                    logged.map_or("nowhere".to_owned(), |at| format!("in entry {}", at.index))
                ));
            }
            let what = format_args!("acknowledged {session}/{sequence} in {}", outcome.index);
            self.trace.detail(format_args!("{:.8}", author.to_string()), what);
            let mut inner = self.lock();
            inner.acknowledged += 1;
            inner.acknowledged_to = inner.acknowledged_to.max(outcome.index);
        }
    }

    /// A client knows that `key` was changed by the entry `modify`.
    pub(crate) fn knows(&self, key: &[u8], modify: u64) {
        let mut inner = self.lock();
        let known = inner.known.entry(key.to_vec()).or_default();
        *known = (*known).max(modify);
    }

    /// The entry that changed `key` last, as far as any client knows now.
    pub(crate) fn known(&self, key: &[u8]) -> u64 {
        self.lock().known.get(key).copied().unwrap_or(0)
    }

    /// Linearizability: a read that began when `floor` was known sees it, or something later.
    pub(crate) fn read(&self, key: &[u8], floor: u64, modify: u64, node: u64) {
        let what = format_args!("reads {} of {modify}", key.escape_ascii());
        self.trace.detail(node, what);
        self.lock().reads += 1;
        self.knows(key, modify);
        if modify < floor {
            self.fail(format!(
                "linearizable read: node {node} answered that {} was last changed by entry \
                 {modify}, but a client knew of entry {floor} before it asked",
                key.escape_ascii()
            ));
        }
    }

    /// The same state behind the same entry.
    pub(crate) fn state(&self, node: u64, index: u64, hash: Hash) {
        let other = *self.lock().states.entry(index).or_insert(hash);
        if other != hash {
            self.fail(format!(
                "state: behind entry {index} node {node} has {:.8}, another has {:.8}",
                hash.to_string(),
                other.to_string()
            ));
        }
    }

    /// Election safety: a term and an id are led by one run of one machine.
    pub(crate) fn leads(&self, term: u64, node: u64, machine: usize, run: u64) {
        let first = match self.lock().leaders.entry((term, node)) {
            Slot::Vacant(slot) => {
                slot.insert((machine, run));
                None
            }
            Slot::Occupied(first) => Some(*first.get()),
        };
        match first {
            None => self.trace.note(format_args!("m{machine}"), format_args!("leads term {term}")),
            Some(first) if first != (machine, run) => self.fail(format!(
                "one leader: node {node} leads term {term} in run {run} of machine {machine}, and \
                 led it in run {} of machine {}",
                first.1, first.0
            )),
            Some(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names what an entry says.
fn body_hash(body: &Body) -> blake3::Hash {
    let (kind, bytes): (u8, &[u8]) = match body {
        Body::Blank => (0, &[]),
        Body::Command(bytes) => (1, bytes),
        Body::Membership(bytes) => (2, bytes),
    };
    blake3::Hasher::new().update(&[kind]).update(bytes).finalize()
}
