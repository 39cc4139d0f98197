//! What a scope remembers of stretches without keys never changes what a scan gives.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_state::{InMemoryBackend, Key, Options, Order, Range, Savepoint, Scope, Store};
use proptest::{collection::vec, prelude::*};
use std::{collections::BTreeMap, ops::Bound};

const KEYS: u16 = 400;

#[derive(Clone, Debug)]
enum Step {
    Put(u16),
    /// Deletes so many keys from one on.
    Delete(u16, u16),
    Savepoint,
    Rollback,
    Release,
    Scan(Option<u16>, Option<u16>, bool, usize),
}

fn a_step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    prop_oneof![
        3 => key.clone().prop_map(Step::Put),
        3 => (key.clone(), 1..120_u16).prop_map(|(from, count)| Step::Delete(from, count)),
        1 => Just(Step::Savepoint),
        1 => Just(Step::Rollback),
        1 => Just(Step::Release),
        8 => (
            proptest::option::of(key.clone()),
            proptest::option::of(key),
            any::<bool>(),
            prop_oneof![Just(1), Just(3), Just(1_000)],
        )
            .prop_map(|(after, before, rev, limit)| Step::Scan(after, before, rev, limit)),
    ]
}

fn key(n: u16) -> Vec<u8> {
    n.to_be_bytes().to_vec()
}

/// A state of all keys, those of every third on disk, the rest in memory; some of them deleted there.
fn scope() -> (Scope, BTreeMap<Vec<u8>, Vec<u8>>) {
    let options = Options::default();
    let writes = Default::default();
    let backend = InMemoryBackend::new();
    let store = Store::create_with_backend(backend, common::GENESIS, writes, &options).unwrap();
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    let named = |n: u16| Key::new("test", &key(n));
    let disk: Vec<_> = (0..KEYS).step_by(3).map(|n| (named(n), Some(vec![1]))).collect();
    common::entry(&mut tip, &disk);
    assert!(tip.freeze());
    flusher.flush().unwrap();
    let fresh = (0..KEYS).filter(|n| n % 3 != 0 || (100..160).contains(n));
    let fresh: Vec<_> =
        fresh.map(|n| (named(n), (!(100..160).contains(&n)).then(|| vec![2]))).collect();
    common::entry(&mut tip, &fresh);
    let mut model = BTreeMap::new();
    for (key, value) in disk.into_iter().chain(fresh) {
        match value {
            Some(value) => model.insert(key.key().to_vec(), value),
            None => model.remove(key.key()),
        };
    }
    (Scope::new(tip.view()), model)
}

fn check(steps: &[Step]) {
    let (mut scope, mut model) = scope();
    let mut saved: Vec<(Savepoint, BTreeMap<_, _>)> = Vec::new();
    for step in steps {
        match step {
            Step::Put(n) => {
                scope.put(Key::new("test", &key(*n)), vec![3]).unwrap();
                model.insert(key(*n), vec![3]);
            }
            Step::Delete(from, count) => {
                for n in *from..from.saturating_add(*count).min(KEYS) {
                    scope.delete(Key::new("test", &key(n))).unwrap();
                    model.remove(&key(n));
                }
            }
            Step::Savepoint => saved.push((scope.savepoint(), model.clone())),
            Step::Rollback => {
                if let Some((savepoint, before)) = saved.pop() {
                    scope.rollback(savepoint);
                    model = before;
                }
            }
            Step::Release => {
                if let Some((savepoint, _)) = saved.pop() {
                    scope.release(savepoint);
                }
            }
            Step::Scan(after, before, rev, limit) => {
                let (after, before) = (after.map(key), before.map(key));
                let range = Range {
                    prefix: b"",
                    start: after.as_deref().map_or(Bound::Unbounded, Bound::Excluded),
                    end: before.as_deref().map_or(Bound::Unbounded, Bound::Excluded),
                    order: if *rev { Order::Descending } else { Order::Ascending },
                };
                let page = scope.range("test", range, *limit, usize::MAX).unwrap();
                let mut expected: Vec<_> = model
                    .iter()
                    .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
                    .filter(|(key, _)| before.as_ref().is_none_or(|before| *key < before))
                    .map(|(key, value)| (key.clone(), value.as_slice().into()))
                    .collect();
                if *rev {
                    expected.reverse();
                }
                assert_eq!(page.more, expected.len() > *limit);
                expected.truncate(*limit);
                assert_eq!(page.pairs, expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn scans_are_those_of_a_map(steps in vec(a_step(), 0..80)) {
        check(&steps);
    }
}

/// Each of these scans walks over all deleted keys when nothing is remembered: thousands of millions
/// of steps, which no test would see the end of.
#[test]
fn a_stretch_of_deleted_keys_is_walked_once() {
    const DELETED: u32 = 60_000;
    let (mut scope, _) = scope();
    let named = |n: u32| Key::new("many", &n.to_be_bytes());
    for n in 0..=DELETED + 1 {
        scope.put(named(n), vec![1]).unwrap();
    }
    for n in 1..=DELETED {
        scope.delete(named(n)).unwrap();
    }
    let first_two = |scope: &Scope, order| {
        let range = Range { order, ..Range::of_prefix(b"") };
        scope.range("many", range, 2, usize::MAX).unwrap().pairs.len()
    };
    for n in 0..20_000_u32 {
        assert_eq!(first_two(&scope, Order::Ascending), 2);
        assert_eq!(first_two(&scope, Order::Descending), 2);
        // To write in the middle, and to undo it, makes nothing forgotten but that key.
        let savepoint = scope.savepoint();
        scope.put(named(1 + n % DELETED), vec![2]).unwrap();
        match n % 2 {
            0 => scope.rollback(savepoint),
            _ => {
                scope.delete(named(1 + n % DELETED)).unwrap();
                scope.release(savepoint);
            }
        }
    }
}
