//! Dead letters: what could not be delivered, and why.

use crate::{
    bank::{Bank, PROGRAM},
    common::output,
    keeper::set_queue,
};
use althing_protocol::{Kind, actor, limits, v1};
use prost::Message;

/// The message becomes a dead letter of `to`, for this reason.
fn check(sent: (&str, &str), to: &str, text: &str, kind: Kind, words: &str) -> Bank {
    let mut bank = Bank::new(&["a", "b"]);
    bank.send(&[sent]);
    let letters = bank.letters();
    assert_eq!(letters.len(), 1);
    let (receiver, said, error) = &letters[0];
    assert_eq!((receiver.as_str(), said.as_str(), error.kind), (to, text, kind), "{error}");
    assert!(error.message.contains(words), "{error}");
    bank
}

#[test]
fn say_whom_they_were_for_and_why() {
    let violation = Kind::ContractViolation;
    check(
        ("a", "-200 b"),
        "a",
        "-200 b",
        violation,
        "message contract refused the message: not enough",
    );
    check(("a", "#"), "a", "#", violation, "state contract refused the state");
    check(("a", "{"), "a", "{", Kind::GuestFailed, "`handle` returned");
    check(("a", "!b"), "a", "!b", Kind::GuestFailed, "handle");
    check(("a", "l"), "a", "l", Kind::Exhausted, "fuel");
    // The receiver is not there: the sender has done its part.
    let bank = check(("a", "-1 nobody"), "nobody", "+1", Kind::NotFound, "does not exist");
    assert_eq!(bank.state("a"), "99");
}

#[test]
fn are_sent_again() {
    let mut bank = check(("a", "-1 late"), "late", "+1", Kind::NotFound, "does not exist");
    assert_eq!(bank.fails(actor::retry("late", 0)).kind, Kind::NotFound);
    assert_eq!(bank.fails(actor::retry("a", 0)).kind, Kind::NotFound);
    bank.spawn(PROGRAM, &["late"]);
    let sent = v1::ActorSent::decode(&output(&bank.one(actor::retry("late", 0)))[..]).unwrap();
    assert_eq!(sent.waiting, 1);
    assert_eq!(bank.state("late"), "101");
    assert!(bank.letters().is_empty());
    assert_eq!(bank.fails(actor::retry("late", 0)).kind, Kind::NotFound);
    bank.prove("late");
}

#[test]
fn of_one_actor_are_found_among_those_of_others() {
    let mut bank = Bank::new(&["a", "b"]);
    bank.send(&[("a", "?"), ("b", "?"), ("a", "#"), ("b", "#")]);
    let view = bank.world.view();
    let machine = &bank.world.machine;
    let page = machine.actor_letters(&view, Some("b"), None, 1).unwrap();
    assert_eq!((page.letters.len(), page.letters[0].actor.as_str()), (1, "b"));
    let rest = machine.actor_letters(&view, Some("b"), page.next, 10).unwrap();
    assert_eq!((rest.letters.len(), rest.next), (1, None));
}

#[test]
fn too_many_push_the_oldest_out() {
    let mut bank = Bank::new(&["a"]);
    bank.send(&[("a", "*3 x")]);
    bank.settle();
    set_queue(&mut bank.world, |queue| queue.letters = limits::ACTOR_LETTERS_MAX);
    bank.send(&[("a", "*2 x")]);
    bank.settle();
    let queue = bank.queue();
    assert_eq!((queue.letters, queue.first_letter), (limits::ACTOR_LETTERS_MAX, 2));
    let view = bank.world.view();
    let letters = bank.world.machine.actor_letters(&view, None, None, 10).unwrap().letters;
    assert_eq!(letters.iter().map(|letter| letter.letter).collect::<Vec<_>>(), [2, 3, 4]);
}
