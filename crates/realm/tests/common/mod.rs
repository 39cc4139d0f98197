//! A realm in a temporary directory, with a founder to act.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use althing_operations::{Authority, Caller, Context, Freshness, Need, Registry};
use althing_protocol::{Batch, Error, PublicKey, Result, SecretKey, sign, sys, v1};
use althing_realm::{Founding, Options, Realm};
use futures::future::BoxFuture;
use prost::Message;
use serde_json::Value;
use std::sync::Arc;
use tempfile::TempDir;

pub struct World {
    pub dir: TempDir,
    pub founder: SecretKey,
    pub realm: Arc<Realm>,
}

pub fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

pub fn options(dir: &TempDir) -> Options {
    // Tests run on disks of any size.
    Options { disk_low_water_bytes: 0, ..Options::new(dir.path().join("realm")) }
}

pub fn founding(founder: &SecretKey) -> Founding {
    Founding {
        name: "test".into(),
        founder: founder.public(),
        node: key(200).public(),
        grants: Vec::new(),
    }
}

impl World {
    pub async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let founder = key(1);
        Realm::create(&options(&dir), founding(&founder)).unwrap();
        let realm = Realm::open(options(&dir)).await.unwrap();
        Self { dir, founder, realm }
    }

    pub async fn reopen(self) -> Self {
        let Self { dir, founder, realm } = self;
        realm.shutdown().await.unwrap();
        drop(realm);
        let realm = Realm::open(options(&dir)).await.unwrap();
        Self { dir, founder, realm }
    }

    /// Runs as `key`, through a session that the realm keeps.
    pub async fn run_as(&self, key: &SecretKey, instruction: v1::Instruction) -> v1::Outcome {
        let mut outcomes = self.realm.submit_as(key, vec![instruction]).await.unwrap();
        outcomes.pop().unwrap()
    }

    pub async fn run(&self, instruction: v1::Instruction) -> v1::Outcome {
        self.run_as(&self.founder, instruction).await
    }

    /// Opens a session by hand.
    pub async fn session(&self, key: &SecretKey, number: u64) -> u64 {
        let open = self.envelope(key, 0, number, vec![althing_protocol::sys::session_open("test")]);
        let outcomes = self.realm.submit(open).await.unwrap();
        v1::SessionOpened::decode(output(&outcomes[0]).as_slice()).unwrap().session
    }

    pub fn envelope(
        &self,
        key: &SecretKey,
        session: u64,
        sequence: u64,
        instructions: Vec<v1::Instruction>,
    ) -> v1::Envelope {
        let author: PublicKey = key.public();
        sign(key, Batch { realm: self.realm.id(), author, session, sequence, instructions })
    }
}

/// The founder, at an operation.
struct Founder(Arc<Realm>, SecretKey);

impl Authority for Founder {
    fn allow(&self, caller: &Caller, need: &Need) -> Result<()> {
        self.0.allow(&caller.key, need)
    }

    fn submit<'a>(
        &'a self,
        _: &'a Caller,
        instructions: Vec<v1::Instruction>,
    ) -> BoxFuture<'a, Result<Vec<v1::Outcome>>> {
        Box::pin(self.0.submit_as(&self.1, instructions))
    }
}

impl World {
    /// A world whose realm was opened with `change`d options.
    pub async fn with(change: impl Fn(Options) -> Options) -> Self {
        let Self { dir, founder, realm } = Self::new().await;
        realm.shutdown().await.unwrap();
        drop(realm);
        let realm = Realm::open(change(options(&dir))).await.unwrap();
        Self { dir, founder, realm }
    }

    /// Runs an operation as the founder.
    pub async fn call(&self, name: &str, input: Value) -> Result<Value> {
        let registry = Registry::new(self.realm.operations()).unwrap();
        let caller = Caller { key: self.founder.public(), name: "founder".into() };
        let authority = Arc::new(Founder(Arc::clone(&self.realm), self.founder.clone()));
        let context = Context { caller, read: Freshness::Local, authority };
        registry.dispatch(context, name, input).await
    }

    /// Uploads, stages and activates `component` as `program`, with all the fuel there is.
    pub async fn deploy(&self, program: &str, component: &[u8]) {
        let image = self.realm.blobs().put(component).unwrap().0.to_vec();
        let program = program.to_owned();
        let fuel_max = althing_protocol::limits::FUEL_MAX;
        let manifest = Some(v1::Manifest { fuel_max, ..v1::Manifest::default() });
        let stage =
            v1::Stage { program: program.clone(), image: image.clone(), manifest, signature: None };
        output(&self.run(sys::stage(&stage)).await);
        output(&self.run(sys::activate(&v1::Activate { program, image })).await);
    }
}

/// A contract whose `apply` does `apply`, and whose `query` does `query`; they return `$done`.
pub fn contract(apply: &str, query: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
  (core module $module
    (memory (export "memory") 1)
    (global $done i32 (i32.const 16))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "apply") (param i32 i32 i32 i32) (result i32) {apply})
    (func (export "query") (param i32 i32 i32 i32) (result i32) {query}))
  (core instance $guest (instantiate $module))
  (type $method (func (param "method" string) (param "args" (list u8))
    (result (result (list u8) (error string)))))
  (alias core export $guest "memory" (core memory $memory))
  (alias core export $guest "realloc" (core func $realloc))
  (alias core export $guest "apply" (core func $apply))
  (alias core export $guest "query" (core func $query))
  (func (export "apply") (type $method)
    (canon lift (core func $apply) (memory $memory) (realloc $realloc)))
  (func (export "query") (type $method)
    (canon lift (core func $query) (memory $memory) (realloc $realloc))))"#
    );
    wat::parse_str(text).unwrap()
}

/// What returns at once, and what never does.
pub const DONE: &str = "(global.get $done)";
pub const FOREVER: &str = "(loop $again (br $again)) (unreachable)";

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
