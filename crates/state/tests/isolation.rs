//! Readers see whole batches, one writer sees its own, and views live as long as they are let.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_state::{FlushPolicy, InMemoryBackend, Options, Scope, StateError, Store};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

#[test]
fn a_reader_sees_nothing_of_a_batch_before_it_is_published() {
    let store = common::memory(Default::default());
    let mut tip = store.tip();
    let before = store.view();
    let key = common::key("k");
    common::entry(&mut tip, &[(key.clone(), Some(b"1".to_vec()))]);
    assert_eq!(tip.view().get(&key).unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(store.view().get(&key).unwrap(), None);
    tip.publish();
    assert_eq!(store.view().get(&key).unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(before.get(&key).unwrap(), None);
    assert_eq!((before.applied().index, store.view().applied().index), (0, 1));
}

/// Money moves between two accounts while a third thread flushes: no view ever misses any.
#[test]
fn views_are_consistent_while_all_threads_run() {
    let options = Options {
        flush: FlushPolicy { entries_max: 4, ..FlushPolicy::default() },
        ..Options::default()
    };
    let mut writes = althing_state::Writes::new();
    let (a, b) = (common::key("a"), common::key("b"));
    writes.put(a.clone(), 1_000_u64.to_le_bytes());
    writes.put(b.clone(), 1_000_u64.to_le_bytes());
    let store =
        Store::create_with_backend(InMemoryBackend::new(), common::GENESIS, writes, &options)
            .unwrap();
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    let done = AtomicBool::new(false);
    let number = |value: Option<althing_state::Value>| {
        u64::from_le_bytes(value.unwrap().as_ref().try_into().unwrap())
    };

    thread::scope(|threads| {
        threads.spawn(|| {
            for round in 0..3_000 {
                let scope = Scope::new(tip.view());
                let (from, to) = (number(scope.get(&a).unwrap()), number(scope.get(&b).unwrap()));
                drop(scope);
                let amount = round % (from + 1);
                let own = common::key(&format!("own {}", round % 7));
                common::entry(
                    &mut tip,
                    &[
                        (a.clone(), Some((from - amount).to_le_bytes().to_vec())),
                        (b.clone(), Some((to + amount).to_le_bytes().to_vec())),
                        (own, (round % 3 > 0).then(|| vec![1])),
                    ],
                );
                match tip.freeze_due() {
                    true => drop(tip.freeze()),
                    false => tip.publish(),
                }
            }
            done.store(true, Ordering::Release);
        });
        threads.spawn(|| {
            while !done.load(Ordering::Acquire) {
                flusher.flush().unwrap();
                thread::yield_now();
            }
        });
        threads.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                let view = store.view();
                assert!(view.applied().index >= last, "views go forward");
                last = view.applied().index;
                assert_eq!(*view.applied(), common::applied(last));
                let sum = number(view.get(&a).unwrap()) + number(view.get(&b).unwrap());
                assert_eq!(sum, 2_000);
            }
        });
    });
    assert_eq!(store.view().applied().index, 3_000);
    assert!(store.durable().index > 0, "the flusher never ran");
    store.check().unwrap();
}

#[test]
fn an_old_view_expires_and_the_newest_two_generations_do_not() {
    let store = common::memory(Default::default());
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    let key = common::key("k");
    let mut views = vec![store.view()];
    for i in 0..4_u8 {
        common::entry(&mut tip, &[(key.clone(), Some(vec![i]))]);
        assert!(tip.freeze());
        flusher.flush().unwrap().unwrap();
        views.push(store.view());
    }
    assert_eq!(views.iter().map(|view| view.generation()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(store.generations(), (0, 4));
    assert_eq!(store.expire_views(2), 2);
    assert_eq!(store.generations(), (2, 4));
    assert!(matches!(views[1].get(&key), Err(StateError::ViewExpired(1))));
    assert_eq!(store.expire_views(u64::MAX), 1);
    assert_eq!(store.expire_views(u64::MAX), 0, "once is enough");
    assert_eq!(views[3].get(&key).unwrap().as_deref(), Some(&[2][..]));
    assert_eq!(tip.view().get(&key).unwrap().as_deref(), Some(&[3][..]));
    views.clear();
    drop(tip);
    assert_eq!(store.generations(), (4, 4));
}

#[test]
fn the_policy_says_when_to_freeze_and_when_to_wait() {
    let flush = FlushPolicy { entries_max: 3, bytes_max: 1_000, instructions_max: 5 };
    let options = Options { flush, ..Options::default() };
    let backend = InMemoryBackend::new();
    let store =
        Store::create_with_backend(backend, common::GENESIS, Default::default(), &options).unwrap();
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    let write = |i: u64, length| (common::key(&i.to_string()), Some(vec![0; length]));

    common::entry(&mut tip, &[write(0, 1), write(1, 1)]);
    assert!(!tip.freeze_due());
    common::entry(&mut tip, &[write(1, 1)]);
    assert!(!tip.freeze_due(), "a key written twice is one entry");
    common::entry(&mut tip, &[write(2, 1)]);
    assert!(tip.freeze_due() && !tip.must_wait());
    assert!(tip.freeze());
    assert!(!tip.freeze_due());

    common::entry(&mut tip, &[write(0, 2_000)]);
    assert!(!tip.freeze_due(), "the flusher has work");
    assert!(tip.must_wait(), "twice the bytes wait behind it");
    assert!(!tip.freeze());
    flusher.flush().unwrap().unwrap();
    assert!(tip.freeze_due() && !tip.must_wait());
    common::entry(&mut tip, &[write(0, 1)]);
    assert!(!tip.freeze_due(), "the large value is gone again");
    tip.add_instructions(3);
    assert!(tip.freeze_due(), "two entries and three more instructions");
}

#[test]
#[should_panic(expected = "has a tip already")]
fn there_is_one_tip() {
    let store = common::memory(Default::default());
    let _first = store.tip();
    store.tip();
}

#[test]
#[should_panic(expected = "writes without a position")]
fn an_entry_is_published_whole() {
    let store = common::memory(Default::default());
    let mut tip = store.tip();
    tip.record(1, result());
    tip.publish();
}

fn result() -> Vec<u8> {
    common::result(1)
}
