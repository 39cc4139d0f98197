//! Nodes in one process, over a network in memory whose links can be cut.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use crate::toy::{Toy, command, config};
use althing_log::simulated::Disk;
use althing_log::{Begin, Log, LogConfig, Refusal, SnapshotFile, Transport};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt};
use openraft_rt_tokio::TokioRuntime;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

pub type Node = Log<Toy, TokioRuntime>;

/// How a link is, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    #[default]
    Up,
    /// What is sent waits until the link is up again.
    Silent,
    /// What is sent fails.
    Refused,
}

/// What is counted on the way to a node.
#[derive(Debug, Default)]
pub struct Counts {
    pub calls: AtomicUsize,
    pub exchanges: AtomicUsize,
    pub snapshots: AtomicUsize,
    /// Frames without an answer, and the most there were.
    pub open: AtomicUsize,
    pub open_max: AtomicUsize,
}

#[derive(Default)]
struct Shared {
    nodes: Mutex<BTreeMap<u64, Node>>,
    counts: Mutex<BTreeMap<u64, Arc<Counts>>>,
    links: watch::Sender<BTreeMap<(u64, u64), Link>>,
    latency: Mutex<Duration>,
}

/// The network, as one node sees it.
#[derive(Clone)]
pub struct Net {
    from: u64,
    shared: Arc<Shared>,
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, "refused by the test")
}

impl Net {
    /// Waits while the link is silent, then for as long as the way takes.
    async fn pass(&self, from: u64, to: u64) -> io::Result<()> {
        let mut links = self.shared.links.subscribe();
        let link = |links: &BTreeMap<_, _>| links.get(&(from, to)).copied().unwrap_or_default();
        let now = *links
            .wait_for(|links| link(links) != Link::Silent)
            .await
            .map(|l| link(&l))
            .as_ref()
            .unwrap();
        let latency = *self.shared.latency.lock().unwrap();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if now == Link::Up { Ok(()) } else { Err(refused()) }
    }

    fn node(&self, to: u64) -> io::Result<Node> {
        self.shared.nodes.lock().unwrap().get(&to).cloned().ok_or_else(refused)
    }

    fn counts(&self, to: u64) -> Arc<Counts> {
        self.shared.counts.lock().unwrap().entry(to).or_default().clone()
    }

    /// What comes out at the other end: in order, as much as is on its way at once.
    fn carry<V: Send + 'static>(
        &self,
        from: u64,
        to: u64,
        items: BoxStream<'static, V>,
    ) -> BoxStream<'static, io::Result<V>> {
        let net = self.clone();
        let items = items.map(move |item| {
            let net = net.clone();
            async move { net.pass(from, to).await.map(|()| item) }
        });
        items.buffered(1_024).boxed()
    }
}

impl Transport for Net {
    async fn call(&self, to: u64, message: Bytes, deadline: Duration) -> io::Result<Bytes> {
        self.counts(to).calls.fetch_add(1, Ordering::Relaxed);
        let calling = async {
            self.pass(self.from, to).await?;
            let answer = self.node(to)?.handle_call(self.from, message).await;
            let answer = answer.map_err(|error| io::Error::other(error.to_string()))?;
            self.pass(to, self.from).await?;
            Ok(answer)
        };
        tokio::time::timeout(deadline, calling).await.map_err(|_| refused())?
    }

    async fn exchange(
        &self,
        to: u64,
        frames: BoxStream<'static, Bytes>,
    ) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let counts = self.counts(to);
        counts.exchanges.fetch_add(1, Ordering::Relaxed);
        self.pass(self.from, to).await?;
        let node = self.node(to)?;
        let sending = counts.clone();
        let frames = frames.inspect(move |_| {
            let open = sending.open.fetch_add(1, Ordering::Relaxed) + 1;
            sending.open_max.fetch_max(open, Ordering::Relaxed);
        });
        let frames = self.carry(self.from, to, frames.boxed());
        let frames = frames.take_while(|frame| futures::future::ready(frame.is_ok()));
        let frames = frames.filter_map(|frame| futures::future::ready(frame.ok()));
        let answers = self.carry(to, self.from, node.handle_exchange(self.from, frames.boxed()));
        let answers = answers.inspect(move |_| {
            counts.open.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(answers.boxed())
    }

    async fn snapshot(&self, to: u64, offer: Bytes, file: SnapshotFile) -> io::Result<Bytes> {
        self.counts(to).snapshots.fetch_add(1, Ordering::Relaxed);
        self.pass(self.from, to).await?;
        let node = self.node(to)?;
        assert_eq!(node.offered(self.from, offer.clone()).unwrap(), file.position);
        let answer = node.handle_snapshot(self.from, offer, file).await;
        answer.map_err(|error| io::Error::other(error.to_string()))
    }
}

/// A machine: what outlives its runs.
pub struct Machine {
    pub disk: Disk,
    pub toy: Arc<Toy>,
}

/// Nodes that were started, by raft id.
#[derive(Default)]
pub struct Cluster {
    shared: Arc<Shared>,
    pub machines: BTreeMap<u64, Machine>,
}

impl Cluster {
    /// Node 1 has founded the realm, and the others up to `voters` vote, too.
    pub async fn of(voters: u64) -> Self {
        let mut cluster = Self::default();
        cluster.start(1, Begin::Found).await;
        for id in 2..=voters {
            cluster.start(id, Begin::Join).await;
        }
        if voters > 1 {
            cluster.node(1).change_members((1..=voters).collect(), BTreeSet::new()).await.unwrap();
        }
        cluster
    }

    /// Starts a machine, with what it holds.
    pub async fn start(&mut self, id: u64, begin: Begin) -> Node {
        let machine = self
            .machines
            .entry(id)
            .or_insert_with(|| Machine { disk: Disk::default(), toy: Toy::new() });
        let config = LogConfig { node: id, ..config(Path::new("unused")) };
        let net = Net { from: id, shared: self.shared.clone() };
        let storage = machine.disk.open(None);
        let log: Node =
            Log::start_on(config, machine.toy.clone(), net, storage, begin).await.unwrap();
        self.shared.nodes.lock().unwrap().insert(id, log.clone());
        log
    }

    /// Takes in a node that was started elsewhere.
    pub fn adopt(&mut self, id: u64, toy: Arc<Toy>, log: Node) {
        self.machines.insert(id, Machine { disk: Disk::default(), toy });
        self.shared.nodes.lock().unwrap().insert(id, log);
    }

    /// Takes the power from a machine. What it had not flushed is lost, but for a first part.
    pub async fn crash(&mut self, id: u64, seed: u64) {
        let log = self.shared.nodes.lock().unwrap().remove(&id).unwrap();
        let machine = self.machines.get_mut(&id).unwrap();
        machine.disk.crash(seed);
        machine.toy = machine.toy.crashed();
        log.shutdown().await.unwrap_err();
    }

    pub fn node(&self, id: u64) -> Node {
        self.shared.nodes.lock().unwrap()[&id].clone()
    }

    pub fn toy(&self, id: u64) -> Arc<Toy> {
        self.machines[&id].toy.clone()
    }

    pub fn running(&self) -> Vec<u64> {
        self.shared.nodes.lock().unwrap().keys().copied().collect()
    }

    pub fn counts(&self, to: u64) -> Arc<Counts> {
        self.net(0).counts(to)
    }

    pub fn net(&self, from: u64) -> Net {
        Net { from, shared: self.shared.clone() }
    }

    /// Every way takes this long.
    pub fn latency(&self, latency: Duration) {
        *self.shared.latency.lock().unwrap() = latency;
    }

    /// Sets the links between a node and all others, both ways.
    pub fn isolate(&self, id: u64, link: Link) {
        self.shared.links.send_modify(|links| {
            for other in self.machines.keys() {
                links.insert((id, *other), link);
                links.insert((*other, id), link);
            }
        });
    }

    /// Sets the link from one node to another, one way.
    pub fn cut(&self, from: u64, to: u64, link: Link) {
        self.shared.links.send_modify(|links| {
            links.insert((from, to), link);
        });
    }

    /// The one node among `ids` that leads, when the others agree.
    pub async fn leader_of(&self, ids: &[u64]) -> u64 {
        let nodes: Vec<_> = ids.iter().map(|id| self.node(*id)).collect();
        let agreed = || {
            let standings: Vec<_> = nodes.iter().map(Node::standing).collect();
            let leader = standings[0].leader.filter(|leader| ids.contains(leader))?;
            let same =
                standings.iter().all(|s| s.leader == Some(leader) && s.term == standings[0].term);
            (same && self.node(leader).standing().leads).then_some(leader)
        };
        eventually("a leader", agreed).await
    }

    pub async fn leader(&self) -> u64 {
        self.leader_of(&self.running()).await
    }

    /// Waits until all running nodes have applied the same, and gives it.
    pub async fn agreed(&self) -> Vec<Bytes> {
        let leader = self.node(self.leader().await);
        let index = leader.read_index().await.unwrap();
        let toys: Vec<_> = self.running().into_iter().map(|id| self.toy(id)).collect();
        let agreed =
            || toys.iter().all(|toy| toy.now().position.index >= index).then(|| toys[0].commands());
        let first = eventually("all have applied", agreed).await;
        for toy in &toys {
            assert_eq!(toy.commands(), first);
        }
        first
    }
}

/// Looks again and again, while nothing else is to do, for a minute of the paused clock.
pub async fn eventually<V>(what: &str, mut look: impl FnMut() -> Option<V>) -> V {
    for _ in 0..12_000 {
        if let Some(value) = look() {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not within a minute: {what}");
}

/// Proposes commands one after the other, until they are refused; gives those acknowledged.
pub async fn propose_until_refused(node: Node, first: usize, step: usize) -> Vec<usize> {
    let mut done = Vec::new();
    for i in (first..).step_by(step) {
        match node.propose(command(i)).await {
            Ok(_) => done.push(i),
            Err(Refusal::Elsewhere { .. } | Refusal::Failed(_)) => break,
        }
    }
    done
}

/// Proposes commands, all at once.
pub async fn propose(node: &Node, range: std::ops::Range<usize>) {
    let results =
        node.propose_all(range.map(command).collect()).err_into::<althing_protocol::Error>();
    for result in results.await.unwrap() {
        result.unwrap();
    }
}

/// A stream of frames for handlers.
pub fn frames(
    frames: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>,
) -> BoxStream<'static, Bytes> {
    stream::iter(frames).boxed()
}
