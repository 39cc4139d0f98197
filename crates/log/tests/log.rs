//! A log that runs: proposes, applies, restarts, compacts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod toy;

use althing_log::{Log, LogConfig, Position, Replica};
use althing_protocol::{Error, Kind};
use bytes::Bytes;
use std::sync::Arc;
use toy::{Toy, command, config};

async fn propose_concurrently(
    log: &Log<Toy>,
    range: std::ops::Range<usize>,
    tasks: usize,
) -> Vec<(u64, usize)> {
    let all: Vec<usize> = range.collect();
    let mut handles = Vec::new();
    for chunk in all.chunks(all.len().div_ceil(tasks)) {
        let (log, chunk) = (log.clone(), chunk.to_vec());
        handles.push(tokio::spawn(async move {
            let mut done = Vec::new();
            for i in chunk {
                let (index, response) = log.propose(command(i)).await.unwrap();
                assert_eq!(index, response);
                done.push((index, i));
            }
            done
        }));
    }
    let mut done = Vec::new();
    for handle in handles {
        done.extend(handle.await.unwrap());
    }
    done.sort();
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_at_once_are_applied_once_and_in_order_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new();
    let log = toy::create(config(dir.path()), toy.clone()).await.unwrap();
    let mut done = propose_concurrently(&log, 0..2_000, 64).await;
    log.shutdown().await.unwrap();

    // The state had saved nothing: all is replayed from the log.
    let toy = toy.crashed();
    let log = toy::open(config(dir.path()), toy.clone()).await.unwrap();
    done.extend(propose_concurrently(&log, 2_000..3_000, 64).await);
    toy.save();
    done.extend(propose_concurrently(&log, 3_000..3_100, 64).await);
    log.shutdown().await.unwrap();

    // The state had saved a part.
    let toy = toy.crashed();
    let log = toy::open(config(dir.path()), toy.clone()).await.unwrap();
    let applied: Vec<_> = toy.now().entries;
    let acknowledged: Vec<_> = done.iter().map(|&(index, i)| (index, command(i))).collect();
    assert_eq!(applied, acknowledged);

    let mut read = Vec::new();
    let mut next = log.first_kept().unwrap();
    loop {
        let items = log.read(next..u64::MAX, 4_096).await.unwrap();
        let Some(last) = items.last() else { break };
        next = last.index + 1;
        read.extend(items.into_iter().filter_map(|item| Some((item.index, item.bytes?))));
    }
    assert_eq!(read, acknowledged);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn proposals_of_one_call_lie_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new();
    let log = toy::create(config(dir.path()), toy.clone()).await.unwrap();
    let results = log.propose_all((0..300).map(command).collect()).await.unwrap();
    let indexes: Vec<u64> = results.into_iter().map(|result| result.unwrap().0).collect();
    assert!(indexes.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert_eq!(toy.commands(), (0..300).map(command).collect::<Vec<_>>());
    assert_eq!(log.read_index().await.unwrap(), *indexes.last().unwrap());
    let metrics = log.metrics();
    assert_eq!((metrics.leads, metrics.leader, metrics.fault), (true, Some(1), None));
    assert_eq!(metrics.applied, indexes.last().copied());
    assert!(metrics.flush.entries >= 302 && metrics.flush.flushes < 60, "{:?}", metrics.flush);
    let too_large = Bytes::from(vec![0; althing_log::ENTRY_BYTES_MAX + 1]);
    let error = Error::from(log.propose(too_large).await.unwrap_err());
    assert_eq!(error.kind, Kind::Invalid);
}

#[tokio::test]
async fn compaction_keeps_what_the_state_has_not_saved() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new();
    let log =
        toy::create(LogConfig { segment_bytes_max: 2_048, ..config(dir.path()) }, toy.clone())
            .await
            .unwrap();
    log.propose_all((0..500).map(command).collect()).await.unwrap();
    assert_eq!(log.compact(u64::MAX).await.unwrap(), 0, "nothing is saved, nothing is purged");
    toy.save();
    let saved = toy.now().position.index;
    for i in 500..1_000 {
        log.propose_all(vec![command(i)]).await.unwrap();
    }
    let before = toy::segments(dir.path()).len();

    assert_eq!(log.compact(100).await.unwrap(), 101, "no further than asked");
    assert_eq!(log.compact(u64::MAX).await.unwrap(), saved + 1, "no further than saved");
    assert_eq!(log.compact(u64::MAX).await.unwrap(), saved + 1);
    assert_eq!(log.read(0..u64::MAX, 1).await.unwrap()[0].index, saved + 1);
    log.shutdown().await.unwrap();
    assert!(toy::segments(dir.path()).len() < before, "segments are removed");

    let toy = toy.crashed();
    let log = toy::open(config(dir.path()), toy.clone()).await.unwrap();
    assert_eq!(log.first_kept().unwrap(), saved + 1);
    assert_eq!(toy.commands(), (0..1_000).map(command).collect::<Vec<_>>());
    toy.save();
    let last = log.last().unwrap().unwrap();
    assert_eq!(log.compact(u64::MAX).await.unwrap(), last - 10 + 1, "the last ten are kept");
    log.shutdown().await.unwrap();

    // A state older than the log is refused.
    let error = toy::open(config(dir.path()), Toy::new()).await.err().unwrap();
    assert_eq!(error.kind, Kind::Internal);
    assert!(error.message.contains("needs entry 0"), "{error}");
}

#[tokio::test]
async fn compaction_keeps_no_more_bytes_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new();
    let config = LogConfig {
        segment_bytes_max: 4_096,
        keep_bytes_max: 20_000,
        entries_keep: 1_000_000,
        ..config(dir.path())
    };
    let log = toy::create(config.clone(), toy.clone()).await.unwrap();
    for i in 0..100 {
        log.propose(Bytes::from(vec![i; 1_000])).await.unwrap();
    }
    toy.save();
    let first = log.compact(u64::MAX).await.unwrap();
    assert!((75..90).contains(&first), "{first}");
    log.shutdown().await.unwrap();
    let bytes: u64 =
        toy::segments(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= 20_000 + 4_096, "{bytes}");
    let log = toy::open(config, toy.crashed()).await.unwrap();
    let page = log.read(0..u64::MAX, 3_500).await.unwrap();
    assert_eq!(
        page.iter().map(|item| item.index).collect::<Vec<_>>(),
        vec![first, first + 1, first + 2]
    );
    log.shutdown().await.unwrap();
}

/// A page is made of slices; entries of all sizes come once each, however it is cut.
#[tokio::test]
async fn pages_leave_nothing_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = toy::create(config(dir.path()), Toy::new()).await.unwrap();
    let sizes =
        [0, 1, 40_000, 70_000, 30_000, 30_000, 30_000, 200_000, 10, 64 << 10, (64 << 10) + 1, 5];
    log.propose_all(sizes.iter().map(|&size| Bytes::from(vec![1; size])).collect()).await.unwrap();
    for bytes_max in [0, 1, 65_536, 100_000, 150_001, usize::MAX] {
        let (mut next, mut read) = (0, Vec::new());
        loop {
            let page = log.read(next..u64::MAX, bytes_max).await.unwrap();
            let Some(last) = page.last() else { break };
            next = last.index + 1;
            let sizes: Vec<_> =
                page.iter().filter_map(|item| item.bytes.as_ref()).map(Bytes::len).collect();
            assert!(
                page.len() == 1 || sizes.iter().sum::<usize>() <= bytes_max,
                "{bytes_max}: {sizes:?}"
            );
            read.extend(sizes);
        }
        assert_eq!(read, sizes, "{bytes_max}");
    }
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_log_goes_on_behind_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let position = Position { index: 700, term: 9, node: 4, membership: toy::alone(1).await };
    let state = toy::State { position, entries: vec![(700, command(0))] };
    let toy = Toy::of(state.clone());
    let log = toy::restore(config(dir.path()), toy.clone()).await.unwrap();
    assert_eq!(log.first_kept().unwrap(), 701);
    let (index, _) = log.propose(command(1)).await.unwrap();
    assert_eq!(index, 702, "the leader's own entry comes first");
    assert!(log.metrics().term > 9);
    log.shutdown().await.unwrap();

    let toy = toy.crashed();
    let log = toy::open(config(dir.path()), toy.clone()).await.unwrap();
    assert_eq!(toy.commands(), vec![command(0), command(1)]);
    log.shutdown().await.unwrap();

    let error = toy::restore(config(dir.path()), Toy::of(state)).await.err().unwrap();
    assert_eq!(error.kind, Kind::Conflict);
    let other = tempfile::tempdir().unwrap();
    let foreign = Position { index: 7, term: 1, node: 2, membership: toy::alone(2).await };
    let foreign = Toy::of(toy::State { position: foreign, entries: vec![] });
    let error = toy::restore(config(other.path()), foreign).await.err().unwrap();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("[2]"), "{error}");
}

#[tokio::test]
async fn a_halt_stops_the_log_and_everyone_hears_why() {
    let dir = tempfile::tempdir().unwrap();
    let toy = Toy::new();
    let log = toy::create(config(dir.path()), toy.clone()).await.unwrap();
    log.propose(command(0)).await.unwrap();
    toy.halt_at(10);
    let waiting: Vec<_> = (1..100)
        .map(|i| {
            let log = log.clone();
            tokio::spawn(async move { log.propose(command(i)).await })
        })
        .collect();
    let mut failed = 0;
    for task in waiting {
        if let Err(refusal) = task.await.unwrap() {
            let error = Error::from(refusal);
            assert_eq!(error.kind, Kind::Unavailable);
            assert!(error.message.contains("entry 10 does not agree with me"), "{error}");
            failed += 1;
        }
    }
    assert!(failed >= 90, "{failed}");
    let error = log.propose(command(100)).await.unwrap_err().to_string();
    assert!(error.contains("does not agree"), "{error}");
    assert!(log.read_index().await.unwrap_err().to_string().contains("does not agree"));
    assert!(log.metrics().fault.unwrap().contains("does not agree"));
    log.shutdown().await.unwrap();

    // The entries are in the log all the same: a state that agrees replays them.
    let toy: Arc<Toy> = toy.crashed();
    let log = toy::open(config(dir.path()), toy.clone()).await.unwrap();
    assert!(toy.applied().index >= 10);
    log.shutdown().await.unwrap();
}
