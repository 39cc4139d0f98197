//! The engine's own test suite of storages, over ours; and ours against each other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::LogConfig;
use crate::fault::Fault;
use crate::machine::Machine;
use crate::simulated::{Bugs, Disk};
use crate::store::{Body, Dir, Id, Record, Segments, Storage, Store, Vote, log_id};
use crate::types::Types;
use bytes::Bytes;
use openraft::storage::RaftLogStorage;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{AsyncRuntime, StorageError};
use openraft_rt_tokio::TokioRuntime;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

#[path = "../tests/toy/mod.rs"]
mod toy;

type C = Types<u64, TokioRuntime>;

fn segments(dir: &Path) -> Box<dyn Storage> {
    let config = LogConfig { segment_bytes_max: 4_096, flush_wait_us: 0, ..LogConfig::new(dir, 1) };
    Box::new(Segments::open(Dir::create(&config.dir, 1).unwrap(), &config).unwrap())
}

fn parts(storage: Box<dyn Storage>) -> (Store, Machine<toy::Toy>) {
    let fault = Fault::default();
    let machine = Machine::new(Arc::new(toy::Toy::lenient()), fault.clone());
    (Store::new(storage, fault, Arc::new(|_, _| ())), machine)
}

struct OnDisk;

impl StoreBuilder<C, Store, Machine<toy::Toy>, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, Store, Machine<toy::Toy>), StorageError<C>> {
        let dir = tempfile::tempdir().unwrap();
        let (store, machine) = parts(segments(dir.path()));
        Ok((dir, store, machine))
    }
}

struct Simulated;

impl StoreBuilder<C, Store, Machine<toy::Toy>, ()> for Simulated {
    async fn build(&self) -> Result<((), Store, Machine<toy::Toy>), StorageError<C>> {
        let (store, machine) = parts(Disk::default().open(None));
        Ok(((), store, machine))
    }
}

#[test]
fn the_engines_suite_passes() {
    TokioRuntime::run(async { Suite::test_all(OnDisk).await }).unwrap();
}

#[test]
fn the_engines_suite_passes_in_simulation() {
    TokioRuntime::run(async { Suite::test_all(Simulated).await }).unwrap();
}

/// What an engine may do to a storage, as numbers that are made to fit what it holds.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Truncate(u64),
    Purge(u64),
    Vote(u64),
    Commit(u64),
    Reopen,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(0..600_usize, 1..8).prop_map(Step::Append),
        1 => (0..10_u64).prop_map(Step::Truncate),
        1 => (0..10_u64).prop_map(Step::Purge),
        1 => (0..3_u64).prop_map(Step::Vote),
        1 => (0..10_u64).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

/// Does the step to a storage, and gives false when it would be no engine's.
fn take(storage: &mut dyn Storage, step: &Step, term: u64) -> bool {
    let state = storage.state();
    let next = state.last.map_or(0, |id| id.index + 1);
    let kept = |back: u64| {
        let index = next.checked_sub(back + 1)?;
        storage.read(index..index + 1, 0).unwrap().first().map(|record| record.id)
    };
    match step {
        Step::Append(sizes) => {
            let record = |(place, size): (usize, &usize)| Record {
                id: Id { term, node: 1, index: next + place as u64 },
                body: Body::Command(Bytes::from(vec![place as u8; *size])),
            };
            storage.append(sizes.iter().enumerate().map(record).collect()).unwrap();
        }
        Step::Truncate(back) => match kept(*back).filter(|id| Some(*id) >= state.committed) {
            Some(last) => storage.truncate_after(Some(last)).unwrap(),
            None => return false,
        },
        Step::Purge(back) => match kept(*back) {
            Some(upto) => storage.purge(upto).unwrap(),
            None => return false,
        },
        Step::Vote(node) => {
            let vote = Vote { term, node: *node, committed: false };
            if Some(vote) < state.vote {
                return false;
            }
            storage.save_vote(vote).unwrap();
        }
        Step::Commit(back) => match kept(*back).filter(|id| Some(*id) >= state.committed) {
            Some(id) => storage.save_committed(id).unwrap(),
            None => return false,
        },
        Step::Reopen => {}
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_simulated_storage_holds_what_the_real_one_holds(
        steps in proptest::collection::vec(steps(), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let (mut real, mut simulated) = (segments(dir.path()), disk.open(None));
        for (term, step) in (1..).zip(&steps) {
            if matches!(step, Step::Reopen) {
                real.close().unwrap();
                real = segments(dir.path());
                simulated.close().unwrap();
                disk.crash(term);
                simulated = disk.open(None);
            }
            prop_assert_eq!(take(&mut *real, step, term), take(&mut *simulated, step, term));
            prop_assert_eq!(real.state(), simulated.state(), "after {:?}", step);
            for bytes_max in [0, 1_000, usize::MAX] {
                prop_assert_eq!(
                    real.read(0..u64::MAX, bytes_max).unwrap(),
                    simulated.read(0..u64::MAX, bytes_max).unwrap()
                );
            }
        }
        real.close().unwrap();
    }

    /// What was flushed is there, what was to be flushed only as a first part of it, and what the
    /// process had not handed over is gone with it.
    #[test]
    fn a_crash_keeps_what_was_flushed_and_a_first_part_of_what_was_handed_over(
        flushed in 0..20_u64, handed in 0..20_u64, written in 0..20_u64, seed: u64,
    ) {
        let disk = Disk::default();
        let mut storage = disk.open(None);
        let record = |index| Record { id: Id { term: 1, node: 1, index }, body: Body::Blank };
        storage.append((0..flushed).map(record).collect()).unwrap();
        storage.flush(Box::new(|result| result.unwrap())).unwrap();
        disk.hold(Some(Arc::new(|| ())));
        storage.append((flushed..flushed + handed).map(record).collect()).unwrap();
        storage.flush(Box::new(|result| drop(result.unwrap_err()))).unwrap();
        let end = flushed + handed + written;
        storage.append((flushed + handed..end).map(record).collect()).unwrap();
        disk.crash(seed);
        prop_assert!(storage.append(vec![record(end)]).is_err());
        let kept = disk.open(None).read(0..u64::MAX, usize::MAX).unwrap();
        let count = kept.len() as u64;
        prop_assert!((flushed..=flushed + handed).contains(&count));
        prop_assert_eq!(kept, (0..count).map(record).collect::<Vec<_>>());
    }
}

#[test]
fn the_known_bugs_lose_what_they_promised() {
    let vote = Vote { term: 3, node: 2, committed: false };
    let record = Record { id: Id { term: 3, node: 2, index: 0 }, body: Body::Blank };
    // A seed by which nothing unflushed survives.
    let lost = 0;
    let after = |bugs| {
        let disk = Disk::new(bugs);
        let mut storage = disk.open(None);
        storage.save_vote(vote).unwrap();
        storage.flush(Box::new(|result| result.unwrap())).unwrap();
        let vote_promised = disk.durable().vote;
        storage.append(vec![record.clone()]).unwrap();
        storage.flush(Box::new(|result| result.unwrap())).unwrap();
        disk.crash(lost);
        (vote_promised, disk.durable().last)
    };
    let good = after(Bugs::default());
    assert_eq!(good, (Some(vote), Some(record.id)));
    assert_eq!(after(Bugs { forgets_votes: true, ..Bugs::default() }), (None, Some(record.id)));
    let hasty = Bugs { acknowledges_before_flush: true, ..Bugs::default() };
    assert_eq!(after(hasty), (None, None));
}

/// A snapshot of an earlier term goes beyond entries that a later leader left undecided.
#[test]
fn a_purge_beyond_an_undecided_end_takes_it_along() {
    let dir = tempfile::tempdir().unwrap();
    for storage in [segments(dir.path()), Disk::default().open(None)] {
        let (mut store, _) = parts(storage);
        let blank = |term, index| Record { id: Id { term, node: 1, index }, body: Body::Blank };
        let append = |store: &Store, records: Vec<Record>| {
            futures::executor::block_on(store.durably(|storage| storage.append(records))).unwrap();
        };
        append(&store, vec![blank(1, 0), blank(1, 1), blank(3, 2)]);
        let upto = Id { term: 1, node: 1, index: 4 };
        let purge = RaftLogStorage::<C>::purge(&mut store, log_id(upto));
        futures::executor::block_on(purge).unwrap();
        let state = store.state().unwrap();
        assert_eq!((state.purged, state.last), (Some(upto), Some(upto)));
        append(&store, vec![blank(4, 5)]);
    }
}
