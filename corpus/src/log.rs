//! Logs: entries with all that a realm would have put into them.

use althing_protocol::{
    Batch, FORMAT, Hash, PublicKey, RealmId, SEMANTICS, SecretKey, realm_id, sign, sys, v1,
};
use prost::Message;
use std::collections::BTreeMap;

/// When the first entry of a log is proposed: microseconds since the epoch, in 2023.
const START_US: u64 = 1_700_000_000_000_000;
/// What passes between two entries, in microseconds.
const STEP_US: u64 = 1_000;

/// A log, and the components that its programs run.
#[derive(Clone, Debug)]
pub struct Log {
    /// The encoded genesis of its realm.
    pub genesis: Vec<u8>,
    /// Components, by the hash that entries name them with.
    pub images: BTreeMap<Hash, Vec<u8>>,
    /// The entries, the first at index 1, and what is asked between them.
    pub steps: Vec<Step>,
}

/// A step of a log.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "fields are those of `Machine::query`")]
pub enum Step {
    /// The next entry.
    Entry(v1::Entry),
    /// A question about the state after the last entry. It is not in the log, and answered by every
    /// node alike.
    Query { caller: PublicKey, program: String, method: String, args: Vec<u8> },
    /// The state of an actor after the last entry, which is not in the log either.
    Actor(String),
}

/// The key of `name`: the same in every log.
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(&blake3::derive_key("althing corpus key", name.as_bytes()))
}

/// Makes a log: gives entries their times and seeds, instructions their numbers, authors their
/// sessions.
#[derive(Debug, Default)]
pub struct LogBuilder {
    name: String,
    genesis: Vec<u8>,
    realm: RealmId,
    images: BTreeMap<Hash, Vec<u8>>,
    steps: Vec<Step>,
    index: u64,
    now_us: u64,
    /// Session and next sequence number, by author and label.
    sessions: BTreeMap<(String, String), (u64, u64)>,
    /// Next sequence number in session 0, by author.
    openings: BTreeMap<String, u64>,
}

impl LogBuilder {
    /// A log that begins with the genesis of a realm named `name`, founded by the key `founder` on
    /// the node with the key `node`.
    pub fn new(name: &str) -> Self {
        let genesis = v1::Genesis {
            format: FORMAT,
            name: name.into(),
            founder: key("founder").public().0.to_vec(),
            created_us: START_US,
            nonce: vec![0; 16],
            semantics: SEMANTICS,
            node: key("node").public().0.to_vec(),
            grants: Vec::new(),
        }
        .encode_to_vec();
        let (name, realm) = (name.to_owned(), realm_id(&genesis));
        Self { name, realm, genesis, now_us: START_US, ..Self::default() }
    }

    /// The realm.
    pub(crate) fn realm(&self) -> RealmId {
        self.realm
    }

    /// Adds a component, named by `hash` in instructions.
    pub fn image(&mut self, hash: Hash, component: Vec<u8>) {
        self.images.insert(hash, component);
    }

    /// The next entry is proposed at `at_us`.
    pub fn set_time(&mut self, at_us: u64) {
        self.now_us = at_us;
    }

    /// The number of the author's session `label`; opens it, with an entry of its own.
    pub fn session(&mut self, author: &str, label: &str) -> u64 {
        let named = (author.to_owned(), label.to_owned());
        if let Some((session, _)) = self.sessions.get(&named) {
            return *session;
        }
        let next = self.openings.entry(author.into()).or_insert(1);
        let sequence = *next;
        *next += 1;
        let envelope = self.sign(author, 0, sequence, vec![sys::session_open(label)]);
        self.submit(envelope);
        // A session has the number of its entry, and of the place in it in the lowest byte.
        let session = self.index << 8;
        self.sessions.insert(named, (session, 1));
        session
    }

    /// Signs instructions in the author's session `label`, with its next numbers, or from
    /// `sequence` on.
    pub fn envelope(
        &mut self,
        author: &str,
        label: &str,
        sequence: Option<u64>,
        instructions: Vec<v1::Instruction>,
    ) -> v1::Envelope {
        let session = self.session(author, label);
        let count = instructions.len() as u64;
        let named = (author.to_owned(), label.to_owned());
        let next = &mut self.sessions.entry(named).or_insert((session, 1)).1;
        let first = sequence.unwrap_or(*next);
        if sequence.is_none() {
            *next += count;
        }
        self.sign(author, session, first, instructions)
    }

    fn sign(
        &self,
        author: &str,
        session: u64,
        sequence: u64,
        instructions: Vec<v1::Instruction>,
    ) -> v1::Envelope {
        let key = key(author);
        let (realm, author) = (self.realm, key.public());
        sign(&key, Batch { realm, author, session, sequence, instructions })
    }

    /// The next entry holds `envelope`.
    pub fn submit(&mut self, envelope: v1::Envelope) {
        self.entry(v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope) }));
    }

    /// The next entry is a tick.
    pub fn tick(&mut self) {
        self.entry(v1::entry::Kind::Tick(v1::Tick {}));
    }

    /// Adds a step as it is.
    pub fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// The log.
    pub fn finish(self) -> Log {
        Log { genesis: self.genesis, images: self.images, steps: self.steps }
    }

    fn entry(&mut self, kind: v1::entry::Kind) {
        self.index += 1;
        let seed = blake3::Hasher::new_derive_key("althing corpus seed")
            .update(self.name.as_bytes())
            .update(&self.index.to_le_bytes())
            .finalize();
        let seed = seed.as_bytes()[..16].to_vec();
        self.push(Step::Entry(v1::Entry { timestamp_us: self.now_us, seed, kind: Some(kind) }));
        self.now_us = self.now_us.saturating_add(STEP_US);
    }
}
