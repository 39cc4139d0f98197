//! A machine over a state in memory, driven entry by entry.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use althing_machine::{Admission, Applied, EntryAt, Halt, Images, Machine, genesis_writes};
use althing_protocol::{
    Batch, Error, FORMAT, Hash, RealmId, Result, SEMANTICS, SecretKey, realm_id, sign, sys, v1,
};
use althing_sandbox::{Engine, EngineOptions, Image, LoadError};
use althing_state::{InMemoryBackend, Options, Store, Tip, View};
use prost::Message;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Images by hash, compiled on demand.
pub struct TestImages {
    engine: Engine,
    compiled: Mutex<BTreeMap<Hash, Arc<Image>>>,
    bytes: Mutex<BTreeMap<Hash, Vec<u8>>>,
}

impl Images for TestImages {
    fn image(&self, hash: &Hash) -> Result<Result<Arc<Image>>, Halt> {
        if let Some(image) = self.compiled.lock().unwrap().get(hash) {
            return Ok(Ok(Arc::clone(image)));
        }
        let bytes = self.bytes.lock().unwrap().get(hash).cloned();
        let bytes = bytes.ok_or_else(|| Halt::new("image is missing"))?;
        match self.engine.load(hash, &bytes) {
            Ok(image) => {
                let image = Arc::new(image);
                self.compiled.lock().unwrap().insert(*hash, Arc::clone(&image));
                Ok(Ok(image))
            }
            Err(LoadError::Refused(error)) => Ok(Err(error)),
            Err(LoadError::Halt(halt)) => Err(halt.into()),
        }
    }
}

pub struct World {
    pub machine: Machine,
    pub images: Arc<TestImages>,
    pub realm: RealmId,
    pub store: Store,
    pub tip: Tip,
    pub index: u64,
    pub now_us: u64,
}

pub fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

pub fn founder() -> SecretKey {
    key(1)
}

/// The node that is member 1.
pub fn first_node() -> SecretKey {
    key(200)
}

impl World {
    pub fn new() -> Self {
        let genesis = v1::Genesis {
            format: FORMAT,
            name: "test".into(),
            founder: founder().public().0.to_vec(),
            created_us: 1,
            nonce: vec![0; 16],
            semantics: SEMANTICS,
            node: first_node().public().0.to_vec(),
            grants: Vec::new(),
        }
        .encode_to_vec();
        let writes = genesis_writes(&genesis).unwrap();
        let options = Options::default();
        let store =
            Store::create_with_backend(InMemoryBackend::new(), &genesis, writes, &options).unwrap();
        let engine = Engine::new(&EngineOptions { pooling: false, ..Default::default() }).unwrap();
        let images =
            Arc::new(TestImages { engine, compiled: Mutex::default(), bytes: Mutex::default() });
        let realm = realm_id(&genesis);
        let machine = Machine::new(realm, Arc::clone(&images) as _, Vec::new());
        let tip = store.tip();
        Self { machine, images, realm, store, tip, index: 0, now_us: 1_000_000 }
    }

    pub fn view(&self) -> View {
        self.tip.view()
    }

    pub fn upload(&self, component: &[u8]) -> Hash {
        let hash = Hash::of(component);
        self.images.bytes.lock().unwrap().insert(hash, component.to_vec());
        hash
    }

    pub fn envelope(
        &self,
        key: &SecretKey,
        session: u64,
        sequence: u64,
        instructions: Vec<v1::Instruction>,
    ) -> v1::Envelope {
        let (realm, author) = (self.realm, key.public());
        sign(key, Batch { realm, author, session, sequence, instructions })
    }

    /// What the door says.
    pub fn admit(&self, envelope: &v1::Envelope) -> Result<Admission> {
        let batch = Batch::decode(envelope).unwrap();
        self.machine.admit(&self.view(), &batch, self.now_us).unwrap()
    }

    /// Applies an entry as the realm does, whatever the door would say.
    pub fn apply(&mut self, envelope: &v1::Envelope) -> Vec<v1::Outcome> {
        self.apply_all(envelope).result.outcomes
    }

    pub fn apply_all(&mut self, envelope: &v1::Envelope) -> Applied {
        self.now_us += 1;
        let envelope = Some(envelope.clone());
        self.entry(v1::entry::Kind::Signed(v1::Signed { envelope }))
    }

    /// Applies a tick of now.
    pub fn tick(&mut self) -> Applied {
        self.entry(v1::entry::Kind::Tick(v1::Tick {}))
    }

    fn entry(&mut self, kind: v1::entry::Kind) -> Applied {
        self.index += 1;
        let entry = v1::Entry {
            timestamp_us: self.now_us,
            seed: vec![self.index as u8; 16],
            kind: Some(kind),
        };
        let at = EntryAt { index: self.index, entry: &entry, is_verified: false };
        let applied = self.machine.apply(self.tip.view(), at).unwrap();
        self.tip.merge(applied.writes.clone());
        self.tip.record(self.index, applied.result.encode_to_vec());
        let position = self.tip.applied().clone();
        self.tip.set_applied(althing_state::Applied {
            index: self.index,
            timestamp_us: applied.timestamp_us,
            ..position
        });
        applied
    }

    /// Opens a session of `key`, with its next number.
    pub fn open(&mut self, key: &SecretKey) -> u64 {
        let (next, _) = self.machine.session_list(&self.view(), &key.public()).unwrap();
        let envelope = self.envelope(key, 0, next, vec![sys::session_open("test")]);
        let outcomes = self.apply(&envelope);
        v1::SessionOpened::decode(output(&outcomes[0]).as_slice()).unwrap().session
    }

    /// Runs one instruction in a session of its own.
    pub fn run(&mut self, key: &SecretKey, instruction: v1::Instruction) -> v1::Outcome {
        let session = self.open(key);
        let envelope = self.envelope(key, session, 1, vec![instruction]);
        self.apply(&envelope).remove(0)
    }

    /// As the founder: grants `subject` something.
    pub fn grant(&mut self, grant: v1::Grant) -> u64 {
        let outcome = self.run(&founder(), sys::grant(&grant));
        v1::GrantId::decode(output(&outcome).as_slice()).unwrap().id
    }

    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        let stored = self.machine.kv_get(&self.view(), key.as_bytes()).unwrap()?;
        Some(althing_machine::sys::decode_pair(&stored).unwrap().value.to_vec())
    }
}

pub fn grant(subject: &SecretKey, program: &str, method: &str, prefix: &str) -> v1::Grant {
    v1::Grant {
        subject: format!("key:{}", subject.public()),
        program: program.into(),
        method: method.into(),
        prefix: prefix.into(),
        ..v1::Grant::default()
    }
}

pub fn output(outcome: &v1::Outcome) -> Vec<u8> {
    match outcome.result.as_ref().unwrap() {
        v1::outcome::Result::Output(output) => output.clone(),
        v1::outcome::Result::Failure(failure) => panic!("failed: {}", failure.message),
    }
}

pub fn failure(outcome: &v1::Outcome) -> Error {
    match outcome.result.as_ref().unwrap() {
        v1::outcome::Result::Output(output) => panic!("succeeded with {} bytes", output.len()),
        v1::outcome::Result::Failure(failure) => failure.into(),
    }
}
