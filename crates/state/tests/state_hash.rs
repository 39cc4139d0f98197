//! The state hash depends on the pairs, and on nothing that led to them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::Hash;
use althing_state::{Key, Writes};
use common::{Model, Numbers};
use proptest::prelude::*;

type Entries = Vec<Vec<(Key, Option<Vec<u8>>)>>;

/// The hash after all entries, when `numbers` decide about publishing and flushing.
fn hash_of(entries: &Entries, numbers: &mut Numbers) -> Hash {
    let store = common::memory(Writes::new());
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    for entry in entries {
        common::entry(&mut tip, entry);
        match numbers.below(4) {
            0 => tip.publish(),
            1 => drop(tip.freeze()),
            2 => drop(flusher.flush().unwrap()),
            _ => {}
        }
    }
    let hash = tip.view().state_hash().unwrap();
    flusher.flush().unwrap();
    tip.freeze();
    flusher.flush().unwrap();
    assert_eq!(store.state_hash_durable(), hash, "before and after the last flush");
    assert_eq!(store.check().unwrap().state_hash, hash, "recomputed from the rows");
    hash
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn flushes_and_order_do_not_matter(seed: u64, entries in 1..25_u64) {
        let mut numbers = Numbers(seed);
        let entries: Entries =
            (0..entries).map(|_| common::random_writes(&mut numbers)).collect();
        let mut model = Model::new();
        for entry in &entries {
            common::apply_to_model(&mut model, entry);
        }
        let hash = common::hash_from_scratch(&model);
        prop_assert_eq!(hash_of(&entries, &mut numbers), hash);
        prop_assert_eq!(hash_of(&entries, &mut numbers), hash);

        // The same pairs, each written once, last first.
        let backwards = model.iter().rev();
        let once = backwards.map(|(key, value)| vec![(key.clone(), Some(value.clone()))]);
        prop_assert_eq!(hash_of(&once.collect(), &mut numbers), hash);
    }
}

#[test]
fn results_and_positions_are_not_hashed() {
    let store = common::memory(Writes::new());
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    let empty = store.state_hash_durable();
    common::entry(&mut tip, &[]);
    assert!(tip.freeze());
    let flushed = flusher.flush().unwrap().unwrap();
    assert_eq!((flushed.applied.index, flushed.state_hash), (1, empty));
}
