//! (j) Three nodes on loopback, each with its own log on the same disk: writes to the one that leads
//! and to one that does not, local reads, a leader that is killed, a node that was away.
//!
//! Beside them, under the same clients: etcd with three members, which flushes before it acknowledges
//! as these do, and NATS JetStream, which does not. All servers of a line and its clients share the
//! processors of one machine, so each line also says what one processor would serve alone.

mod catch_up;
mod failover;
mod members;
mod nats;
mod reads;

use crate::{
    Bench,
    etcd::{self, Etcd},
    load::Sample,
    process::free_addresses,
    say,
    table::{Limit, Row, rate, time},
    writes::{BATCH, Pool, Work, increment, people, put, streams, window},
};
use anyhow::{Result, ensure};
use members::{Cluster, MEMBERS};

/// Of what etcd does with as many clients.
const SINGLE_MIN: f64 = 0.75;
const STREAMED_MIN: f64 = 2.5;
/// Of puts.
const CALLS_MIN: f64 = 0.75;

/// What a server does with each number of clients, when its leader is asked; and when another is,
/// with the second of these numbers.
struct Writes {
    leader: Vec<Sample>,
    follower: Sample,
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let etcd = beside_etcd(bench)?;
    beside_nats(bench)?;
    let (single, streamed) = puts(bench, etcd.as_ref())?;
    calls(bench, &single, &streamed)?;
    let row = bench.runtime.block_on(catch_up::run(bench))?;
    bench.table.add(row);
    Ok(())
}

fn beside_etcd(bench: &mut Bench) -> Result<Option<Writes>> {
    let Some(name) = etcd::name(bench, 'j') else { return Ok(None) };
    say(format_args!("j: puts to {name}, {MEMBERS} members"));
    let writes = bench.runtime.block_on(async {
        let peers = free_addresses::<MEMBERS>()?;
        let etcd = Etcd::start(&bench.etcd, &bench.place("etcd-3"), &peers).await?;
        let (leads, window) = (etcd.leader().await?, window(bench));
        let leader = etcd.loads(leads, &bench.clients, window).await?;
        let other = (leads + 1) % MEMBERS;
        let follower = etcd.loads(other, &bench.clients[1..2], window).await?.remove(0);
        etcd.stop()?;
        anyhow::Ok(Writes { leader, follower })
    })?;
    for (clients, sample) in bench.clients.into_iter().zip(&writes.leader) {
        let what = format!("{name} x 3: puts, {}", people(clients));
        bench.table.add(Row::load('j', what, sample).goes(cost(sample)));
    }
    let what = format!("{name} x 3: puts to a follower, {}", people(bench.clients[1]));
    bench.table.add(Row::load('j', what, &writes.follower).goes(cost(&writes.follower)));
    Ok(Some(writes))
}

fn beside_nats(bench: &mut Bench) -> Result<()> {
    let Some(name) = nats::name(bench) else { return Ok(()) };
    say(format_args!("j: puts to {name}"));
    for (clients, sample) in bench.clients.into_iter().zip(nats::measure(bench)?) {
        let what = format!("{name}: not flushed when acknowledged, {}", people(clients));
        bench.table.add(Row::load('j', what, &sample).goes(cost(&sample)));
    }
    Ok(())
}

/// Puts, local reads, and a leader that is killed.
fn puts(bench: &mut Bench, etcd: Option<&Writes>) -> Result<(Vec<Sample>, Vec<Sample>)> {
    say("j: puts to three nodes");
    let (single, streamed, follower, reads, failover) = bench.runtime.block_on(async {
        let mut cluster = Cluster::start(bench, "cluster", &[]).await?;
        let (single, streamed) = to_leader(bench, &cluster, put).await?;
        let follower = to_follower(bench, &cluster).await?;
        let reads = reads::run(bench, &cluster).await?;
        let failover = failover::run(bench, &mut cluster).await?;
        cluster.stop()?;
        anyhow::Ok((single, streamed, follower, reads, failover))
    })?;
    for (at, sample) in single.iter().enumerate() {
        let etcd = etcd.map(|etcd| &etcd.leader[at]);
        let what = format!("3 nodes: puts, a signature each, {}", people(bench.clients[at]));
        add(bench, &what, sample, 1, etcd.map(|etcd| times_etcd(SINGLE_MIN, sample, etcd)));
        if let Some(etcd) = etcd {
            let (ours, theirs) = (sample.quantile(0.99), etcd.quantile(0.99));
            let text = format!("etcd's, {}", time(theirs));
            let limit = Limit::at_most(text, ours.as_secs_f64(), theirs.as_secs_f64());
            bench.table.add(Row::new('j', "p99 of the line above", time(ours)).limit(limit));
        }
    }
    let limit = etcd.map(|etcd| times_etcd(SINGLE_MIN, &follower, &etcd.follower));
    let what = format!("3 nodes: puts to a follower, {}", people(bench.clients[1]));
    add(bench, &what, &follower, 1, limit);
    for (at, sample) in streamed.iter().enumerate() {
        let limit = etcd.map(|etcd| times_etcd(STREAMED_MIN, sample, &etcd.leader[at]));
        let what = format!("3 nodes: puts, signed by 64, {}", streams(bench.clients[at]));
        add(bench, &what, sample, BATCH, limit);
    }
    bench.table.add(reads);
    bench.table.add(failover);
    Ok((single, streamed))
}

/// Calls of a contract.
fn calls(bench: &mut Bench, puts: &[Sample], puts_streamed: &[Sample]) -> Result<()> {
    say("j: calls to three nodes");
    let (single, streamed) = bench.runtime.block_on(async {
        let cluster = Cluster::start(bench, "cluster-calls", &[]).await?;
        cluster.leader().await?.deploy(&bench.guest("counter"))?;
        let samples = to_leader(bench, &cluster, increment).await?;
        cluster.stop()?;
        anyhow::Ok(samples)
    })?;
    let of_puts = |sample: &Sample, puts: &Sample| {
        let aim = CALLS_MIN * puts.per_second();
        let text = format!("{CALLS_MIN} of puts, {}", rate(aim));
        Limit::at_least(text, sample.per_second(), aim)
    };
    for (at, sample) in single.iter().enumerate() {
        let what = format!("3 nodes: calls, a signature each, {}", people(bench.clients[at]));
        add(bench, &what, sample, 1, Some(of_puts(sample, &puts[at])));
    }
    for (at, sample) in streamed.iter().enumerate() {
        let what = format!("3 nodes: calls, signed by 64, {}", streams(bench.clients[at]));
        add(bench, &what, sample, BATCH, Some(of_puts(sample, &puts_streamed[at])));
    }
    Ok(())
}

/// Both ways to write, to the node that leads.
async fn to_leader(
    bench: &Bench,
    cluster: &Cluster,
    work: Work,
) -> Result<(Vec<Sample>, Vec<Sample>)> {
    let leader = cluster.leader().await?;
    let pool = Pool::connect(bench, leader, work, cluster.processes()).await?;
    let samples = pool.both(&bench.clients).await?;
    let leads_still = cluster.leader().await?.process.id() == leader.process.id();
    ensure!(leads_still, "the leadership moved while it was measured");
    Ok(samples)
}

/// A signature each, to a node that does not lead.
async fn to_follower(bench: &Bench, cluster: &Cluster) -> Result<Sample> {
    let follower = cluster.followers().await?.remove(0);
    let pool = Pool::connect(bench, follower, put, cluster.processes()).await?;
    pool.single(bench.clients[1]).await
}

fn add(bench: &mut Bench, what: &str, sample: &Sample, per_signature: u64, limit: Option<Limit>) {
    let crypto = 100.0 * bench.crypto.share(sample, per_signature);
    let goes = format!("crypto {crypto:.0} %, {}", cost(sample));
    bench.table.add(Row::load('j', what, sample).goes(goes).limit(limit));
}

fn times_etcd(factor: f64, sample: &Sample, etcd: &Sample) -> Limit {
    let aim = factor * etcd.per_second();
    let text = format!("{factor} x etcd, {}", rate(aim));
    Limit::at_least(text, sample.per_second(), aim)
}

/// What it takes of the processors, and what one of them would serve.
fn cost(sample: &Sample) -> String {
    format!("{}, {} a core of servers", sample.cpu(), rate(sample.per_core()))
}
