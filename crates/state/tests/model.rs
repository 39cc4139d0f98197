//! Any sequence of entries, publishes, freezes, flushes and restarts is a plain map.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_state::{Flusher, Key, Options, Order, Range, Scope, Store, Tip, Value, View};
use common::{Model, disk::Disk};
use proptest::{collection::vec, prelude::*};
use std::ops::Bound;

const KEYSPACES: [&str; 3] = ["a", "a-", "b"];

type Write = (usize, Vec<u8>, Option<Vec<u8>>);

#[derive(Clone, Debug)]
enum Step {
    Entry(Vec<Write>),
    /// An instruction that fails: its writes must not be seen.
    Dropped(Vec<Write>),
    Publish,
    Freeze,
    Flush,
    Keep,
    Restart,
    Scan(Scan),
}

#[derive(Clone, Debug)]
struct Scan {
    keyspace: usize,
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
    order: Order,
    prefix: Vec<u8>,
    limit_pairs: usize,
    limit_bytes: usize,
    /// What the scope that scans has written.
    own: Vec<Write>,
}

/// Few and short, so that they meet; with the bytes at the edges of order.
fn a_key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0), Just(b'a'), Just(b'b'), Just(255)], 0..4)
}

fn a_write() -> impl Strategy<Value = Write> {
    (0..KEYSPACES.len(), a_key(), proptest::option::weighted(0.7, vec(any::<u8>(), 0..60)))
}

fn an_end() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        Just(Bound::Unbounded),
        a_key().prop_map(Bound::Included),
        a_key().prop_map(Bound::Excluded),
    ]
}

fn a_scan() -> impl Strategy<Value = Scan> {
    let ends = (an_end(), an_end());
    let order = prop_oneof![Just(Order::Ascending), Just(Order::Descending)];
    let prefix = prop_oneof![Just(Vec::new()), a_key()];
    let limit_pairs = prop_oneof![Just(usize::MAX), 0..6_usize];
    let limit_bytes = prop_oneof![Just(usize::MAX), 0..200_usize];
    let own = vec(a_write(), 0..4);
    (0..KEYSPACES.len(), ends, order, prefix, limit_pairs, limit_bytes, own).prop_map(
        |(keyspace, (start, end), order, prefix, limit_pairs, limit_bytes, own)| Scan {
            keyspace,
            start,
            end,
            order,
            prefix,
            limit_pairs,
            limit_bytes,
            own,
        },
    )
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(a_write(), 0..6).prop_map(Step::Entry),
        1 => vec(a_write(), 1..6).prop_map(Step::Dropped),
        2 => Just(Step::Publish),
        2 => Just(Step::Freeze),
        2 => Just(Step::Flush),
        1 => Just(Step::Keep),
        1 => Just(Step::Restart),
        4 => a_scan().prop_map(Step::Scan),
    ]
}

fn writes(writes: &[Write]) -> Vec<(Key, Option<Vec<u8>>)> {
    let named =
        |(keyspace, key, value): &Write| (Key::new(KEYSPACES[*keyspace], key), value.clone());
    writes.iter().map(named).collect()
}

/// A store, the map it should be, and how much of it is published, frozen and durable.
struct Pair {
    disk: Disk,
    open: Option<(Store, Tip, Flusher)>,
    head: (u64, Model),
    published: (u64, Model),
    frozen: Option<(u64, Model)>,
    durable: (u64, Model),
    kept: Vec<(View, u64, Model)>,
}

impl Pair {
    fn new() -> Self {
        let disk = Disk::default();
        let options = Options::default();
        let store =
            Store::create_with_backend(disk.clone(), common::GENESIS, Default::default(), &options);
        let store = store.unwrap();
        let (tip, flusher) = (store.tip(), store.flusher());
        let start = (0, Model::new());
        Self {
            disk,
            open: Some((store, tip, flusher)),
            head: start.clone(),
            published: start.clone(),
            frozen: None,
            durable: start,
            kept: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let (_, tip, flusher) = self.open.as_mut().unwrap();
        match step {
            Step::Entry(entry) => {
                let entry = writes(entry);
                common::entry(tip, &entry);
                self.head.0 += 1;
                common::apply_to_model(&mut self.head.1, &entry);
            }
            Step::Dropped(entry) => {
                let mut scope = Scope::new(tip.view());
                for (key, value) in writes(entry) {
                    scope.put(key, value.unwrap_or_default()).unwrap();
                }
            }
            Step::Publish => {
                tip.publish();
                self.published = self.head.clone();
            }
            Step::Freeze => {
                let expected = self.frozen.is_none() && self.head.0 > self.durable.0;
                assert_eq!(tip.freeze(), expected);
                self.published = self.head.clone();
                if expected {
                    self.frozen = Some(self.head.clone());
                }
            }
            Step::Flush => {
                let flushed = flusher.flush().unwrap();
                assert_eq!(flushed.is_some(), self.frozen.is_some());
                if let (Some(flushed), Some(frozen)) = (flushed, self.frozen.take()) {
                    assert_eq!(flushed.applied, common::applied(frozen.0));
                    assert_eq!(flushed.state_hash, common::hash_from_scratch(&frozen.1));
                    self.durable = frozen;
                }
            }
            Step::Keep => self.kept.push((tip.view(), self.head.0, self.head.1.clone())),
            Step::Restart => self.restart(),
            Step::Scan(scan) => self.scan(scan),
        }
    }

    /// What is not durable is gone.
    fn restart(&mut self) {
        self.kept.clear();
        self.open = None;
        let store = Store::open_with_backend(self.disk.clone(), &Options::default()).unwrap();
        let (tip, flusher) = (store.tip(), store.flusher());
        self.open = Some((store, tip, flusher));
        self.frozen = None;
        self.head = self.durable.clone();
        self.published = self.durable.clone();
    }

    fn scan(&self, scan: &Scan) {
        let (_, tip, _) = self.open.as_ref().unwrap();
        let keyspace = KEYSPACES[scan.keyspace];
        let own = writes(&scan.own);
        let mut scope = Scope::new(tip.view());
        for (key, value) in own.clone() {
            match value {
                Some(value) => scope.put(key, value).unwrap(),
                None => scope.delete(key).unwrap(),
            }
        }
        let mut model = self.head.1.clone();
        common::apply_to_model(&mut model, &own);

        let start = scan.start.as_ref().map(Vec::as_slice);
        let end = scan.end.as_ref().map(Vec::as_slice);
        let range = Range { prefix: &scan.prefix, start, end, order: scan.order };
        let page = scope.range(keyspace, range, scan.limit_pairs, scan.limit_bytes).unwrap();
        let after_start = |key: &[u8]| match start {
            Bound::Included(start) => key >= start,
            Bound::Excluded(start) => key > start,
            Bound::Unbounded => true,
        };
        let before_end = |key: &[u8]| match end {
            Bound::Included(end) => key <= end,
            Bound::Excluded(end) => key < end,
            Bound::Unbounded => true,
        };
        let mut all: Vec<_> = model
            .iter()
            .filter(|(key, _)| key.keyspace() == keyspace)
            .map(|(key, value)| (key.key().to_vec(), Value::from(&value[..])))
            .filter(|(key, _)| key.starts_with(&scan.prefix))
            .filter(|(key, _)| after_start(key) && before_end(key))
            .collect();
        if scan.order == Order::Descending {
            all.reverse();
        }
        let mut bytes = 0;
        let fits = |(key, value): &&(Vec<u8>, Value)| {
            bytes += key.len() + value.len();
            bytes <= scan.limit_bytes
        };
        let fitting = all.iter().take_while(fits).count().max(1);
        let expected = &all[..fitting.min(scan.limit_pairs).min(all.len())];
        assert_eq!(page.pairs, expected);
        assert_eq!(page.more, expected.len() < all.len());
    }

    fn check(&self) {
        let (store, tip, _) = self.open.as_ref().unwrap();
        for (view, (index, model)) in [(tip.view(), &self.head), (store.view(), &self.published)] {
            check_view(&view, *index, model);
        }
        for (view, index, model) in &self.kept {
            check_view(view, *index, model);
        }
        assert_eq!(store.durable(), common::applied(self.durable.0));
    }

    fn finish(self) {
        let (store, tip, _) = self.open.as_ref().unwrap();
        assert_eq!(tip.view().state_hash().unwrap(), common::hash_from_scratch(&self.head.1));
        let report = store.check().unwrap();
        assert_eq!(report.pairs, self.durable.1.len() as u64);
        assert_eq!(report.state_hash, store.state_hash_durable());
    }
}

fn check_view(view: &View, index: u64, model: &Model) {
    assert_eq!(*view.applied(), common::applied(index));
    common::assert_holds(view, model, &KEYSPACES);
    for index in 1..=index {
        assert_eq!(view.result(index).unwrap(), Some(common::result(index)));
    }
    assert_eq!(view.result(index + 1).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_map(steps in vec(a_step(), 0..40)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step);
            pair.check();
        }
        pair.finish();
    }
}
