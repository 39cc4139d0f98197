//! The log of a node that died is not as it left it.

use crate::{
    cluster::Cluster,
    load::{Load, brisk},
    machine::Machine,
};
use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

const WRITES: u64 = 60;

/// The segment that the log of a node ends in.
fn last_segment(machine: &Machine) -> PathBuf {
    let entries = fs::read_dir(machine.data().join("realm/log/wal")).unwrap();
    entries.map(|entry| entry.unwrap().path()).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_nobody_was_promised_is_dropped() {
    let mut cluster = Cluster::of(3).await;
    let mut load = Load::start(cluster.clients(brisk()).await);
    load.more(WRITES).await;
    let place = cluster.follower().await;
    cluster.machines[place].kill();
    load.more(WRITES).await;
    // A record that was being written when the power failed.
    let mut segment =
        File::options().append(true).open(last_segment(&cluster.machines[place])).unwrap();
    segment.write_all(&[0, 0, 0, 1, 0xff, 0, 0xff, 0xff, 7]).unwrap();
    cluster.machines[place].start().await;
    let log = cluster.machines[place].log();
    assert!(log.contains("dropping a tail that was never acknowledged"), "{log}");
    load.more(WRITES).await;
    load.stop().await.check(&mut cluster).await;
}

/// Damages the log of a node, which refuses to go on with it; a machine takes its place.
async fn is_replaced(damage: impl FnOnce(&File, u64)) {
    let mut cluster = Cluster::of(3).await;
    let mut load = Load::start(cluster.clients(brisk()).await);
    load.more(WRITES).await;
    let place = cluster.follower().await;
    let member = cluster.machines[place].status().await.unwrap()["member"].to_string();
    cluster.machines[place].kill();
    let path = last_segment(&cluster.machines[place]);
    let segment = File::options().read(true).write(true).open(&path).unwrap();
    damage(&segment, segment.metadata().unwrap().len());
    let damaged = fs::read(&path).unwrap();
    let said = cluster.machines[place].refuses_to_start().await;
    assert!(said.contains("the log is damaged"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), damaged, "it is evidence");

    let remove = cluster.running().user.json(&["remove", &member, "--yes"]);
    assert!(remove["index"].is_number(), "{remove}");
    let new = cluster.add(Machine::new(&[])).await;
    let status = cluster.machines[new].status().await.unwrap();
    assert_eq!((status["member"].as_u64(), status["voters"].as_u64()), (Some(4), Some(3)));
    load.more(WRITES).await;

    // It counts: with one more dead, it is one of the two that decide.
    let leader = cluster.leader().await;
    let victim = if leader == new { cluster.follower().await } else { leader };
    cluster.machines[victim].kill();
    load.more(WRITES).await;
    cluster.machines[victim].start().await;
    load.stop().await.check(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_flipped_bit_in_what_it_promised_is_replaced() {
    is_replaced(|segment, length| {
        let mut byte = [0];
        segment.read_exact_at(&mut byte, length / 2).unwrap();
        segment.write_all_at(&[byte[0] ^ 0x10], length / 2).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_the_end_of_what_it_promised_is_replaced() {
    is_replaced(|segment, length| segment.set_len(length / 2).unwrap()).await;
}
