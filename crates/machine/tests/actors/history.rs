//! The history of an actor: what it proves, and the way back.

use crate::{
    account::refusing,
    bank::{Bank, PROGRAM},
    common::output,
};
use althing_protocol::{Error, Hash, Kind, actor, limits, next_actor_chain, v1};
use prost::Message;

fn rollback(bank: &mut Bank, to: u64, state: Option<&[u8]>) -> Result<v1::ActorInfo, Error> {
    let args = v1::ActorRollback { actor: "a".into(), to, state: state.map(Vec::from) };
    let outcome = bank.one(actor::rollback(&args));
    match outcome.result.as_ref().unwrap() {
        v1::outcome::Result::Output(bytes) => {
            Ok(v1::ActorDone::decode(&bytes[..]).unwrap().info.unwrap())
        }
        v1::outcome::Result::Failure(failure) => Err(failure.into()),
    }
}

/// Messages that are taken and messages that are not, with a rollback between them.
fn eventful() -> Bank {
    let mut bank = Bank::new(&["a", "b"]);
    bank.send(&[("a", "+1"), ("a", "?"), ("a", "-1 b"), ("a", "."), ("a", "l")]);
    rollback(&mut bank, 2, None).unwrap();
    bank.send(&[("a", "+7")]);
    bank
}

#[test]
fn is_a_chain() {
    let bank = eventful();
    let steps = bank.steps("a");
    for (one, next) in steps.iter().zip(&steps[1..]) {
        let previous = Hash::try_from(one.previous.as_slice()).unwrap();
        assert_eq!(next_actor_chain(&previous, &one.encode_to_vec()).0, next.previous[..]);
        assert_eq!(one.after, next.before);
    }
    assert_eq!(steps.last().unwrap().after, bank.info("a").state_hash);
    bank.prove("a");
    bank.prove("b");
}

#[test]
fn goes_back_and_keeps_both_branches() {
    let mut bank = Bank::new(&["a"]);
    bank.send(&[("a", "+1"), ("a", "+2")]);
    let info = rollback(&mut bank, 2, None).unwrap();
    assert_eq!((bank.state("a").as_str(), info.step), ("101", 4));
    bank.send(&[("a", "+5")]);
    assert_eq!(bank.state("a"), "106");
    rollback(&mut bank, 3, None).unwrap();
    assert_eq!(bank.state("a"), "103");
    assert_eq!(bank.got("a"), ["+1", "+2", "+5"]);
    let back = bank.steps("a")[5].kind.clone();
    let author = crate::common::founder().public().0.to_vec();
    assert_eq!(back, Some(v1::actor_step::Kind::Back(v1::ActorBack { to: 3, author })));
    bank.prove("a");
}

#[test]
fn a_state_that_is_not_kept_is_given() {
    let mut bank = Bank::new(&["a"]);
    let kept = usize::try_from(limits::ACTOR_STATES_KEPT).unwrap();
    bank.send(&vec![("a", "+1"); kept + 4]);
    let info = bank.info("a");
    assert_eq!(info.kept.len(), kept);
    assert_eq!(*info.kept.last().unwrap(), info.step);
    let to = info.kept[0] - 1;
    let error = rollback(&mut bank, to, None).unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.message.contains("is not kept any more"), "{error}");
    let remedy = format!("althing actor replay a --from 1 --to {to}");
    assert!(error.message.contains(&remedy), "{error}");
    let error = rollback(&mut bank, to, Some(b"999")).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("its hash is not the one"), "{error}");
    // Where that command gets it from.
    let replayed = bank.replay("a", 1, Some(to), None).unwrap();
    assert_eq!((replayed.step, replayed.difference), (to, None));
    rollback(&mut bank, to, Some(&replayed.state)).unwrap();
    assert_eq!(bank.state("a"), (100 + to - 1).to_string());
    assert_eq!(rollback(&mut bank, to, None).unwrap_err().kind, Kind::NotFound);
    rollback(&mut bank, info.kept[1], None).unwrap();
    bank.prove("a");
}

#[test]
fn what_nothing_changed_keeps_the_state_in_force() {
    let mut bank = Bank::new(&["a"]);
    for _ in 0..3 {
        bank.send(&[("a", "."); 60]);
    }
    let info = bank.info("a");
    assert_eq!((info.step, info.state_step, &info.kept[..]), (181, 1, &[1][..]));
    bank.send(&[("a", "+1")]);
    rollback(&mut bank, 180, None).unwrap();
    assert_eq!(bank.state("a"), "100");
    bank.prove("a");
}

#[test]
fn there_is_no_way_to_a_step_that_is_not_there() {
    let mut bank = Bank::new(&["a"]);
    assert_eq!(rollback(&mut bank, 0, None).unwrap_err().kind, Kind::Invalid);
    let error = rollback(&mut bank, 2, None).unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.message.contains("step 2 of actor a"), "{error}");
}

#[test]
fn the_active_version_must_agree_to_a_state_that_comes_back() {
    let mut bank = Bank::new(&["a"]);
    bank.send(&[("a", "+7"), ("a", "+1")]);
    bank.deploy(PROGRAM, &refusing(107), "2");
    let paused = rollback(&mut bank, 2, None).unwrap_err();
    assert_eq!(paused.kind, Kind::Conflict);
    bank.settle();
    let info = bank.info("a");
    let error = rollback(&mut bank, 2, None).unwrap_err();
    assert_eq!(error.kind, Kind::ContractViolation);
    assert!(error.message.contains("not that number"), "{error}");
    assert_eq!(bank.info("a"), info);
    rollback(&mut bank, 1, None).unwrap();
    assert_eq!(bank.state("a"), "100");
    bank.prove("a");
}

#[test]
fn is_replayed_in_parts() {
    let mut bank = eventful();
    let whole = bank.replay("a", 1, None, None).unwrap();
    for at in 2..=bank.info("a").step {
        let first = bank.replay("a", 1, Some(at - 1), None).unwrap();
        for state in [None, Some(&*first.state)] {
            let second = bank.replay("a", at, None, state).unwrap();
            assert_eq!((second.difference, second.next), (None, None));
            assert_eq!(first.steps + second.steps, whole.steps);
            assert_eq!(second.state, whole.state);
        }
        assert_eq!(bank.replay("a", at, None, Some(b"1")).unwrap_err().kind, Kind::Invalid);
    }
    assert_eq!(bank.replay("a", 0, None, None).unwrap_err().kind, Kind::NotFound);
    assert_eq!(bank.replay("a", 1, Some(99), None).unwrap_err().kind, Kind::NotFound);
    let error = bank.replay("a", 3, Some(2), None).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("from step 3 is behind to step 2"), "{error}");
    bank.send(&[("a", "+1"); 250]);
    while bank.info("a").step <= limits::ACTOR_REPLAY_STEPS_MAX as u64 {
        bank.send(&[("a", "."); 250]);
        bank.settle();
    }
    let first = bank.replay("a", 1, None, None).unwrap();
    // Two of them were run for the way back once more.
    let next = limits::ACTOR_REPLAY_STEPS_MAX as u64 - 1;
    assert_eq!((first.next, first.difference), (Some(next), None));
    let rest = bank.replay("a", next, None, Some(&first.state)).unwrap();
    assert_eq!((rest.next, rest.difference, rest.step), (None, None, bank.info("a").step));
}

/// A state that came back is not kept for ever: its own steps give it once more, those of the ways back that
/// lead there.
#[test]
fn is_replayed_over_old_rollbacks() {
    let mut bank = eventful();
    rollback(&mut bank, 1, None).unwrap();
    rollback(&mut bank, 8, None).unwrap();
    // Back to a way back.
    rollback(&mut bank, 9, None).unwrap();
    assert_eq!(bank.state("a"), "100");
    bank.send(&[("a", "+1"); 60]);
    assert!(bank.info("a").kept[0] > 11);
    bank.prove("a");
    let machine = &bank.world.machine;
    let state = |step| machine.actor_state(&bank.world.view(), "a", Some(step)).unwrap().state;
    assert_eq!([9, 10, 11].map(state), [const { Err(1) }; 3], "from where they are computed");
    let then = bank.replay("a", 1, Some(10), None).unwrap();
    assert_eq!((&*then.state, then.difference), (&b"108"[..], None));
    let rest = bank.replay("a", 11, None, Some(&then.state)).unwrap();
    assert_eq!((rest.difference, rest.step), (None, bank.info("a").step));
}

/// There and back, without end: one state of the ring after the other.
#[test]
fn ways_back_store_no_more_states_than_messages() {
    let mut bank = Bank::new(&["a"]);
    bank.send(&[("a", "+1")]);
    let stored = |bank: &Bank| crate::keeper::count(&bank.world, "actor.state") as u64;
    for to in [2, 2, 2] {
        rollback(&mut bank, to, None).unwrap();
    }
    let info = bank.info("a");
    assert_eq!((info.step, info.state_step, stored(&bank)), (5, 2, 2), "that in force is stored");
    for n in 0..=limits::ACTOR_STATES_KEPT {
        let state = if n % 2 == 0 { "100" } else { "101" };
        rollback(&mut bank, 1 + n % 2, Some(state.as_bytes())).unwrap();
        assert_eq!(bank.state("a"), state);
    }
    assert_eq!(stored(&bank), limits::ACTOR_STATES_KEPT);
    assert_eq!(bank.info("a").kept.len() as u64, limits::ACTOR_STATES_KEPT);
    bank.prove("a");
}

#[test]
fn a_way_back_to_what_takes_too_long_is_passed_over() {
    let mut bank = Bank::new(&["a"]);
    let most = limits::ACTOR_REPLAY_STEPS_MAX as u64;
    while bank.info("a").step < most + 100 {
        bank.send(&[("a", "+1"); 250]);
        bank.settle();
    }
    let to = bank.info("a").step - 50;
    let state = (100 + to - 1).to_string();
    rollback(&mut bank, to, Some(state.as_bytes())).unwrap();
    let back = bank.info("a").step;
    bank.send(&[("a", "+1"); 40]);
    let error = bank.replay("a", back, None, Some(bank_state(back).as_bytes())).unwrap_err();
    let from = bank.info("a").kept[0] + 1;
    for words in [&format!("came back in step {back}"), &format!("with --from {from}")] {
        assert!(error.message.contains(words), "{error}");
    }
    let rest = bank.replay("a", from, None, None).unwrap();
    assert_eq!((rest.difference, rest.step), (None, bank.info("a").step));
    // Or it is given, as the replay of the steps that made it gives it.
    let rest = bank.replay("a", back + 1, None, Some(state.as_bytes())).unwrap();
    assert_eq!((rest.difference, rest.step), (None, bank.info("a").step));
}

/// The state before `step` of an actor that took 1 in each.
fn bank_state(step: u64) -> String {
    (100 + step - 2).to_string()
}

/// Replay names the step whose record is changed by `forge`, and what is wrong with it.
fn check_forged(step: u64, what: &str, forge: impl Fn(&mut v1::ActorStep)) {
    let mut bank = eventful();
    let mut record = bank.steps("a")[step as usize - 1].clone();
    forge(&mut record);
    let key = [b"a\0".as_slice(), &step.to_be_bytes()].concat();
    let mut writes = althing_state::Writes::new();
    writes.put(althing_state::Key::new("actor.step", &key), record.encode_to_vec());
    bank.world.tip.merge(writes);
    let difference = bank.replay("a", 1, None, None).unwrap().difference.expect(what);
    assert_eq!((difference.step, difference.what.as_str()), (step, what));
    assert_ne!(difference.recorded, difference.replayed);
}

#[test]
fn a_forged_step_is_found() {
    let forged = vec![7; 32];
    check_forged(2, "state after", |step| step.after = forged.clone());
    check_forged(2, "state before", |step| step.before = forged.clone());
    check_forged(4, "chain before it", |step| step.previous = forged.clone());
    check_forged(4, "messages sent", |step| step.sends.clear());
    check_forged(3, "result", |step| step.failure = None);
    check_forged(7, "state that came back", |step| step.after = forged.clone());
    check_forged(2, "number", |step| step.step = 9);
    check_forged(2, "state after", |step| {
        if let Some(v1::actor_step::Kind::Mail(mail)) = &mut step.kind {
            mail.message = b"\"+2\"".to_vec();
        }
    });
    // What nothing else shows, the chain does: at the step behind.
    let mut bank = eventful();
    let mut record = bank.steps("a")[1].clone();
    record.timestamp_us += 1;
    let key = [b"a\0".as_slice(), &2u64.to_be_bytes()].concat();
    let mut writes = althing_state::Writes::new();
    writes.put(althing_state::Key::new("actor.step", &key), record.encode_to_vec());
    bank.world.tip.merge(writes);
    let difference = bank.replay("a", 1, None, None).unwrap().difference.unwrap();
    assert_eq!((difference.step, difference.what.as_str()), (3, "chain before it"));
}

/// Replaces the component until the first one is not kept any more: each time one message is taken.
fn outdated() -> Bank {
    let mut bank = Bank::new(&["a"]);
    bank.send(&[("a", "+1"); 3]);
    for version in 0..=limits::PROGRAM_VERSIONS_MAX as u8 {
        let mut next = crate::account::account();
        next.extend([0, 3, 1, b'v', version]);
        bank.deploy(PROGRAM, &next, &version.to_string());
        bank.settle();
        bank.send(&[("a", "+1")]);
    }
    bank
}

#[test]
fn a_component_that_is_gone_is_named() {
    let bank = outdated();
    let error = bank.replay("a", 1, None, None).unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    for words in [&bank.image.to_string(), "ran step 1 of actor a", "with --from 5"] {
        assert!(error.message.contains(words), "{error}");
    }
    let rest = bank.replay("a", 5, None, None).unwrap();
    assert_eq!((rest.difference, rest.step), (None, bank.info("a").step));
}

#[test]
fn a_replay_begins_behind_what_another_version_took_over() {
    let mut bank = outdated();
    // None of the messages before are kept.
    bank.send(&[("a", "+1"); 60]);
    assert!(bank.info("a").kept[0] > 22);
    // The first version that is kept took over in step 5; what it made of the state stays.
    let error = bank.replay("a", 1, None, None).unwrap_err();
    assert!(error.message.contains("with --from 6"), "{error}");
    let rest = bank.replay("a", 6, None, None).unwrap();
    assert_eq!((rest.difference, rest.step), (None, bank.info("a").step));
    // So does what comes behind it, to be computed and rolled back to.
    let error = rollback(&mut bank, 40, None).unwrap_err();
    assert!(error.message.contains("althing actor replay a --from 22 --to 40"), "{error}");
    let then = bank.replay("a", 22, Some(40), None).unwrap();
    rollback(&mut bank, 40, Some(&then.state)).unwrap();
    rollback(&mut bank, 7, None).unwrap();
    assert_eq!(bank.state("a"), "104");
    // What is beyond is beyond.
    let error = rollback(&mut bank, 3, None).unwrap_err();
    assert!(error.message.contains("--from 1 --to 3"), "{error}");
    assert!(bank.replay("a", 1, Some(3), None).unwrap_err().message.contains("with --from 6"));
    let rest = bank.replay("a", 6, None, None).unwrap();
    assert_eq!((rest.difference, rest.step), (None, bank.info("a").step));
    output(&bank.one(actor::stop("a")));
}
