//! A node that was away while much was written, and comes back while more is.

use super::members::{Cluster, number};
use crate::{
    Bench,
    node::Node,
    raw::key,
    restart::write,
    say,
    table::{Limit, Row, rate, thousands, time},
    writes::{check, put},
};
use althing_client::{Client, Pending};
use anyhow::{Context, Result};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};

const BEHIND: u64 = 1_000_000;
/// Entries a second while it catches up.
const LOAD: u64 = 5_000;
/// Of the log, that all of them are kept.
const KEEP_BYTES: u64 = 4 << 30;
const WRITERS: u64 = 4;
/// Entries that a writer keeps in flight.
const DEPTH: usize = 64;
/// How often a writer sends what is due.
const TICK: Duration = Duration::from_millis(10);
const POLL: Duration = Duration::from_millis(20);
/// Then it does not close the gap at all.
const GIVE_UP: Duration = Duration::from_secs(300);

pub(super) async fn run(bench: &Bench) -> Result<Row> {
    let (behind, load) = (bench.count(BEHIND, 1_000), bench.count(LOAD, 100));
    say(format_args!("j: a node that was away for {} entries", thousands(behind)));
    // Else the log would not have them any more, and the node would get a snapshot.
    let keep =
        [format!("log.keep_entries={}", 2 * BEHIND), format!("log.keep_bytes={}", KEEP_BYTES)];
    let mut cluster = Cluster::start(bench, "catch-up", &keep).await?;
    let follower = cluster.followers().await?[0].process.id();
    let away = cluster.take(follower)?;
    away.process.stop()?;
    let leader = cluster.leader().await?;
    write(leader, behind).await?;

    let (stop, stopped) = watch::channel(false);
    let mut writers = JoinSet::new();
    for at in 0..WRITERS {
        let client = leader.client(Some(key(at))).await?;
        writers.spawn(steady(at as usize, client, load / WRITERS, stopped.clone()));
    }
    let begun = Instant::now();
    let back = away.launch.begin().await?;
    let is_closed = close(&back, leader, begun + GIVE_UP).await?;
    let took = begun.elapsed();
    stop.send_replace(true);
    let mut written = 0;
    while let Some(ended) = writers.join_next().await {
        written += ended.context("a writer")??;
    }
    back.process.stop()?;
    cluster.stop()?;

    let per_second = |entries: u64| entries as f64 / took.as_secs_f64();
    let (entries, load) = (thousands(behind), thousands(load));
    let what = format!("catch up, {entries} entries behind, under {load} /s");
    let goes = format!(
        "{}; the load got {}",
        rate(per_second(behind + written)),
        rate(per_second(written))
    );
    let shown = if is_closed { time(took) } else { format!("not in {}", time(GIVE_UP)) };
    let limit = Limit::at_most(time(GIVE_UP), took.as_secs_f64(), GIVE_UP.as_secs_f64());
    Ok(Row::new('j', what, shown).goes(goes).limit(limit))
}

/// Whether the node came to have what the leader had a moment before, in time.
async fn close(node: &Node, leader: &Node, until: Instant) -> Result<bool> {
    let (node, leader) = (node.client(None).await?, leader.client(None).await?);
    while Instant::now() < until {
        let decided = number(&leader, "index").await?;
        if number(&node, "index").await? >= decided {
            return Ok(true);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(false)
}

/// Puts entries of one instruction at a rate, or as fast as it goes. How many there were.
async fn steady(
    at: usize,
    client: Client,
    per_second: u64,
    stopped: watch::Receiver<bool>,
) -> Result<u64> {
    let stream = client.submit_stream().await?;
    let begun = Instant::now();
    let (mut sent, mut in_flight) = (0, VecDeque::with_capacity(DEPTH));
    while !*stopped.borrow() {
        let due = begun.elapsed().as_secs_f64() * per_second as f64;
        if sent >= due as u64 {
            tokio::time::sleep(TICK).await;
            continue;
        }
        if in_flight.len() == DEPTH {
            let first: Pending = in_flight.pop_front().context("nothing is in flight")?;
            check(&first.await?, 1)?;
        }
        in_flight.push_back(stream.send(vec![put(at, sent)]).await?);
        sent += 1;
    }
    for pending in in_flight {
        check(&pending.await?, 1)?;
    }
    stream.finish().await;
    Ok(sent)
}
