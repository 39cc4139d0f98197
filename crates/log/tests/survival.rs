//! Three nodes: they elect, replicate, and lose nothing when some of them die.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod toy;

use althing_log::simulated::Disk;
use althing_log::{Begin, Body, Id, Log, Position, Record, Refusal, Vote};
use cluster::{Cluster, eventually, propose, propose_until_refused};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use toy::{Toy, command, config};

#[tokio::test(start_paused = true)]
async fn three_nodes_elect_one_and_agree() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    propose(&cluster.node(leader), 0..500).await;
    assert_eq!(cluster.agreed().await, (0..500).map(command).collect::<Vec<_>>());
    for id in 1..=3 {
        let toy = cluster.toy(id);
        assert_eq!(toy.shown(), toy.now().entries, "entries are shown as they are appended");
    }
    for id in (1..=3).filter(|id| *id != leader) {
        let refusal = cluster.node(id).propose(command(0)).await.unwrap_err();
        assert_eq!(refusal, Refusal::Elsewhere { leader: Some(leader) });
        assert_eq!(cluster.node(id).read_index().await.unwrap_err(), refusal);
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_crashed_catches_up() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let away = leader % 3 + 1;
    propose(&cluster.node(leader), 0..100).await;
    cluster.toy(away).save();
    for round in 1..5 {
        cluster.crash(away, round as u64).await;
        propose(&cluster.node(leader), round * 100..round * 100 + 100).await;
        cluster.start(away, Begin::Join).await;
        assert_eq!(cluster.agreed().await.len(), round * 100 + 100);
    }
    assert_eq!(cluster.leader().await, leader, "a node that comes back disturbs nobody");
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_when_leaders_die() {
    let mut cluster = Cluster::of(3).await;
    let mut acknowledged = BTreeSet::new();
    let mut gaps = Vec::new();
    for round in 0..8_usize {
        let leader = cluster.leader().await;
        let clients: Vec<_> = (0..20)
            .map(|client| {
                let first = round * 1_000_000 + client;
                tokio::spawn(propose_until_refused(cluster.node(leader), first, 20))
            })
            .collect();
        let toy = cluster.toy(leader);
        let before = toy.commands().len();
        eventually("some are applied", || (toy.commands().len() > before + 200).then_some(()))
            .await;
        cluster.crash(leader, round as u64).await;
        let died = Instant::now();
        for client in clients {
            acknowledged.extend(client.await.unwrap());
        }
        let next = cluster.leader().await;
        propose(&cluster.node(next), round * 1_000_000 + 999_999..round * 1_000_000 + 1_000_000)
            .await;
        gaps.push(died.elapsed());
        cluster.start(leader, Begin::Found).await;
        let agreed = cluster.agreed().await;
        for i in &acknowledged {
            let count = agreed.iter().filter(|bytes| **bytes == command(*i)).count();
            assert_eq!(count, 1, "{i} in round {round}");
        }
    }
    assert!(acknowledged.len() > 8 * 200);
    gaps.sort();
    assert!(gaps[gaps.len() / 2] < Duration::from_secs(1), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_when_all_die_at_once() {
    let mut cluster = Cluster::of(3).await;
    for round in 0..4_usize {
        let leader = cluster.leader().await;
        propose(&cluster.node(leader), round * 100..round * 100 + 100).await;
        if round % 2 == 0 {
            cluster.toy(leader).save();
        }
        for id in 1..=3 {
            cluster.crash(id, round as u64 * 3 + id).await;
        }
        for id in 1..=3 {
            cluster.start(id, Begin::Join).await;
        }
        let expected: Vec<_> = (0..round * 100 + 100).map(command).collect();
        assert_eq!(cluster.agreed().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_whose_entries_are_purged_gets_a_snapshot() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let away = leader % 3 + 1;
    propose(&cluster.node(leader), 0..50).await;
    cluster.agreed().await;
    cluster.crash(away, 1).await;
    for round in 1..4 {
        propose(&cluster.node(leader), round * 50..round * 50 + 50).await;
    }
    cluster.toy(leader).save();
    let first = cluster.node(leader).compact(u64::MAX).await.unwrap();
    assert!(first > 100, "{first}");
    cluster.start(away, Begin::Join).await;
    propose(&cluster.node(leader), 200..250).await;
    assert_eq!(cluster.agreed().await, (0..250).map(command).collect::<Vec<_>>());
    assert!(cluster.counts(away).snapshots.load(std::sync::atomic::Ordering::Relaxed) >= 1);
    assert!(cluster.node(away).first_kept().unwrap() > 100);

    // The state came from the snapshot; it is all that is there after a crash.
    cluster.crash(away, 7).await;
    cluster.start(away, Begin::Join).await;
    propose(&cluster.node(leader), 250..260).await;
    assert_eq!(cluster.agreed().await.len(), 260);
}

/// Its entries begin behind the snapshot: who joins gets that.
#[tokio::test]
async fn a_realm_that_was_restored_grows() {
    let dir = tempfile::tempdir().unwrap();
    let position = Position { index: 700, term: 9, node: 4, membership: toy::alone(1).await };
    let toy = Toy::of(toy::State { position, entries: vec![(700, command(0))] });
    let mut cluster = Cluster::default();
    let net = cluster.net(1);
    let log = Log::restore(config(dir.path()), toy.clone(), net).await.unwrap();
    cluster.adopt(1, toy, log);
    propose(&cluster.node(1), 1..10).await;
    for id in [2, 3] {
        cluster.start(id, Begin::Join).await;
    }
    cluster.node(1).change_members([1].into(), [2, 3].into()).await.unwrap();
    cluster.node(1).change_members([1, 2, 3].into(), [].into()).await.unwrap();
    assert_eq!(cluster.agreed().await, (0..10).map(command).collect::<Vec<_>>());
    cluster.node(1).shutdown().await.unwrap();
}

/// A crash right behind a snapshot: the state is there, the log was not cut yet.
#[tokio::test(start_paused = true)]
async fn a_state_ahead_of_its_log_goes_on() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let away = leader % 3 + 1;
    propose(&cluster.node(leader), 0..20).await;
    cluster.agreed().await;
    cluster.crash(away, 0).await;
    propose(&cluster.node(leader), 20..40).await;
    cluster.machines.get_mut(&away).unwrap().toy = Toy::of(cluster.toy(leader).now());
    let node = cluster.start(away, Begin::Join).await;
    propose(&cluster.node(leader), 40..50).await;
    assert_eq!(cluster.agreed().await, (0..50).map(command).collect::<Vec<_>>());
    assert!(node.first_kept().unwrap() > 20);
}

/// A crash between a snapshot and the cut of the log: beside the state are entries of a leader that
/// decided nothing. They are cut at the start, wherever they end and whoever wrote them.
#[tokio::test(start_paused = true)]
async fn what_a_snapshot_contradicts_is_cut_at_the_start() {
    const SHARED: u64 = 10;
    // Whether the state is of the term before or after theirs, and their last entry.
    for (is_later, end) in [(false, SHARED + 4), (false, 60), (true, SHARED + 4), (true, 60)] {
        let mut cluster = Cluster::of(3).await;
        assert_eq!((cluster.leader().await, cluster.node(1).standing().term), (1, 1));
        propose(&cluster.node(1), 0..20).await;
        cluster.agreed().await;
        let earlier = cluster.toy(1).now();
        cluster.crash(3, 0).await;
        cluster.node(1).transfer_leader(2).await.unwrap();
        propose(&cluster.node(2), 20..40).await;
        cluster.agreed().await;
        let later = cluster.toy(2).now();
        assert_eq!((earlier.position.term, later.position.term), (1, 2));
        assert!((SHARED + 5..60).contains(&earlier.position.index));

        let machine = cluster.machines.get_mut(&3).unwrap();
        let mut records = machine.disk.records();
        records.truncate(SHARED as usize);
        // In the same term a greater node may lead, too.
        let undecided = |index| Record { id: Id { term: 1, node: 3, index }, body: Body::Blank };
        records.extend((SHARED..=end).map(undecided));
        machine.disk = Disk::default();
        let mut storage = machine.disk.open(None);
        storage.append(records).unwrap();
        storage.save_vote(Vote { term: 2, node: 2, committed: true }).unwrap();
        storage.flush(Box::new(|result| result.unwrap())).unwrap();
        machine.toy = Toy::of(if is_later { later } else { earlier });

        let node = cluster.start(3, Begin::Join).await;
        propose(&cluster.node(2), 40..50).await;
        assert_eq!(cluster.agreed().await, (0..50).map(command).collect::<Vec<_>>());
        let leaders = cluster.machines[&2].disk.records();
        let first = node.first_kept().unwrap();
        let behind: Vec<_> =
            leaders.into_iter().filter(|record| record.id.index >= first).collect();
        assert_eq!(cluster.machines[&3].disk.records(), behind, "{is_later} {end}");
        assert_eq!(node.fault(), None);
    }
}

/// A machine whose disk is of an earlier time, under the name that it had: the leader sends it nothing
/// more, and goes on with the others.
#[tokio::test(start_paused = true)]
async fn who_lost_what_it_acknowledged_is_left_out() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let reverted = leader % 3 + 1;
    propose(&cluster.node(leader), 0..20).await;
    cluster.agreed().await;
    let term = cluster.node(leader).standing().term;
    cluster.crash(reverted, 0).await;
    let machine = cluster.machines.get_mut(&reverted).unwrap();
    let kept = std::mem::take(&mut machine.disk);
    machine.toy = Toy::new();
    cluster.start(reverted, Begin::Join).await;
    propose(&cluster.node(leader), 20..40).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let progress = cluster.node(leader).progress()[&reverted];
    assert!(progress.heard_ms_ago.unwrap() > 9_000, "{progress:?}");
    assert_eq!(cluster.node(reverted).last().unwrap(), None);
    assert_eq!((cluster.node(leader).fault(), cluster.node(leader).standing().term), (None, term));

    // With the disk that it had it follows.
    cluster.crash(reverted, 0).await;
    cluster.machines.get_mut(&reverted).unwrap().disk = kept;
    cluster.start(reverted, Begin::Join).await;
    assert_eq!(cluster.agreed().await.len(), 40);
}
