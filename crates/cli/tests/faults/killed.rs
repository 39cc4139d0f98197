//! kill -9 under load, of one, of as many as the others can do without, of all.

use crate::{
    cluster::Cluster,
    load::{Load, brisk},
    lots::{Lots, rounds},
};

/// Writes between two faults, at most.
const WRITES: usize = 60;

/// Kills up to `most` nodes of `count` at a time, the leader every other time, now and then all.
async fn check(count: usize, most: usize, usual_rounds: usize) {
    let mut lots = Lots::draw();
    let mut cluster = Cluster::of(count).await;
    let mut load = Load::start(cluster.clients(brisk()).await);
    for _ in 0..rounds(usual_rounds) {
        load.more(lots.below(WRITES) as u64).await;
        let mut places: Vec<usize> = (0..count).collect();
        lots.shuffle(&mut places);
        if lots.once_in(2) {
            let leader = cluster.leader().await;
            places.sort_by_key(|place| *place != leader);
        }
        let is_power_loss = lots.once_in(6);
        places.truncate(if is_power_loss { count } else { 1 + lots.below(most) });
        eprintln!("kill -9 of {places:?}");
        for place in &places {
            cluster.machines[*place].kill();
        }
        if !is_power_loss {
            load.more(lots.below(WRITES) as u64).await;
        }
        for place in places {
            cluster.machines[place].start().await;
        }
    }
    load.more(1).await;
    let ledger = load.stop().await;
    eprintln!("{} writes; errors: {:#?}", ledger.acknowledged(), ledger.errors());
    ledger.check(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_one_of_three_dies() {
    check(3, 1, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_two_of_five_die() {
    check(5, 2, 4).await;
}
