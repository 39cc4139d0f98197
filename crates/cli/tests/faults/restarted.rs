//! Every node is stopped and started again, one after the other, as an upgrade does it.

use crate::{cluster::Cluster, load::Load, lots::rounds, machine::until};
use althing_client::Options;

const WRITES: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_is_no_error_for_any_client() {
    let mut cluster = Cluster::of(3).await;
    // As a client is that nobody has told what is going on.
    let mut load = Load::start(cluster.clients(Options::default()).await);
    for place in (0..3).cycle().take(3 * rounds(1)) {
        load.more(WRITES).await;
        cluster.machines[place].terminate();
        load.more(WRITES).await;
        cluster.machines[place].start().await;
        let leader = cluster.leader().await;
        let goal =
            cluster.machines[leader].status().await.map_or(0, |s| s["index"].as_u64().unwrap());
        until("it has caught up", async || {
            let status = cluster.machines[place].status().await;
            status.is_some_and(|status| status["index"].as_u64() >= Some(goal))
        })
        .await;
    }
    load.more(WRITES).await;
    let ledger = load.stop().await;
    eprintln!("{} writes, the slowest took {:?}", ledger.acknowledged(), ledger.stall());
    assert!(ledger.errors().is_empty(), "{:#?}", ledger.errors());
    ledger.check(&mut cluster).await;
}
