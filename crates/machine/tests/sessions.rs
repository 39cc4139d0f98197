//! Exactly once: sequence numbers, retries, windows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_machine::Admission;
use althing_protocol::{Kind, Result, limits, sys, v1};
use common::{World, failure, founder, output};
use proptest::prelude::*;

fn put(world: &World, session: u64, sequence: u64, value: &str) -> v1::Envelope {
    world.envelope(&founder(), session, sequence, vec![sys::put("/k", value)])
}

#[test]
fn a_retry_gets_the_recorded_outcome_and_runs_nothing() {
    let mut world = World::new();
    let session = world.open(&founder());
    let first = put(&world, session, 1, "one");
    let outcome = world.apply(&first);
    let second = put(&world, session, 2, "two");
    world.apply(&second);
    assert_eq!(world.admit(&first), Ok(Admission::Decided(outcome.clone())));
    // Even a replay that reaches the log changes nothing.
    let replay = world.apply_all(&first);
    assert_eq!(replay.result.outcomes, outcome);
    assert_eq!(world.value("/k").unwrap(), b"two");
}

#[test]
fn another_instruction_with_a_used_number_is_a_conflict() {
    let mut world = World::new();
    let session = world.open(&founder());
    let envelope = put(&world, session, 1, "one");
    world.apply(&envelope);
    let other = put(&world, session, 1, "two");
    assert_eq!(world.admit(&other).unwrap_err().kind, Kind::Conflict);
    assert_eq!(failure(&world.apply(&other)[0]).kind, Kind::Conflict);
    assert_eq!(world.value("/k").unwrap(), b"one");
}

#[test]
fn a_failed_instruction_uses_up_its_number() {
    let mut world = World::new();
    let session = world.open(&founder());
    let bad = vec![v1::Instruction::new("nothere", "x", Vec::new())];
    let bad = world.envelope(&founder(), session, 1, bad);
    assert_eq!(
        world.admit(&bad).unwrap_err().kind,
        Kind::NotFound,
        "the door proposes no such thing"
    );
    let outcome = world.apply(&bad);
    assert_eq!(failure(&outcome[0]).kind, Kind::NotFound);
    assert_eq!(world.apply(&bad), outcome, "and a retry gets the same");
    let good = put(&world, session, 1, "one");
    assert_eq!(failure(&world.apply(&good)[0]).kind, Kind::Conflict);
}

#[test]
fn numbers_outside_the_window_are_refused() {
    let mut world = World::new();
    let session = world.open(&founder());
    let window = limits::SESSION_WINDOW;
    for (sequence, kind) in [(0, Kind::Invalid), (window + 1, Kind::Invalid)] {
        let envelope = put(&world, session, sequence, "x");
        assert_eq!(failure(&world.apply(&envelope)[0]).kind, kind);
    }
    let far = put(&world, session, window, "far");
    output(&world.apply(&far)[0]);
    // Skipped numbers may still come, until the window has passed them.
    let late = put(&world, session, 1, "late");
    output(&world.apply(&late)[0]);
    let next = put(&world, session, window + 2, "next");
    output(&world.apply(&next)[0]);
    let below = put(&world, session, 2, "below");
    let error = failure(&world.apply(&below)[0]);
    assert_eq!((error.kind, error.message.contains("already decided")), (Kind::Conflict, true));
    assert_eq!(world.value("/k").unwrap(), b"next");
}

#[test]
fn a_session_that_is_not_open_takes_nothing() {
    let mut world = World::new();
    let stray = put(&world, 77, 1, "x");
    assert_eq!(failure(&world.apply(&stray)[0]).kind, Kind::NotFound);
    let session = world.open(&founder());
    let one = put(&world, session, 1, "one");
    world.apply(&one);
    // Closing is the last thing a session does; what follows in the batch is refused.
    let instructions =
        vec![sys::put("/k", "two"), sys::session_close(session), sys::put("/k", "3")];
    let closing = world.envelope(&founder(), session, 2, instructions);
    let outcomes = world.apply(&closing);
    output(&outcomes[0]);
    output(&outcomes[1]);
    assert_eq!(failure(&outcomes[2]).kind, Kind::NotFound);
    assert_eq!(world.value("/k").unwrap(), b"two");
    assert_eq!(failure(&world.apply(&one)[0]).kind, Kind::NotFound, "captured, and useless");
    assert_eq!(world.value("/k").unwrap(), b"two");
}

#[test]
fn session_zero_opens_sessions_and_nothing_else() {
    let mut world = World::new();
    let stray = put(&world, 0, 1, "x");
    assert_eq!(failure(&world.apply(&stray)[0]).kind, Kind::Invalid);
    let session = world.open(&founder());
    let nested = world.envelope(&founder(), session, 1, vec![sys::session_open("x")]);
    assert_eq!(failure(&world.apply(&nested)[0]).kind, Kind::Invalid);
    // The same opening again gives the same session.
    let open = world.envelope(&founder(), 0, 1, vec![sys::session_open("test")]);
    let again = world.apply(&open);
    assert_eq!(again[0].index, 1 + 1, "decided when it was first applied");
    let (next, sessions) = world.machine.session_list(&world.view(), &founder().public()).unwrap();
    assert_eq!((next, sessions.len()), (2, 1));
}

#[test]
fn the_least_recently_used_session_makes_way() {
    let mut world = World::new();
    let first = world.open(&founder());
    let second = world.open(&founder());
    for _ in 2..limits::SESSIONS_PER_AUTHOR_MAX {
        world.open(&founder());
    }
    let used = put(&world, first, 1, "used");
    output(&world.apply(&used)[0]);
    world.open(&founder());
    let sessions = world.machine.session_list(&world.view(), &founder().public()).unwrap().1;
    assert_eq!(sessions.len(), limits::SESSIONS_PER_AUTHOR_MAX);
    assert!(sessions.iter().any(|open| open.session == first));
    assert!(sessions.iter().all(|open| open.session != second));
}

#[test]
fn wrong_realm_and_wrong_signature() {
    let mut world = World::new();
    let session = world.open(&founder());
    let good = put(&world, session, 1, "x");
    let mut forged = good.clone();
    forged.signature[5] ^= 1;
    assert_eq!(failure(&world.apply(&forged)[0]).kind, Kind::Denied);
    world.realm.0[0] ^= 1;
    let elsewhere = put(&world, session, 1, "x");
    assert_eq!(world.admit(&elsewhere).unwrap_err().kind, Kind::Invalid);
    let error = failure(&world.apply(&elsewhere)[0]);
    assert!(error.message.contains("realm"), "{error}");
    output(&world.apply(&good)[0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is sent, in whatever order and however often: each number takes effect at most
    /// once, and all its outcomes are equal. The door agrees with apply.
    #[test]
    fn each_number_takes_effect_once(sent in proptest::collection::vec((1_u64..40, 1_usize..4), 1..60)) {
        let mut world = World::new();
        let session = world.open(&founder());
        let mut decided = std::collections::BTreeMap::new();
        for (sequence, count) in sent {
            let instructions = (0..count as u64)
                .map(|n| sys::put(format!("/n/{}", sequence + n), "x"))
                .collect();
            let envelope = world.envelope(&founder(), session, sequence, instructions);
            let door: Result<Admission> = world.admit(&envelope);
            let outcomes = world.apply(&envelope);
            let all_old = (0..count as u64).all(|n| decided.contains_key(&(sequence + n)));
            prop_assert_eq!(matches!(door, Ok(Admission::Decided(_))), all_old);
            for (number, outcome) in (sequence..).zip(outcomes) {
                let first = decided.entry(number).or_insert_with(|| outcome.clone());
                prop_assert_eq!(&*first, &outcome);
                let stored = world.machine.kv_get(&world.view(), format!("/n/{number}").as_bytes());
                let stored = stored.unwrap().unwrap();
                let pair = althing_machine::sys::decode_pair(&stored).unwrap();
                prop_assert_eq!((pair.create, pair.modify), (first.index, first.index));
            }
        }
    }
}
