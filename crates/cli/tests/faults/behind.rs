//! A node was away for so long that the others have cut the entries off which it lacks.

use crate::{cluster::Cluster, machine::until};
use althing_client::{Client, Options};
use althing_protocol::{limits::CHECKPOINT_INTERVAL, sys};
use serde_json::Value;

/// An entry for each of `count` writes.
async fn write(client: Client, count: u64) {
    let stream = client.submit_stream().await.unwrap();
    let mut answers = Vec::new();
    for number in 0..count {
        let put = sys::put(format!("/far/{}", number % 1_000), number.to_string());
        answers.push(stream.send(vec![put]).await.unwrap());
    }
    for answer in answers {
        answer.await.unwrap();
    }
}

fn number(status: &Value, name: &str) -> u64 {
    status[name].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_for_long_gets_a_snapshot() {
    let mut cluster = Cluster::with(3, &["log.keep_entries=100", "data.flush_idle_ms=200"]).await;
    let away = cluster.follower().await;
    let had = number(&cluster.machines[away].status().await.unwrap(), "index");
    cluster.machines[away].terminate();

    let clients = cluster.clients(Options::default()).await;
    let share = CHECKPOINT_INTERVAL / clients.len() as u64 + 200;
    let writes = clients.into_iter().map(|client| tokio::spawn(write(client, share)));
    for written in futures::future::join_all(writes).await {
        written.unwrap();
    }
    until("the others have cut the log", async || {
        let statuses = cluster.statuses().await;
        statuses.iter().flatten().all(|status| number(status, "first_kept") > had + 1)
    })
    .await;

    cluster.machines[away].start().await;
    cluster.agree().await;
    until("it begins its log behind a snapshot", async || {
        let status = cluster.machines[away].status().await.unwrap();
        number(&status, "first_kept") > had + 1
    })
    .await;
    cluster.verify();

    // What it got is a whole state: the others can do without one of them now.
    let leader = cluster.leader().await;
    cluster.machines[leader].kill();
    let value = cluster.machines[away].user.json(&["kv", "get", "/far/7"]);
    assert_eq!(value["key"], "/far/7");
    cluster.machines[away].user.says(&["kv", "put", "/after", "1"]);
    cluster.machines[leader].start().await;
    cluster.agree().await;
}
