//! (f) Restart behind a long history, and (g) what a node takes when it is idle.
//!
//! The state is a cache of the log. To have exactly a given part of the log run again, a copy of
//! the state is taken when the node has stopped at its end, and put back after more was written
//! and the node was killed: as if nothing had been flushed in between.

use crate::{
    Bench,
    node::Node,
    raw::key,
    say,
    table::{Limit, Row, mebibytes, thousands, time},
    writes::{KEYS, put_entries},
};
use anyhow::{Context, Result};
use std::{fs, time::Duration};
use tokio::task::JoinSet;

const HISTORY: u64 = 1_000_000;
const TO_APPLY: u64 = 100_000;
const RESTART_MAX: Duration = Duration::from_secs(2);
const FRESH_BYTES_MAX: u64 = 40 << 20;
const FULL_BYTES_MAX: u64 = 160 << 20;
/// Entries that a writer keeps in flight.
const DEPTH: usize = 64;
/// Longer than the state waits before it flushes an idle realm.
const IDLE: Duration = Duration::from_secs(8);

/// (f) and (g).
pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let idle = bench.time(IDLE);
    let fresh = bench.runtime.block_on(fresh(bench, idle))?;
    let full = bench.runtime.block_on(full(bench, idle))?;
    let Full { entries, applied, restart, bytes_written, bytes_restarted } = full;

    let what = format!("restart, {} entries, {} run again", thousands(entries), thousands(applied));
    let seconds = |time: Duration| time.as_secs_f64();
    let each = restart.as_secs_f64() * 1e6 / applied.max(1) as f64;
    bench.table.add(
        Row::new('f', what, time(restart))
            .goes(format!("{each:.1} us for each that ran again"))
            .limit(Limit::at_most(time(RESTART_MAX), seconds(restart), seconds(RESTART_MAX))),
    );
    let memory = |what: String, bytes: u64, max: u64| {
        let limit = Limit::at_most(mebibytes(max), bytes as f64, max as f64);
        Row::new('g', what, mebibytes(bytes)).limit(limit)
    };
    let entries = thousands(entries);
    let rows = [
        memory("memory, idle, fresh".to_owned(), fresh.bytes, FRESH_BYTES_MAX),
        memory(format!("memory, idle, {entries} entries written"), bytes_written, FULL_BYTES_MAX),
        memory("memory, idle, restarted on them".to_owned(), bytes_restarted, FULL_BYTES_MAX),
        Row::new('g', "start, fresh realm", time(fresh.start)),
        Row::new('g', "size of the binary", mebibytes(fs::metadata(&bench.althing)?.len())),
    ];
    rows.into_iter().for_each(|row| bench.table.add(row));
    Ok(())
}

struct Fresh {
    bytes: u64,
    start: Duration,
}

/// A node that has only just begun.
async fn fresh(bench: &Bench, idle: Duration) -> Result<Fresh> {
    say("g: a fresh node");
    let data = bench.place("fresh");
    // Making the realm is not starting it.
    Node::start(&bench.althing, &data, &[]).await?.process.stop()?;
    let node = Node::start(&bench.althing, &data, &[]).await?;
    tokio::time::sleep(idle).await;
    let fresh = Fresh { bytes: node.process.resident_bytes()?, start: node.started_in };
    node.process.stop()?;
    Ok(fresh)
}

struct Full {
    entries: u64,
    /// Entries that were run again.
    applied: u64,
    restart: Duration,
    bytes_written: u64,
    bytes_restarted: u64,
}

/// A node with a long history.
async fn full(bench: &Bench, idle: Duration) -> Result<Full> {
    let (all, last) = (bench.count(HISTORY, 1_000), bench.count(TO_APPLY, 100));
    say(format_args!("f: a history of {} entries", thousands(all)));
    let data = bench.place("history");
    let keep = [format!("log.keep_entries={}", 2 * HISTORY)];
    let state = data.join("realm").join("state.redb");
    let copy = bench.place("state");

    let node = Node::start(&bench.althing, &data, &keep).await?;
    write(&node, all - last).await?;
    node.process.stop()?;
    fs::copy(&state, &copy).context("copying the state")?;

    let node = Node::start(&bench.althing, &data, &keep).await?;
    let durable = node.number("index").await?;
    write(&node, last).await?;
    settle(&node).await?;
    tokio::time::sleep(idle).await;
    let bytes_written = node.process.resident_bytes()?;
    let entries = node.number("index").await?;
    node.process.kill()?;
    fs::copy(&copy, &state).context("putting the state back")?;

    let node = Node::start(&bench.althing, &data, &keep).await?;
    let restart = node.started_in;
    settle(&node).await?;
    tokio::time::sleep(idle).await;
    let bytes_restarted = node.process.resident_bytes()?;
    node.process.stop()?;
    let applied = entries - durable;
    Ok(Full { entries, applied, restart, bytes_written, bytes_restarted })
}

/// Writes `count` entries of one put each.
pub(crate) async fn write(node: &Node, count: u64) -> Result<()> {
    let mut tasks = JoinSet::new();
    for at in 0..KEYS {
        node.admit(&key(at).public()).await?;
        let client = node.client(Some(key(at))).await?;
        let share = count / KEYS + u64::from(at < count % KEYS);
        tasks.spawn(put_entries(at as usize, client, share, DEPTH));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a writer")??;
    }
    Ok(())
}

/// Waits until all that is applied is on disk.
pub(crate) async fn settle(node: &Node) -> Result<()> {
    while node.number("durable_index").await? < node.number("index").await? {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
