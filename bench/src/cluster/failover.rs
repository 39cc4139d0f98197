//! How long nobody can write after the leader was killed.

use super::members::Cluster;
use crate::{
    Bench,
    raw::key,
    say,
    table::{Limit, Row, time},
    writes::put,
};
use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const ROUNDS: u64 = 11;
const MEDIAN_MAX: Duration = Duration::from_secs(1);

pub(super) async fn run(bench: &Bench, cluster: &mut Cluster) -> Result<Row> {
    let rounds = bench.count(ROUNDS, 3);
    say(format_args!("j: the leader is killed, {rounds} times"));
    let mut times = Vec::new();
    for round in 0..rounds {
        times.push(once(cluster, round).await?);
    }
    times.sort_unstable();
    let (first, median) = (times[0], times[times.len() / 2]);
    let last = times.last().copied().unwrap_or_default();
    let limit = Limit::at_most(time(MEDIAN_MAX), median.as_secs_f64(), MEDIAN_MAX.as_secs_f64());
    let what = format!("kill -9 of the leader to the next write, median of {rounds}");
    let spread = format!("from {} to {}", time(first), time(last));
    Ok(Row::new('j', what, time(median)).times(median, last).goes(spread).limit(limit))
}

/// From the kill until one of the others has acknowledged a write that it got after it.
async fn once(cluster: &mut Cluster, round: u64) -> Result<Duration> {
    let mut writers = Vec::new();
    for node in cluster.followers().await? {
        let client = node.client(Some(key(writers.len() as u64))).await?;
        client.submit(vec![put(0, round)]).await?;
        writers.push(client);
    }
    let leader = cluster.leader().await?.process.id();
    let leader = cluster.take(leader)?;
    let killed = Instant::now();
    leader.process.kill()?;
    let mut tries = JoinSet::new();
    for (at, client) in writers.into_iter().enumerate() {
        tries.spawn(async move { client.submit(vec![put(at, round)]).await });
    }
    let first = tries.join_next().await.context("nobody writes")?;
    let took = killed.elapsed();
    first.context("a writer")??;
    tries.join_all().await;
    cluster.nodes.push(leader.launch.start().await?);
    cluster.settle().await?;
    Ok(took)
}
