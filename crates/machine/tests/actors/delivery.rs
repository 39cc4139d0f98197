//! What is sent is delivered: when, in which order, and to whom.

use crate::{
    account::account,
    bank::{Bank, PROGRAM, mail, quoted},
    common::{founder, output},
};
use althing_protocol::{Kind, actor, limits, sys, v1};
use prost::Message;

/// Each actor gets these messages in this order, whoever is served first.
fn check(sent: &[(&str, &str)], got: &[(&str, &[&str])]) -> Bank {
    let ids: Vec<&str> = got.iter().map(|(id, _)| *id).collect();
    let mut bank = Bank::new(&ids);
    bank.send(sent);
    bank.settle();
    for (id, messages) in got {
        assert_eq!(bank.got(id), *messages, "{id}");
        bank.prove(id);
    }
    assert_eq!((bank.queue().waiting, bank.queue().ready), (0, 0));
    bank
}

#[test]
fn in_the_entry_that_sent_it() {
    let mut bank = Bank::new(&["a"]);
    bank.send(&[("a", "+5")]);
    assert_eq!(bank.state("a"), "105");
    assert_eq!(bank.steps("a")[1].index, bank.world.index);
}

#[test]
fn in_the_order_of_sender_and_receiver() {
    check(
        &[("a", "+1"), ("b", "+2"), ("a", "+3"), ("a", "."), ("b", "+4")],
        &[("a", &["+1", "+3", "."]), ("b", &["+2", "+4"])],
    );
    // What a sends while it handles comes behind what b has waiting already.
    check(
        &[("a", "-1 b"), ("a", "-2 b"), ("b", "+9")],
        &[("a", &["-1 b", "-2 b"]), ("b", &["+9", "+1", "+2"])],
    );
}

#[test]
fn everybody_gets_a_share() {
    let mut bank = Bank::new(&["busy", "x", "y"]);
    let mut sent = vec![("busy", "+1"); 200];
    sent.extend([("x", "+1"), ("y", "+1")]);
    bank.send(&sent);
    let index = bank.world.index;
    // The others did not have to wait for the end of it.
    assert_eq!(bank.steps("x")[1].index, index);
    assert_eq!(bank.steps("y")[1].index, index);
    let handled = bank.steps("busy").len() - 1;
    assert_eq!(handled, limits::ENTRY_DELIVERIES_MAX - 2);
    bank.settle();
    assert_eq!(bank.states(&["busy", "x", "y"]), ["300", "101", "101"]);
}

#[test]
fn an_entry_without_mail_delivers_nothing() {
    let mut bank = Bank::new(&["a", "b"]);
    bank.send(&[("a", "+1"); 200]);
    let waiting = bank.queue().waiting;
    output(&bank.one(sys::put("/k", "v")));
    output(&bank.one(actor::spawn("c", PROGRAM)));
    assert_eq!(bank.queue().waiting, waiting);
    // One that brings mail goes on with what is there.
    bank.send(&[("b", "+1")]);
    assert!(bank.queue().waiting < waiting);
}

#[test]
fn a_handler_that_fails_sends_nothing() {
    for text in ["!b", "?", "l"] {
        let mut bank = Bank::new(&["a", "b"]);
        bank.send(&[("a", text)]);
        assert_eq!(bank.got("b"), [""; 0], "{text}");
        let step = &bank.steps("a")[1];
        assert_eq!(step.before, step.after, "{text}");
        assert!(step.failure.is_some() && step.fuel > 0, "{text}");
        assert_eq!(bank.state("a"), "100", "{text}");
        assert_eq!(bank.letters().len(), 1, "{text}");
        // Those behind it are not in its way.
        bank.send(&[("a", "+1")]);
        assert_eq!(bank.state("a"), "101", "{text}");
        bank.prove("a");
    }
}

#[test]
fn fuel_of_an_entry_is_bounded() {
    let mut bank = Bank::new(&["a", "b"]);
    // Each of them uses all that it may.
    let each = limits::FUEL_DEFAULT / 10;
    let most = usize::try_from(limits::DELIVERIES_FUEL_MAX / each).unwrap();
    bank.send(&[("a", "l"); 50]);
    assert_eq!(bank.steps("a").len() - 1, most);
    assert_eq!(bank.queue().waiting, 50 - most as u64);
    bank.settle();
    assert_eq!(bank.letters().len(), 50);
}

#[test]
fn what_an_actor_logs_is_told_apart() {
    let mut bank = Bank::new(&["a", "b"]);
    bank.send(&[("a", "ohello"), ("b", "oworld")]);
    let logs: Vec<_> = bank.logs.iter().map(|l| (l.actor.as_deref(), l.text.as_str())).collect();
    assert_eq!(logs, [(Some("a"), "hello"), (Some("b"), "world")]);
    assert!(bank.logs.iter().all(|line| line.program == PROGRAM && line.level == "info"));
    bank.request("a", "ohi").unwrap();
    assert_eq!(bank.logs[0].actor.as_deref(), Some("a"));
}

#[test]
fn across_programs_with_a_grant_for_the_program() {
    let mut bank = Bank::new(&["a"]);
    bank.deploy("other", &account(), "1");
    bank.spawn("other", &["o/1", "p/1"]);
    let sends = [("a", "-1 o/1"), ("a", "-2 p/1")];
    bank.send(&sends);
    for (_, _, error) in bank.letters() {
        assert_eq!(error.kind, Kind::Denied);
        assert!(error.message.contains("program account lacks a grant"), "{error}");
        assert!(error.message.contains("actor/send"), "{error}");
    }
    assert_eq!((bank.letters().len(), bank.steps("o/1").len()), (2, 1));
    bank.world.grant(v1::Grant {
        subject: "program:account".into(),
        program: "actor".into(),
        method: "send".into(),
        prefix: "o".into(),
        ..v1::Grant::default()
    });
    bank.send(&sends);
    assert_eq!(bank.states(&["o/1", "p/1"]), ["101", "100"]);
    assert_eq!(bank.letters().len(), 3);
}

#[test]
fn waits_while_the_program_is_disabled() {
    let mut bank = Bank::new(&["a"]);
    output(&bank.one(sys::disable(PROGRAM)));
    bank.send(&[("a", "+1"), ("a", "+2")]);
    assert_eq!((bank.queue().waiting, bank.queue().ready), (2, 0));
    for instruction in [actor::request("a", quoted("+1")), actor::spawn("b", PROGRAM)] {
        assert_eq!(bank.fails(instruction).kind, Kind::Conflict);
    }
    output(&bank.one(sys::enable(PROGRAM)));
    bank.settle();
    assert_eq!(bank.got("a"), ["+1", "+2"]);
}

#[test]
fn what_waits_is_counted_and_bounded() {
    let mut bank = Bank::new(&["a"]);
    output(&bank.one(sys::disable(PROGRAM)));
    let most = usize::try_from(limits::ACTOR_WAITING_MAX).unwrap();
    let mut last = None;
    for _ in 0..most / 256 {
        let sends = vec![actor::send("a", quoted(".")); 256];
        last = bank.run(&founder(), sends).pop();
    }
    let sent = v1::ActorSent::decode(&output(&last.unwrap())[..]).unwrap();
    assert_eq!(sent.waiting, limits::ACTOR_WAITING_MAX);
    let error = bank.fails(actor::send("a", quoted(".")));
    assert_eq!(error.kind, Kind::Exhausted);
    assert!(error.message.contains("1024 wait"), "{error}");
    assert_eq!(bank.info("a").waiting, limits::ACTOR_WAITING_MAX);
    output(&bank.one(sys::enable(PROGRAM)));
    bank.settle();
    assert_eq!(bank.got("a").len(), most);
    assert!(bank.steps("a").iter().skip(1).all(|step| mail(step).unwrap().hops == 0));
}
