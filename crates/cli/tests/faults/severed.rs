//! Nodes that live, and do not hear each other.

use crate::{
    cluster::Cluster,
    load::{Load, brisk},
    lots::{Lots, rounds},
    machine::until,
    network::Network,
};
use althing_operations::Freshness;
use althing_protocol::{Kind, Result};
use serde_json::{Value, json};

const WRITES: u64 = 40;

async fn state(cluster: &Cluster, place: usize) -> Result<Value> {
    let client = cluster.machines[place].client(&cluster.key, brisk()).await;
    let input = json!({"key": "/state"});
    let item = client.call("query:kv.get.v1", input, Freshness::Linearizable).await?;
    Ok(item["value"].clone())
}

async fn term(cluster: &mut Cluster, place: usize) -> u64 {
    cluster.machines[place].status().await.unwrap()["term"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_decides_and_shows_nothing() {
    let Some(network) = Network::of(3) else { return };
    let mut cluster = Cluster::on(network.machines()).await;
    let mut load = Load::start(cluster.clients(brisk()).await);
    load.more(WRITES).await;
    cluster.running().user.says(&["kv", "put", "/state", "old"]);
    let old = cluster.leader().await;
    let follower = cluster.follower().await;
    network.cut(old);
    until("another leads", async || {
        let status = cluster.machines[follower].status().await;
        let status = status.unwrap();
        status["leader"].is_number() && status["leader"] != json!(old + 1)
    })
    .await;
    cluster.machines[follower].user.says(&["kv", "put", "/state", "new"]);
    let refused = state(&cluster, old).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unavailable, "{refused}");
    load.more(WRITES).await;

    network.mend();
    assert_eq!(state(&cluster, old).await.unwrap(), "new");
    load.more(WRITES).await;
    load.stop().await.check(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_carry_one_way_only_stop_nobody_else() {
    let Some(network) = Network::of(3) else { return };
    let mut lots = Lots::draw();
    let mut cluster = Cluster::on(network.machines()).await;
    let mut load = Load::start(cluster.clients(brisk()).await);
    let mut kinds =
        ["the leader is mute", "the leader is deaf", "a follower is mute", "a follower is deaf"];
    lots.shuffle(&mut kinds);
    for kind in kinds.into_iter().cycle().take(rounds(kinds.len())) {
        load.more(WRITES).await;
        let leader = cluster.leader().await;
        let ill = if kind.contains("leader") { leader } else { cluster.follower().await };
        let before = term(&mut cluster, leader).await;
        for other in (0..3).filter(|place| *place != ill) {
            match kind.contains("mute") {
                true => network.silence(ill, other),
                false => network.silence(other, ill),
            }
        }
        // The two that hear each other are a majority, and one of them leads.
        load.more(3 * WRITES).await;
        network.mend();
        cluster.agree_on_leader().await;
        let passed = term(&mut cluster, leader).await - before;
        eprintln!("{kind}: {passed} terms passed");
        assert!(ill == leader || passed == 0, "a follower that hears nobody disturbed the others");
    }
    load.stop().await.check(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_decided_until_there_is_one() {
    let Some(network) = Network::of(3) else { return };
    let mut cluster = Cluster::on(network.machines()).await;
    let mut load = Load::start(cluster.clients(brisk()).await);
    load.more(WRITES).await;
    cluster.running().user.says(&["kv", "put", "/state", "known"]);
    (0..3).for_each(|place| network.cut(place));
    for place in 0..3 {
        let refused = state(&cluster, place).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unavailable, "{refused}");
        // What the node has it shows to who asks for no more.
        let local = cluster.machines[place].user.json(&["kv", "get", "/state", "--read", "local"]);
        assert_eq!(local["value"], "known");
    }
    network.mend();
    load.more(WRITES).await;
    load.stop().await.check(&mut cluster).await;
}
