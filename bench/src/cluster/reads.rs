//! What reading on the followers costs the leader: nothing, when a read says that it is local.

use super::members::Cluster;
use crate::{
    Bench,
    load::{self, Done},
    process::cpu_of,
    raw::key,
    restart::settle,
    say,
    table::{Limit, Row},
    writes::{people, put, window},
};
use althing_client::Client;
use althing_operations::Freshness;
use anyhow::Result;
use serde_json::json;
use std::time::{Duration, Instant};

/// Of the leader's time. What it does anyway is not the same from one second to the next.
const PER_READ_MAX: Duration = Duration::from_micros(1);

pub(super) async fn run(bench: &Bench, cluster: &Cluster) -> Result<Row> {
    let clients = bench.clients[1];
    say(format_args!("j: local reads on the followers, {}", people(clients)));
    let (leader, followers) = (cluster.leader().await?, cluster.followers().await?);
    let writer = leader.client(Some(key(0))).await?;
    writer.submit(vec![put(0, 0)]).await?;
    let mut loops = Vec::new();
    for at in 0..clients {
        let client = followers[at % followers.len()].client(None).await?;
        loops.push(Reader { client });
    }
    // The leader is to have nothing left to do.
    cluster.settle().await?;
    settle(leader).await?;

    let (window, leader) = (window(bench), [leader.process.id()]);
    let before = cpu_of(&leader)?;
    tokio::time::sleep(window.measured).await;
    let idle = cpu_of(&leader)? - before;
    let sample = load::run(loops, window, &leader).await?;
    let more = sample.cpu_server.saturating_sub(idle);
    let each = |cpu: Duration| cpu.as_secs_f64() / sample.count.max(1) as f64;
    let part = |cpu: Duration| 100.0 * cpu.as_secs_f64() / sample.wall.as_secs_f64();
    let what = format!("local reads on the followers, {}", people(clients));
    let goes = format!(
        "leader: {:.2} us a read; busy {:.1} % of the time, {:.1} % without them",
        each(more) * 1e6,
        part(sample.cpu_server),
        part(idle)
    );
    let limit = Limit::at_most("leader: 1 us a read", each(more), PER_READ_MAX.as_secs_f64());
    Ok(Row::load('j', what, &sample).goes(goes).limit(limit))
}

/// Reads the same key over and over.
struct Reader {
    client: Client,
}

impl load::Client for Reader {
    async fn next(&mut self) -> Result<Done> {
        let key = json!({ "key": "/bench/000/000" });
        let begun = Instant::now();
        self.client.call("query:kv.get.v1", key, Freshness::Local).await?;
        Ok(Done { count: 1, took: begun.elapsed() })
    }
}
