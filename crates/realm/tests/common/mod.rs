//! A realm in a temporary directory, with a founder to act.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use althing_protocol::{Batch, Error, PublicKey, SecretKey, sign, v1};
use althing_realm::{Founding, Options, Realm};
use prost::Message;
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

impl World {
    pub async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let founder = key(1);
        let founding =
            Founding { name: "test".into(), founder: founder.public(), grants: Vec::new() };
        Realm::create(&options(&dir), founding).unwrap();
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
