//! No program takes what others need: turns of the queue, room for mail, dead letters, fuel of a tick.

use crate::{
    account::{account, migrating},
    bank::{Bank, PROGRAM, quoted},
    common::{failure, founder, output},
};
use althing_protocol::{Error, Kind, actor, limits, sys, v1};
use althing_state::{Key, Writes};
use prost::Message;

const OTHER: &str = "other";

/// A realm with these actors of one program, and one of another program.
fn beside(many: &[&str], few: &str) -> Bank {
    let mut bank = Bank::new(many);
    bank.deploy(OTHER, &account(), "1");
    bank.spawn(OTHER, &[few]);
    bank
}

/// Messages that were delivered to an actor.
fn got(bank: &Bank, id: &str) -> usize {
    bank.info(id).step as usize - 1
}

fn share(bank: &Bank, program: &str) -> v1::ActorShare {
    let stored = bank.world.view().get(&Key::new("actor.share", program.as_bytes())).unwrap();
    v1::ActorShare::decode(&*stored.unwrap_or_default()).unwrap()
}

/// Makes it look as if so much waited: for the actors of a program, and in the realm.
fn set_waiting(bank: &mut Bank, change: impl FnOnce(&mut v1::ActorShare, &mut v1::ActorQueue)) {
    let (mut share, mut queue) = (share(bank, PROGRAM), bank.queue());
    change(&mut share, &mut queue);
    let mut writes = Writes::new();
    writes.put(Key::new("actor.share", PROGRAM.as_bytes()), share.encode_to_vec());
    writes.put(Key::new("actor.meta", b"queue"), queue.encode_to_vec());
    bank.world.tip.merge(writes);
}

fn refused(bank: &mut Bank, to: &str) -> Error {
    let error = bank.fails(actor::send(to, quoted(".")));
    assert_eq!(error.kind, Kind::Exhausted, "{error}");
    error
}

#[test]
fn a_program_has_one_place_a_turn_however_many_actors_it_has() {
    let many: Vec<String> = (0..60).map(|n| format!("m/{n:02}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut bank = beside(&many, "few");
    // Two for each of the many, and then as many for the other one: it comes last.
    let mut sent: Vec<(&str, &str)> = many.iter().flat_map(|id| [(*id, "."); 2]).collect();
    sent.extend([("few", "."); 100]);
    bank.send(&sent);
    let half = limits::ENTRY_DELIVERIES_MAX / 2;
    assert_eq!(got(&bank, "few"), half);
    assert_eq!(many.iter().map(|id| got(&bank, id)).sum::<usize>(), half);
    // Among the actors of one program, each gets one before any gets its second.
    assert!(many.iter().all(|id| got(&bank, id) <= 1));
    bank.settle();
    assert_eq!(got(&bank, "few"), 100);
    assert!(many.iter().all(|id| got(&bank, id) == 2));
}

#[test]
fn who_comes_late_does_not_wait_for_the_end_of_the_queue() {
    let many: Vec<String> = (0..200).map(|n| format!("m/{n:03}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut bank = beside(&many, "few");
    bank.send(&many.iter().map(|id| (*id, ".")).collect::<Vec<_>>());
    assert!(bank.queue().ready > 100);
    let index = bank.world.index;
    bank.send(&[("few", ".")]);
    assert_eq!((got(&bank, "few"), bank.steps("few")[1].index), (1, index + 2));
}

#[test]
fn who_uses_fuel_waits_longer() {
    let mut bank = beside(&[], "few");
    // Each message of these uses as much as ten turns cost.
    let fuel = 10 * limits::ACTOR_TURN_FUEL;
    let image = bank.world.upload(&account());
    let manifest = Some(v1::Manifest { fuel_max: fuel, ..v1::Manifest::default() });
    let (program, image) = ("slow".to_owned(), image.0.to_vec());
    let stage =
        v1::Stage { program: program.clone(), image: image.clone(), manifest, signature: None };
    output(&bank.one(sys::stage(&stage)));
    output(&bank.one(sys::activate(&v1::Activate { program, image })));
    bank.spawn("slow", &["slow"]);
    let mut sent = vec![("slow", "l"); 4];
    sent.extend([("few", "."); 45]);
    bank.send(&sent);
    // The entry ends with the second one, which uses up its fuel: ten turns behind the first.
    assert_eq!((got(&bank, "slow"), got(&bank, "few")), (2, 12));
    bank.tick();
    assert_eq!((got(&bank, "slow"), got(&bank, "few")), (4, 34));
    bank.settle();
    assert_eq!((got(&bank, "slow"), got(&bank, "few")), (4, 45));
}

#[test]
fn a_program_that_does_not_run_leaves_room_for_others() {
    let mut bank = beside(&["a"], "o");
    output(&bank.one(sys::disable(PROGRAM)));
    bank.send(&[("a", "."), ("a", ".")]);
    assert_eq!(share(&bank, PROGRAM).waiting, 2);
    assert!(share(&bank, PROGRAM).waiting_bytes > 0);

    set_waiting(&mut bank, |share, _| share.waiting = limits::PROGRAM_WAITING_MAX);
    let error = refused(&mut bank, "a");
    assert!(error.message.contains("actors of program account: 16384 wait, which"), "{error}");
    bank.send(&[("o", ".")]);

    // As much as there is room left, and no more.
    set_waiting(&mut bank, |share, queue| {
        share.waiting = 9;
        queue.waiting = limits::ACTORS_WAITING_MAX - 10;
    });
    bank.send(&[("a", ".")]);
    let error = refused(&mut bank, "a");
    let words =
        "account has 10 messages that wait and wants 1 more; of the 262144 of the realm 9 are";
    assert!(error.message.contains(words), "{error}");
    bank.send(&[("o", ".")]);

    // One that has none: what is left is named, and what to look at.
    set_waiting(&mut bank, |share, queue| {
        share.waiting = 0;
        queue.waiting = limits::ACTORS_WAITING_MAX;
    });
    let error = refused(&mut bank, "a");
    for words in ["message to actor a: ", "has 0 messages", "0 are left", "`althing actor list`"] {
        assert!(error.message.contains(words), "{error}");
    }

    // The same, in bytes.
    let half = limits::ACTORS_WAITING_BYTES_MAX / 2;
    set_waiting(&mut bank, |share, queue| {
        (share.waiting, share.waiting_bytes) = (2, half);
        (queue.waiting, queue.waiting_bytes) = (2, half);
    });
    let error = refused(&mut bank, "a");
    let words = format!("account has {half} bytes of messages that wait");
    assert!(error.message.contains(&words), "{error}");
    let long = format!("\"{}\"", "x".repeat(limits::ACTOR_MESSAGE_BYTES_MAX - 2));
    output(&bank.one(actor::send("o", long)));
    assert_eq!(got(&bank, "o"), 3);
}

#[test]
fn what_waited_is_given_back() {
    let mut bank = beside(&["a"], "o");
    bank.send(&[("a", "*9 a"), ("o", "?"), ("a", "l")]);
    bank.settle();
    let queue = bank.queue();
    assert_eq!((queue.waiting, queue.waiting_bytes), (0, 0));
    for program in [PROGRAM, OTHER] {
        let share = share(&bank, program);
        assert_eq!((share.waiting, share.waiting_bytes), (0, 0), "{program}");
    }
}

/// An upgrade of `PROGRAM`, and messages for another one of which each uses all fuel of a tick.
fn busy_upgrade() -> Bank {
    let mut bank = Bank::new(&["a", "b"]);
    let image = bank.world.upload(&account());
    let fuel_max = limits::DELIVERIES_FUEL_MAX + 1;
    let manifest = Some(v1::Manifest { fuel_max, ..v1::Manifest::default() });
    let (program, image) = (OTHER.to_owned(), image.0.to_vec());
    let stage =
        v1::Stage { program: program.clone(), image: image.clone(), manifest, signature: None };
    output(&bank.one(sys::stage(&stage)));
    output(&bank.one(sys::activate(&v1::Activate { program, image })));
    bank.spawn(OTHER, &["o"]);
    output(&bank.one(sys::disable(OTHER)));
    bank.send(&[("o", "l"); 6]);
    bank.deploy(PROGRAM, &migrating(), "2");
    output(&bank.one(sys::enable(OTHER)));
    bank
}

#[test]
fn deliveries_and_upgrades_of_a_tick_share_its_fuel() {
    let mut bank = busy_upgrade();
    let active = |bank: &Bank| {
        let program = bank.world.machine.program(&bank.world.view(), PROGRAM).unwrap().unwrap();
        program.active.unwrap().manifest.unwrap().version
    };
    // Until the actor that was disabled is in the queue again.
    while got(&bank, "o") == 0 {
        bank.tick();
    }
    let mut ticks = 0;
    while bank.queue().upgrading > 0 {
        let before = got(&bank, "o");
        bank.tick();
        assert!(got(&bank, "o") - before <= 1, "one of them uses all fuel");
        ticks += 1;
        assert!(ticks < 10, "messages that use all fuel hold the upgrade up");
    }
    assert_eq!(active(&bank), "2");
    let delivered = got(&bank, "o");
    assert!((1..6).contains(&delivered), "nor does the upgrade hold them up: {delivered}");
}

#[test]
fn dead_letters_of_one_program_do_not_push_out_those_of_others() {
    let mut bank = beside(&["a"], "o");
    bank.send(&[("o", "?")]);
    // Those for nobody are of the program whose actor sent them.
    let most = limits::PROGRAM_LETTERS_MAX;
    while share(&bank, PROGRAM).letters < most {
        bank.send(&[("a", "*64 x"); 3]);
        bank.settle();
    }
    let first = share(&bank, PROGRAM).first_letter;
    bank.send(&[("a", "*10 x")]);
    bank.settle();
    let share_now = share(&bank, PROGRAM);
    assert_eq!((share_now.letters, bank.queue().letters), (most, most + 1));
    assert_eq!(share_now.first_letter, first.max(1) + 10, "its oldest went");
    let found = bank.world.machine.actor_letters(&bank.world.view(), Some("o"), None, 10).unwrap();
    let letter = found.letters[0].letter;
    output(&bank.one(actor::retry("o", letter)));
    assert_eq!(failure(&bank.one(actor::retry("x", first))).kind, Kind::NotFound);
    crate::audit::audit(&bank.world);
}

#[test]
fn a_program_that_is_removed_leaves_no_share() {
    let mut bank = beside(&["a"], "o");
    bank.send(&[("o", ".")]);
    assert!(share(&bank, OTHER).turn > 0);
    output(&bank.one(actor::stop("o")));
    output(&bank.one(actor::remove("o")));
    output(&bank.one(sys::disable(OTHER)));
    let removed = bank.run(&founder(), vec![sys::remove(OTHER)]);
    output(&removed[0]);
    assert!(bank.world.view().get(&Key::new("actor.share", OTHER.as_bytes())).unwrap().is_none());
}
