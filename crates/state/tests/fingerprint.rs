//! The chains after each entry are kept beside its result, wherever that lies.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_state::{Applied, Fingerprint, Store, Writes};

fn expected(index: u64) -> Option<Fingerprint> {
    Some(Fingerprint::from(&common::applied(index)))
}

/// Ends an entry of the consensus engine: a position, and no result.
fn blank(tip: &mut althing_state::Tip) {
    let applied = tip.applied().clone();
    tip.set_applied(Applied { index: applied.index + 1, ..applied });
}

#[test]
fn from_disk_from_what_is_flushed_and_from_memory() {
    let store = common::memory(Writes::new());
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    for index in 1..=9 {
        common::entry(&mut tip, &[]);
        match index {
            3 => {
                assert!(tip.freeze());
                flusher.flush().unwrap();
            }
            6 => assert!(tip.freeze()),
            _ => {}
        }
    }
    tip.publish();
    let view = store.view();
    for index in 1..=9 {
        assert_eq!(view.fingerprint(index).unwrap(), expected(index), "{index}");
        assert_eq!(view.result(index).unwrap(), Some(common::result(index)));
    }
    assert_eq!(view.fingerprint(10).unwrap(), None, "not applied");
    assert_eq!(view.fingerprint(0).unwrap(), None, "no result is kept up to there");
}

#[test]
fn an_entry_without_a_result_moves_no_chain_on() {
    let store: Store = common::memory(Writes::new());
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    blank(&mut tip);
    blank(&mut tip);
    common::entry(&mut tip, &[]);
    blank(&mut tip);
    for _ in 0..2 {
        let view = tip.view();
        let found = [1, 2, 3, 4, 5].map(|index| view.fingerprint(index).unwrap());
        assert_eq!(found, [None, None, expected(3), expected(3), None]);
        if tip.freeze() {
            flusher.flush().unwrap();
        }
        tip.publish();
    }
}

#[test]
fn what_is_pruned_is_unknown() {
    let store = common::memory(Writes::new());
    let (mut tip, mut flusher) = (store.tip(), store.flusher());
    for _ in 1..=6 {
        common::entry(&mut tip, &[]);
    }
    store.prune_results(4);
    assert!(tip.freeze());
    flusher.flush().unwrap();
    let view = store.view();
    let found = [2, 3, 4, 6].map(|index| view.fingerprint(index).unwrap());
    assert_eq!(found, [None, None, expected(4), expected(6)]);
}
