//! A request: a message that is handled within its instruction.

use crate::{
    bank::{Bank, mail, quoted},
    common::{failure, founder, grant, key, output},
};
use althing_protocol::{Hash, Kind, actor, limits, v1};

#[test]
fn says_what_came_of_it() {
    let mut bank = Bank::new(&["a", "b"]);
    let reply = bank.request("a", "-30 b").unwrap();
    let step = reply.step.unwrap();
    assert_eq!((step.step, step.index), (2, bank.world.index));
    assert_eq!(
        (step.before, step.after),
        (Hash::of(b"100").0.to_vec(), Hash::of(b"70").0.to_vec())
    );
    assert_eq!(reply.state.unwrap(), b"70");
    assert_eq!(reply.chain, bank.info("a").chain);
    let sent = &reply.sends[0];
    assert_eq!((sent.to.as_str(), sent.message.as_slice()), ("b", &b"\"+30\""[..]));
    // What it sent was delivered behind it, in the same entry.
    assert_eq!(bank.states(&["a", "b"]), ["70", "130"]);
    let step = &bank.steps("b")[1];
    assert_eq!(step.index, bank.world.index);
    let mail = mail(step).unwrap();
    assert_eq!((mail.hops, mail.index), (1, bank.world.index));
    let sender = mail.from.unwrap().sender.unwrap();
    let from = v1::ActorOfProgram { actor: "a".into(), program: "account".into() };
    assert_eq!(sender, v1::actor_sender::Sender::Actor(from));
    bank.prove("a");
    bank.prove("b");
}

#[test]
fn leaves_out_what_is_too_long_for_an_outcome() {
    let mut bank = Bank::new(&["a"]);
    let reply = bank.request("a", "z50000").unwrap();
    assert_eq!(reply.state, None);
    assert_eq!(reply.step.unwrap().after, Hash::of(bank.state("a").as_bytes()).0);
    assert_eq!(bank.info("a").state_bytes, 50_002);
    let reply = bank.request("a", "z1000").unwrap();
    assert_eq!(reply.state.unwrap().len(), 1_002);
}

/// A message that fails in this way leaves nothing behind.
fn check(text: &str, kind: Kind, words: &str) {
    let mut bank = Bank::new(&["a", "b"]);
    let info = bank.info("a");
    let error = bank.request("a", text).unwrap_err();
    assert_eq!(error.kind, kind, "{text}: {error}");
    assert!(error.message.contains(words), "{text}: {error}");
    assert_eq!(bank.info("a"), info, "{text}");
    assert_eq!(bank.steps("b").len(), 1, "{text}");
    assert!(bank.letters().is_empty(), "{text}");
}

#[test]
fn fails_with_its_message() {
    let violation = Kind::ContractViolation;
    check("-101 b", violation, "a: message contract refused the message: not enough");
    check("?", violation, "a: message contract refused the message: what is that?");
    check("#", violation, "a: state contract refused the state that `handle` returned: no debts");
    check("{", Kind::GuestFailed, "`handle` returned");
    check("!b", Kind::GuestFailed, "handle");
    check("l", Kind::Exhausted, "fuel");
}

#[test]
fn a_failure_is_not_free() {
    let mut bank = Bank::new(&["a"]);
    let outcome = bank.one(actor::request("a", quoted("l")));
    assert_eq!(outcome.fuel, limits::FUEL_DEFAULT / 10);
}

#[test]
fn does_not_overtake_what_its_author_sent() {
    let mut bank = Bank::new(&["a"]);
    let batch = vec![actor::send("a", quoted("+1")), actor::request("a", quoted("+2"))];
    let outcomes = bank.run(&founder(), batch);
    output(&outcomes[0]);
    let error = failure(&outcomes[1]);
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.message.contains("1 messages wait"), "{error}");
    assert_eq!(bank.state("a"), "101");
    bank.request("a", "+2").unwrap();
    assert_eq!(bank.state("a"), "103");
}

#[test]
fn overtakes_little_of_what_others_sent() {
    let mut bank = Bank::new(&["a"]);
    let other = key(2);
    bank.world.grant(grant(&other, "actor", "*", ""));
    let most = usize::try_from(limits::ACTOR_REQUEST_WAITING_MAX).unwrap();
    let waiting = |more: usize| limits::ENTRY_DELIVERIES_MAX + most + more;
    let sends = |count| vec![actor::send("a", quoted("+1")); count];
    bank.run(&other, sends(waiting(1)));
    assert_eq!(bank.queue().waiting, limits::ACTOR_REQUEST_WAITING_MAX + 1);
    let error = bank.request("a", "+1000").unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    bank.settle();
    bank.run(&other, sends(waiting(0)));
    bank.request("a", "+1000").unwrap();
    assert_eq!(bank.queue().waiting, limits::ACTOR_REQUEST_WAITING_MAX);
    bank.settle();
    bank.prove("a");
}

#[test]
fn what_is_no_message_is_refused_at_the_door() {
    let mut bank = Bank::new(&["a"]);
    for message in [&b"{\"a\": 1}"[..], b"", b"NaN", b"\"\\ud800\"", b"{\"a\":1,\"a\":1}"] {
        for instruction in [actor::send("a", message), actor::request("a", message)] {
            assert_eq!(bank.fails(instruction).kind, Kind::Invalid);
        }
    }
    let long = quoted(&"x".repeat(limits::ACTOR_MESSAGE_BYTES_MAX));
    let error = bank.fails(actor::send("a", long));
    assert!(error.message.contains("the limit is"), "{error}");
    assert_eq!(bank.fails(actor::send("b", quoted("."))).kind, Kind::NotFound);
    assert_eq!(bank.fails(v1::Instruction::new("actor", "sned", Vec::new())).kind, Kind::NotFound);
    let unknown = v1::Instruction::new("actor", "stop", vec![0xff]);
    assert_eq!(bank.fails(unknown).kind, Kind::Invalid);
}
