//! Actors that send without end: bounded in each entry, and ended at last.

use crate::{
    bank::Bank,
    guests::actor::Guest,
    keeper::{KEEPER, activate, done, info, letters, queue, settle, world},
};
use althing_protocol::{Kind, actor, limits};

/// What `first` begins among `actors` ends at the limit of hops.
fn check(actors: &[&str], first: (&str, &str)) {
    let mut bank = Bank::new(actors);
    bank.send(&[first]);
    let handled = |bank: &Bank| actors.iter().map(|id| bank.steps(id).len() - 1).sum::<usize>();
    assert_eq!(handled(&bank), limits::ENTRY_DELIVERIES_MAX);
    bank.tick();
    assert_eq!(handled(&bank), limits::ENTRY_DELIVERIES_MAX + limits::TICK_DELIVERIES_MAX);
    bank.settle();
    // The first one has no hops.
    assert_eq!(handled(&bank), limits::ACTOR_HOPS_MAX as usize + 1);
    let letters = bank.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].2.kind, Kind::Exhausted);
    assert!(letters[0].2.message.contains("wants a timer"), "{}", letters[0].2);
    actors.iter().for_each(|id| drop(bank.steps(id)));
}

#[test]
fn to_itself() {
    check(&["a"], ("a", ">aa"));
}

#[test]
fn in_a_cycle() {
    check(&["a", "b"], ("a", ">ba"));
}

/// Each message becomes eight, as many as are left of what the first one may cause.
#[test]
fn in_width() {
    let handle = "(call $send 'a' (local.get $msg) (local.get $msg_len))".repeat(8)
        + "(call $text (local.get $state) (local.get $state_len))";
    let guest = Guest { handle: &handle, ..KEEPER };
    let mut world = world();
    crate::common::output(&activate(&mut world, "wide", "1", &guest.component()));
    done(&mut world, actor::spawn("a", "wide"));
    done(&mut world, actor::send("a", "1"));
    settle(&mut world);
    let handled = info(&world, "a").step - 1;
    assert!((1_000..=limits::ACTOR_CAUSED_MAX.into()).contains(&handled), "{handled}");
    assert_eq!(queue(&world).waiting, 0);
    let (_, _, reason) = letters(&world).pop().unwrap();
    assert!(reason.contains("are left of the 16384 that one message may cause"), "{reason}");
}

#[test]
fn others_are_served_meanwhile() {
    let mut bank = Bank::new(&["a", "b", "quiet"]);
    bank.send(&[("a", ">ba")]);
    bank.send(&[("quiet", "+1")]);
    assert_eq!(bank.state("quiet"), "101");
    assert!(bank.queue().waiting > 0);
}

#[test]
fn more_than_one_may_send_is_no_message_at_all() {
    let mut bank = Bank::new(&["a", "b"]);
    let most = limits::ACTOR_SENDS_MAX;
    let error = bank.request("a", &format!("*{} b", most + 1)).unwrap_err();
    assert_eq!(error.kind, Kind::Exhausted);
    assert_eq!(bank.steps("b").len(), 1);
    bank.request("a", &format!("*{most} b")).unwrap();
    bank.settle();
    assert_eq!(bank.state("b"), (100 + most).to_string());
}
