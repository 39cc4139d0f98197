//! Actors begin, are stopped, and go.

use crate::{
    account::{indebted, refusing},
    bank::{Bank, PROGRAM, quoted},
    common::{failure, founder, grant, key, output},
};
use althing_machine::Fault;
use althing_protocol::{Hash, Kind, actor, actor_chain_start, limits, sys, v1};
use althing_state::{Key, Order};
use prost::Message;

#[test]
fn begins_with_what_init_gives() {
    let mut bank = Bank::new(&[]);
    let outcome = bank.one(actor::spawn("bank/alice", PROGRAM));
    assert!(outcome.fuel > 0);
    let event = &outcome.events[0];
    assert_eq!((event.program.as_str(), event.topic.as_str()), ("actor", "spawned"));
    let info = v1::ActorDone::decode(&output(&outcome)[..]).unwrap().info.unwrap();
    assert_eq!(info, bank.info("bank/alice"));
    assert_eq!((info.step, info.state_step, info.state_bytes), (1, 1, 3));
    assert_eq!(info.state_hash, Hash::of(b"100").0);
    assert_eq!(info.author, founder().public().0);
    assert_eq!(bank.state("bank/alice"), "100");
    let steps = bank.steps("bank/alice");
    assert_eq!(steps[0].previous, actor_chain_start("bank/alice").0);
    assert_eq!((&steps[0].before, &steps[0].after), (&Vec::new(), &info.state_hash));
    assert_eq!(bank.queue().actors, 1);
}

#[test]
fn the_state_contract_watches_over_init() {
    let mut bank = Bank::new(&[]);
    bank.deploy("debtor", &indebted(), "1");
    let error = bank.fails(actor::spawn("bank/bob", "debtor"));
    assert_eq!(error.kind, Kind::ContractViolation);
    let told = "bank/bob: state contract refused the state that `init` returned: no debts";
    assert_eq!(error.message, told);
    let view = bank.world.view();
    assert!(view.get(&Key::new("actor.info", b"bank/bob")).unwrap().is_none());
    assert_eq!(bank.queue().actors, 0);
}

#[test]
fn an_id_is_taken_once() {
    let mut bank = Bank::new(&["a"]);
    let error = bank.fails(actor::spawn("a", PROGRAM));
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.message.contains("choose another id"), "{error}");
}

#[test]
fn programs_that_are_not_there_have_no_actors() {
    let mut bank = Bank::new(&[]);
    assert_eq!(bank.fails(actor::spawn("a", "nowhere")).kind, Kind::NotFound);
    let error = bank.fails(actor::spawn("a", "sys"));
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("is part of the binary, and has no actors"), "{error}");
    assert_eq!(bank.fails(actor::spawn("a//b", PROGRAM)).kind, Kind::Invalid);
}

#[test]
fn spawning_needs_two_grants_at_the_id() {
    let mut bank = Bank::new(&[]);
    let author = key(2);
    bank.world.grant(grant(&author, "actor", "spawn", "bank"));
    let denied = |bank: &mut Bank, id: &str, missing: &str| {
        let outcome = bank.run(&author, vec![actor::spawn(id, PROGRAM)]).remove(0);
        let error = crate::common::failure(&outcome);
        assert_eq!(error.kind, Kind::Denied);
        assert!(error.message.contains(missing), "{error}");
    };
    denied(&mut bank, "bank/a", "account/spawn");
    bank.world.grant(grant(&author, PROGRAM, "spawn", "bank"));
    denied(&mut bank, "banker", "actor/spawn");
    output(&bank.run(&author, vec![actor::spawn("bank/a", PROGRAM)])[0]);
}

#[test]
fn one_that_is_stopped_takes_nothing_any_more() {
    let mut bank = Bank::new(&["a", "b"]);
    // What waits when it is stopped becomes dead letters.
    let batch = vec![actor::send("a", quoted("+1")), actor::stop("a")];
    bank.run(&founder(), batch).iter().for_each(|outcome| drop(output(outcome)));
    let letters = bank.letters();
    assert_eq!(letters[0].0, "a");
    assert_eq!(letters[0].2.kind, Kind::Conflict);
    assert_eq!(bank.state("a"), "100");
    for instruction in [
        actor::send("a", quoted("+1")),
        actor::request("a", quoted("+1")),
        actor::stop("a"),
        actor::rollback(&v1::ActorRollback { actor: "a".into(), to: 1, state: None }),
    ] {
        let error = bank.fails(instruction);
        assert_eq!(error.kind, Kind::Conflict);
        assert!(error.message.contains("is stopped"), "{error}");
    }
    bank.send(&[("b", "-1 a")]);
    assert_eq!(bank.letters().len(), 2);
    bank.prove("a");
}

#[test]
fn it_is_removed_with_all_that_it_had() {
    let mut bank = Bank::new(&["a", "ab"]);
    bank.send(&[("a", "+1"), ("a", "?"), ("ab", "+2")]);
    assert_eq!(bank.fails(actor::remove("a")).kind, Kind::Conflict);
    output(&bank.one(actor::stop("a")));
    let removed = v1::ActorRemoved::decode(&output(&bank.one(actor::remove("a")))[..]).unwrap();
    assert!(!removed.more);
    // Two states and three steps.
    assert_eq!(removed.keys, 5);
    let view = bank.world.view();
    for keyspace in ["info", "state", "step", "inbox", "of", "ready"] {
        let keyspace = format!("actor.{keyspace}");
        let page = view.scan(&keyspace, std::ops::Bound::Unbounded, b"", 100, usize::MAX).unwrap();
        let mine = |key: &[u8]| key == b"a" || key.starts_with(b"a\0") || key.ends_with(b"\0a");
        assert!(!page.pairs.iter().any(|(key, _)| mine(key)), "{keyspace}");
    }
    assert_eq!(bank.queue().actors, 1);
    assert_eq!(bank.fails(actor::remove("a")).kind, Kind::NotFound);
    bank.spawn(PROGRAM, &["a"]);
    assert_eq!(bank.steps("a").len(), 1);
    bank.prove("ab");
}

#[test]
fn what_waits_for_one_that_is_stopped_becomes_dead_letters_before_it_goes() {
    let mut bank = Bank::new(&["a", "b"]);
    output(&bank.one(sys::disable(PROGRAM)));
    bank.send(&[("a", "+1"); 70]);
    bank.send(&[("b", "+1")]);
    // While its program is disabled, too: nothing is lost without a word.
    let stop_and_remove = vec![actor::stop("a"), actor::remove("a")];
    let outcomes = bank.run(&founder(), stop_and_remove);
    output(&outcomes[0]);
    let error = failure(&outcomes[1]);
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.message.contains("70 messages wait for it, which become dead"), "{error}");
    bank.settle();
    let letters = bank.letters();
    assert!(letters.iter().all(|(to, text, _)| (to.as_str(), text.as_str()) == ("a", "+1")));
    assert_eq!((letters.len(), bank.info("b").waiting), (70, 1));
    assert!(!v1::ActorRemoved::decode(&output(&bank.one(actor::remove("a")))[..]).unwrap().more);
}

/// An actor of which a part is removed, the last of an upgrade that is swept.
#[test]
fn much_is_removed_in_parts() {
    let mut bank = Bank::new(&["a", "b"]);
    // More history than one instruction deletes, in steps of refused messages.
    let long = quoted(&"?".repeat(limits::ACTOR_MESSAGE_BYTES_MAX - 2));
    let count = limits::REMOVE_BYTES_MAX / long.len() + 20;
    for at in (0..count).step_by(50) {
        let sends = vec![actor::send("a", long.clone()); (count - at).min(50)];
        bank.run(&founder(), sends).iter().for_each(|outcome| drop(output(outcome)));
        bank.settle();
    }
    let steps = bank.steps("a").len() as u64;
    assert_eq!(steps, count as u64 + 1);
    output(&bank.one(actor::stop("a")));
    bank.deploy(PROGRAM, &refusing(7), "2");
    bank.tick();
    assert_eq!(bank.queue().upgrading, 1, "the sweep is to come");
    let removed = v1::ActorRemoved::decode(&output(&bank.one(actor::remove("a")))[..]).unwrap();
    assert!(removed.more);
    let left = |bank: &Bank| keys(bank, "actor.step", "a") as u64;
    // Its state is gone, and as much of its history as there was room for.
    assert_eq!((keys(&bank, "actor.state", "a"), left(&bank)), (0, steps + 1 - removed.keys));
    let left_before = left(&bank);
    assert!(1 < left_before && left_before < 25, "{left_before}");
    bank.settle();
    assert_eq!((keys(&bank, "actor.state", "a"), left(&bank)), (0, left_before), "no step follows");

    // Whatever is asked of it says so.
    let back = v1::ActorRollback { actor: "a".into(), to: 1, state: None };
    let (machine, view) = (&bank.world.machine, bank.world.view());
    let outcome = |fault: Fault| match fault {
        Fault::Outcome(error) => error,
        Fault::Halt(halt) => panic!("{halt}"),
    };
    let read = [
        outcome(machine.actor_state(&view, "a", None).unwrap_err()),
        outcome(machine.actor_state(&view, "a", Some(1)).unwrap_err()),
        outcome(machine.actor_history(&view, "a", None, Order::Ascending, 1).unwrap_err()),
        bank.replay("a", 1, None, None).unwrap_err(),
        bank.fails(actor::send("a", quoted("."))),
        bank.fails(actor::rollback(&back)),
    ];
    for error in read {
        assert_eq!(error.kind, Kind::Conflict, "{error}");
        assert!(error.message.contains("is being removed"), "{error}");
    }
    assert_eq!(bank.info("a").status(), v1::actor_info::Status::Removing);
    let removed = bank.one(actor::remove("a"));
    assert_eq!(removed.events[0].topic, "removed");
    assert!(!v1::ActorRemoved::decode(&output(&removed)[..]).unwrap().more);
    assert_eq!(bank.fails(actor::remove("a")).kind, Kind::NotFound);
    assert_eq!((bank.queue().actors, left(&bank)), (1, 0));
}

/// How many keys an actor has in a keyspace.
fn keys(bank: &Bank, keyspace: &str, actor: &str) -> usize {
    let prefix = [actor.as_bytes(), &[0]].concat();
    let start = std::ops::Bound::Unbounded;
    bank.world.view().scan(keyspace, start, &prefix, usize::MAX, usize::MAX).unwrap().pairs.len()
}
