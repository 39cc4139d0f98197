//! (b) Puts and (c) calls of a contract over gRPC, against a node in a process of its own.
//!
//! A client is a connection with a session of its own, in a closed loop. Sixteen keys sign for
//! them all. Two ways: one signature a request, or a stream of batches of 64 under one signature.

use crate::{
    Bench,
    load::{self, Client as _, Done, Sample, Window},
    node::Node,
    raw::key,
    say,
    table::{Limit, Row, rate, time},
};
use althing_client::{Client, Pending, SubmitStream};
use althing_protocol::{sys, v1};
use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// Authors that the clients share.
pub(crate) const KEYS: u64 = 16;
/// Instructions under one signature, in streams.
pub(crate) const BATCH: u64 = 64;
/// Batches that a lone stream keeps in flight: as many as a session's window holds.
const DEPTH_ALONE: usize = 16;
const VALUE_BYTES: usize = 256;
/// Keys that each client writes, over and over.
const KEYS_PER_CLIENT: u64 = 400;

/// What is written, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    Puts,
    PutsStreamed,
    Calls,
    CallsStreamed,
    Etcd,
}

/// An instruction of a client.
pub(crate) type Work = fn(client: usize, number: u64) -> v1::Instruction;

/// Key and value of a put; the same for every server.
pub(crate) fn pair(client: usize, number: u64) -> (Vec<u8>, Vec<u8>) {
    let key = format!("/bench/{client:03}/{:03}", number % KEYS_PER_CLIENT);
    let mut value = vec![0x5a; VALUE_BYTES];
    value[..8].copy_from_slice(&number.to_le_bytes());
    (key.into_bytes(), value)
}

pub(crate) fn put(client: usize, number: u64) -> v1::Instruction {
    let (key, value) = pair(client, number);
    sys::put(key, value)
}

pub(crate) fn increment(client: usize, _: u64) -> v1::Instruction {
    let args = format!("{{\"name\":\"client-{client:03}\"}}");
    v1::Instruction::new("counter", "increment", args.into_bytes())
}

pub(crate) fn window(bench: &Bench) -> Window {
    Window {
        warm_up: bench.time(Duration::from_secs(2)),
        measured: bench.time(Duration::from_secs(8)),
    }
}

/// (b)
pub(crate) fn puts(bench: &mut Bench) -> Result<()> {
    say("b: puts over gRPC");
    let (single, streamed) = measure(bench, put, "puts", false)?;
    for (clients, sample) in bench.clients.into_iter().zip(&single) {
        let etcd = bench.loads.get(&(Load::Etcd, clients)).cloned();
        let limit = etcd.as_ref().map(|etcd| {
            let text = format!("1 x etcd, {}", rate(etcd.per_second()));
            Limit::at_least(text, sample.per_second(), etcd.per_second())
        });
        let what = format!("puts, a signature each, {}", people(clients));
        bench.table.add(row(bench, 'b', &what, sample, 1).limit(limit));
        if let Some(etcd) = etcd.filter(|_| Some(&clients) == bench.clients.last()) {
            let (ours, theirs) = (sample.quantile(0.99), etcd.quantile(0.99));
            let text = format!("etcd's, {}", time(theirs));
            let limit = Limit::at_most(text, ours.as_secs_f64(), theirs.as_secs_f64());
            bench.table.add(Row::new('b', "p99 of the line above", time(ours)).limit(limit));
        }
        bench.loads.insert((Load::Puts, clients), sample.clone());
    }
    for (clients, sample) in bench.clients.into_iter().zip(&streamed) {
        let limit = bench.loads.get(&(Load::Etcd, clients)).map(|etcd| {
            let aim = 3.0 * etcd.per_second();
            let text = format!("3 x etcd, {}", rate(aim));
            Limit::at_least(text, sample.per_second(), aim)
        });
        let what = format!("puts, signed by 64, {}", streams(clients));
        bench.table.add(row(bench, 'b', &what, sample, BATCH).limit(limit));
        bench.loads.insert((Load::PutsStreamed, clients), sample.clone());
    }
    Ok(())
}

/// (c)
pub(crate) fn calls(bench: &mut Bench) -> Result<()> {
    say("c: calls of a contract over gRPC");
    let (single, streamed) = measure(bench, increment, "calls", true)?;
    let ways = [
        (Load::Calls, Load::Puts, "a signature each", 1, single),
        (Load::CallsStreamed, Load::PutsStreamed, "signed by 64", BATCH, streamed),
    ];
    for (load, puts, how, per_signature, samples) in ways {
        for (clients, sample) in bench.clients.into_iter().zip(samples) {
            let limit = bench.loads.get(&(puts, clients)).map(|puts| {
                let aim = 0.75 * puts.per_second();
                let text = format!("0.75 of puts, {}", rate(aim));
                Limit::at_least(text, sample.per_second(), aim)
            });
            let who = if per_signature == 1 { people(clients) } else { streams(clients) };
            let what = format!("counter calls, {how}, {who}");
            bench.table.add(row(bench, 'c', &what, &sample, per_signature).limit(limit));
            bench.loads.insert((load, clients), sample);
        }
    }
    Ok(())
}

fn row(bench: &Bench, letter: char, what: &str, sample: &Sample, per_signature: u64) -> Row {
    let crypto = 100.0 * bench.crypto.share(sample, per_signature);
    Row::load(letter, what, sample).goes(format!("crypto {crypto:.0} %, {}", sample.cpu()))
}

pub(crate) fn people(clients: usize) -> String {
    format!("{clients} {}", if clients == 1 { "client" } else { "clients" })
}

pub(crate) fn streams(clients: usize) -> String {
    format!("{clients} {}", if clients == 1 { "stream" } else { "streams" })
}

/// Both ways, for each number of clients.
fn measure(
    bench: &Bench,
    work: Work,
    name: &str,
    calls: bool,
) -> Result<(Vec<Sample>, Vec<Sample>)> {
    bench.runtime.block_on(async {
        let node = Node::start(&bench.althing, &bench.place(name), &[]).await?;
        if calls {
            node.deploy(&bench.guest("counter"))?;
        }
        let pool = Pool::connect(bench, &node, work, vec![node.process.id()]).await?;
        let samples = pool.both(&bench.clients).await?;
        node.process.stop()?;
        Ok(samples)
    })
}

/// Clients of one node, each connected and in a session, and what they do.
pub(crate) struct Pool {
    clients: Vec<Arc<Client>>,
    work: Work,
    window: Window,
    /// The processes that work for them.
    servers: Vec<u32>,
}

impl Pool {
    pub(crate) async fn connect(
        bench: &Bench,
        node: &Node,
        work: Work,
        servers: Vec<u32>,
    ) -> Result<Self> {
        for number in 0..KEYS {
            node.admit(&key(number).public()).await?;
        }
        let mut clients = Vec::new();
        for at in 0..bench.clients.into_iter().max().unwrap_or(1) {
            let client = Arc::new(node.client(Some(key(at as u64 % KEYS))).await?);
            // One after the other: they would contend for the numbers of sessions.
            Single::new(at, &client, work).next().await?;
            clients.push(client);
        }
        Ok(Self { clients, work, window: window(bench), servers })
    }

    /// Both ways, for each number of clients.
    pub(crate) async fn both(&self, clients: &[usize]) -> Result<(Vec<Sample>, Vec<Sample>)> {
        let (mut single, mut streamed) = (Vec::new(), Vec::new());
        for clients in clients {
            single.push(self.single(*clients).await?);
        }
        for clients in clients {
            streamed.push(self.streamed(*clients).await?);
        }
        Ok((single, streamed))
    }

    /// One signature a request.
    pub(crate) async fn single(&self, clients: usize) -> Result<Sample> {
        say(format_args!("   a signature each, {}", people(clients)));
        let chosen = self.clients.iter().take(clients).enumerate();
        let loops = chosen.map(|(at, client)| Single::new(at, client, self.work)).collect();
        load::run(loops, self.window, &self.servers).await
    }

    /// Streams of batches.
    async fn streamed(&self, clients: usize) -> Result<Sample> {
        say(format_args!("   signed by {BATCH}, {}", streams(clients)));
        let depth = if clients == 1 { DEPTH_ALONE } else { 1 };
        let mut loops = Vec::new();
        for (at, client) in self.clients.iter().take(clients).enumerate() {
            loops.push(Streamed::open(at, client, self.work, BATCH, depth).await?);
        }
        load::run(loops, self.window, &self.servers).await
    }
}

/// One signature a request.
struct Single {
    at: usize,
    client: Arc<Client>,
    work: Work,
    number: u64,
}

impl Single {
    fn new(at: usize, client: &Arc<Client>, work: Work) -> Self {
        Self { at, client: Arc::clone(client), work, number: 0 }
    }
}

impl load::Client for Single {
    async fn next(&mut self) -> Result<Done> {
        let instruction = (self.work)(self.at, self.number);
        self.number += 1;
        let begun = Instant::now();
        let outcomes = self.client.submit(vec![instruction]).await?;
        let took = begun.elapsed();
        check(&outcomes, 1)?;
        Ok(Done { count: 1, took })
    }
}

/// A stream of signed batches, some in flight.
struct Streamed {
    at: usize,
    stream: SubmitStream,
    work: Work,
    batch: u64,
    depth: usize,
    number: u64,
    in_flight: VecDeque<(Instant, Pending)>,
}

impl Streamed {
    async fn open(
        at: usize,
        client: &Client,
        work: Work,
        batch: u64,
        depth: usize,
    ) -> Result<Self> {
        let stream = client.submit_stream().await?;
        Ok(Self { at, stream, work, batch, depth, number: 0, in_flight: VecDeque::new() })
    }

    async fn fill(&mut self) -> Result<()> {
        while self.in_flight.len() < self.depth {
            let numbers = self.number..self.number + self.batch;
            let batch = numbers.map(|number| (self.work)(self.at, number)).collect();
            self.number += self.batch;
            let begun = Instant::now();
            let pending = self.stream.send(batch).await?;
            self.in_flight.push_back((begun, pending));
        }
        Ok(())
    }
}

impl load::Client for Streamed {
    async fn next(&mut self) -> Result<Done> {
        self.fill().await?;
        let (begun, pending) = self.in_flight.pop_front().context("nothing is in flight")?;
        let outcomes = pending.await?;
        let took = begun.elapsed();
        check(&outcomes, self.batch)?;
        Ok(Done { count: self.batch, took })
    }
}

/// Puts `count` entries of one instruction each, `depth` in flight.
pub(crate) async fn put_entries(at: usize, client: Client, count: u64, depth: usize) -> Result<()> {
    let stream = client.submit_stream().await?;
    let mut in_flight = VecDeque::with_capacity(depth);
    for number in 0..count {
        if in_flight.len() == depth {
            let first: Pending = in_flight.pop_front().context("nothing is in flight")?;
            check(&first.await?, 1)?;
        }
        in_flight.push_back(stream.send(vec![put(at, number)]).await?);
    }
    for pending in in_flight {
        check(&pending.await?, 1)?;
    }
    stream.finish().await;
    Ok(())
}

/// A refused write is no write.
pub(crate) fn check(outcomes: &[v1::Outcome], count: u64) -> Result<()> {
    ensure!(outcomes.len() as u64 == count, "{} outcomes for {count}", outcomes.len());
    for outcome in outcomes {
        match &outcome.result {
            Some(v1::outcome::Result::Output(_)) => {}
            Some(v1::outcome::Result::Failure(failure)) => bail!("refused: {}", failure.message),
            None => bail!("an outcome without a result"),
        }
    }
    Ok(())
}
