//! Nodes whose handler does a different thing for each kind of message.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub(crate) mod proxy;
pub(crate) mod raw;

use althing_peers::{Handler, Kind, Peer, Peers, PeersConfig, Pipe, Standing};
use althing_protocol::{Error, PublicKey, RealmId, SecretKey};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

pub(crate) const REALM: RealmId = RealmId([9; 32]);
/// Long enough for everything that is to succeed.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Gives back what it gets; as a pipe too.
pub(crate) const ECHO: Kind = Kind(1);
/// Fails.
pub(crate) const FAIL: Kind = Kind(2);
/// Answers when [`Does::gate`] lets it; a pipe reads one frame for each that is let through.
pub(crate) const GATED: Kind = Kind(3);
pub(crate) const PANIC: Kind = Kind(4);
/// The one kind that strangers may send.
pub(crate) const JOIN: Kind = Kind(5);

#[derive(Default)]
pub(crate) struct Does {
    members: Mutex<HashSet<PublicKey>>,
    removed: Mutex<HashSet<PublicKey>>,
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) running_most: Arc<AtomicUsize>,
    pub(crate) gate: Arc<Gate>,
}

pub(crate) struct Gate(pub(crate) Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

/// Counts itself while it lives.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Does {
    pub(crate) fn add(&self, key: PublicKey) {
        self.members.lock().unwrap().insert(key);
    }

    pub(crate) fn remove(&self, key: PublicKey) {
        self.members.lock().unwrap().remove(&key);
        self.removed.lock().unwrap().insert(key);
    }

    fn run(&self) -> Running {
        let running = self.running.fetch_add(1, SeqCst) + 1;
        self.running_most.fetch_max(running, SeqCst);
        Running(self.running.clone())
    }
}

impl Handler for Does {
    fn standing(&self, key: &PublicKey) -> Result<Standing, Error> {
        if self.removed.lock().unwrap().contains(key) {
            return Err(Error::denied(format!("node {key}: was removed; join with a new key")));
        }
        let member = self.members.lock().unwrap().contains(key);
        Ok(if member { Standing::Member } else { Standing::Stranger })
    }

    fn admits(&self, from: &PublicKey, _: &RealmId, kind: Kind) -> Result<(), Error> {
        match self.standing(from)? {
            Standing::Stranger if kind != JOIN => {
                Err(Error::denied(format!("node {from}: is no member; join first")))
            }
            _ => Ok(()),
        }
    }

    fn call(
        &self,
        _: PublicKey,
        _: RealmId,
        kind: Kind,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Error>> {
        let (running, gate) = (self.run(), self.gate.clone());
        Box::pin(async move {
            let _running = running;
            match kind {
                ECHO | JOIN => Ok(body),
                FAIL => Err(Error::conflict("thing: reason; remedy").retry_after_ms(7)),
                PANIC => panic!("as asked"),
                _ => {
                    gate.0.acquire().await.unwrap().forget();
                    Ok(body)
                }
            }
        })
    }

    fn pipe(&self, _: PublicKey, _: RealmId, kind: Kind, mut pipe: Pipe) -> BoxFuture<'static, ()> {
        let (running, gate) = (self.run(), self.gate.clone());
        Box::pin(async move {
            let _running = running;
            match kind {
                ECHO => {
                    while let Some(Ok(frame)) = pipe.recv().await {
                        pipe.send(frame).await.unwrap();
                    }
                    let _ = pipe.finish().await;
                }
                FAIL => drop(pipe.fail(&Error::conflict("thing: reason; remedy")).await),
                PANIC => panic!("as asked"),
                _ => loop {
                    gate.0.acquire().await.unwrap().forget();
                    match pipe.recv().await {
                        Some(Ok(frame)) => pipe.send(frame).await.unwrap(),
                        _ => break,
                    }
                },
            }
        })
    }
}

pub(crate) struct Node {
    pub(crate) key: SecretKey,
    pub(crate) does: Arc<Does>,
    pub(crate) peers: Peers,
}

impl Node {
    /// A node with a key of `seed`, on a port of its own.
    pub(crate) async fn start(seed: u8) -> Self {
        Self::start_on(seed, Some("127.0.0.1:0".parse().unwrap())).await
    }

    pub(crate) async fn start_on(seed: u8, listen: Option<std::net::SocketAddr>) -> Self {
        let key = SecretKey::from_seed(&[seed; 32]);
        let does = Arc::new(Does::default());
        let peers = Peers::start(PeersConfig { listen }, &key, does.clone()).await.unwrap();
        Self { key, does, peers }
    }

    /// Two that know each other.
    pub(crate) async fn pair() -> (Self, Self) {
        let (one, other) = (Self::start(1).await, Self::start(2).await);
        one.knows(&other);
        other.knows(&one);
        (one, other)
    }

    pub(crate) fn knows(&self, other: &Self) {
        self.does.add(other.key.public());
    }

    pub(crate) fn peer(&self) -> Peer {
        self.at(self.peers.local_addr().unwrap().to_string())
    }

    /// Its key, at another address.
    pub(crate) fn at(&self, address: impl ToString) -> Peer {
        Peer { key: self.key.public(), address: address.to_string() }
    }

    pub(crate) async fn ask(
        &self,
        to: &Peer,
        kind: Kind,
        deadline: Duration,
    ) -> Result<Bytes, Error> {
        self.peers.call(to, &REALM, kind, Bytes::from_static(b"hello"), deadline).await
    }

    /// Asks `to` for an echo, and gets it.
    pub(crate) async fn echo(&self, to: &Peer) {
        assert_eq!(self.ask(to, ECHO, SOON).await.unwrap(), "hello");
    }

    pub(crate) fn connections(&self) -> Vec<(PublicKey, u64)> {
        let stats = self.peers.stats().into_iter().filter(|peer| peer.connected);
        stats.map(|peer| (peer.key, peer.connections)).collect()
    }
}

/// Waits until `holds`; fails when it does not within [`SOON`].
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, poll).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// The error names all of `words`.
pub(crate) fn check_error<T: std::fmt::Debug>(result: Result<T, Error>, words: &[&str]) {
    let error = result.expect_err("an error").to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}
