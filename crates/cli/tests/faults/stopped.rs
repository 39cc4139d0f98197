//! A leader stands still, as one does whose machine sleeps or swaps, and goes on later.

use crate::{
    cluster::Cluster,
    load::{Load, brisk},
    lots::rounds,
    machine::until,
};
use althing_client::Options;
use althing_operations::Freshness;
use serde_json::json;

const WRITES: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stood_still_steps_down_and_shows_nothing_old() {
    let mut cluster = Cluster::of(3).await;
    let mut load = Load::start(cluster.clients(brisk()).await);
    for round in 0..rounds(3) {
        let (before, after) = (format!("before {round}"), format!("after {round}"));
        cluster.running().user.says(&["kv", "put", "/state", &before]);
        load.more(WRITES).await;
        let old = cluster.leader().await;
        let reader = cluster.machines[old].client(&cluster.key, Options::default()).await;
        cluster.machines[old].pause();
        let new = cluster.leader().await;
        assert_ne!(new, old);
        cluster.machines[new].user.says(&["kv", "put", "/state", &after]);
        load.more(WRITES).await;
        cluster.machines[old].resume();
        // At once, while it may still think that it leads.
        let input = json!({"key": "/state"});
        let read = reader.call("query:kv.get.v1", input, Freshness::Linearizable).await.unwrap();
        assert_eq!(read["value"], json!(after));
        until("it follows the one that leads", async || {
            let statuses = cluster.statuses().await;
            let leader = |place: usize| Some(statuses[place].as_ref()?["leader"].clone());
            leader(old).is_some_and(|seen| seen.is_number()) && leader(old) == leader(new)
        })
        .await;
    }
    let ledger = load.stop().await;
    eprintln!(
        "{} writes, the slowest took {:?}; errors: {:#?}",
        ledger.acknowledged(),
        ledger.stall(),
        ledger.errors()
    );
    ledger.check(&mut cluster).await;
}
