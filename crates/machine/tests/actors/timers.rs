//! Timers by the log's clock: at the edge, after a pause, and at actors that are gone.

use crate::{
    common::{World, failure, founder, grant, key, output},
    keeper::{
        PROGRAM, count, done, due, info, letters, queue, set_queue, settle, spawn, state, world,
    },
};
use althing_machine::Due;
use althing_protocol::{Kind, actor, limits, sys, v1};
use prost::Message;

const SECOND: u64 = 1_000_000;

fn at(timer: &str, at_us: u64, message: &str) -> v1::Instruction {
    at_of("a", timer, at_us, message)
}

fn at_of(actor: &str, timer: &str, at_us: u64, message: &str) -> v1::Instruction {
    actor::send_at(&v1::ActorSendAt {
        actor: actor.into(),
        timer: timer.into(),
        at_us,
        message: message.into(),
    })
}

fn every(timer: &str, first_us: u64, period_us: u64, message: &str) -> v1::Instruction {
    every_of("a", timer, first_us, period_us, message)
}

fn every_of(
    actor: &str,
    timer: &str,
    first_us: u64,
    period_us: u64,
    message: &str,
) -> v1::Instruction {
    actor::send_every(&v1::ActorSendEvery {
        actor: actor.into(),
        timer: timer.into(),
        first_us,
        period_us,
        message: message.into(),
    })
}

/// A world with the actor `a`.
fn with_actor() -> World {
    let mut world = world();
    spawn(&mut world, "a");
    world
}

#[test]
fn a_message_comes_when_its_time_has_come_and_once() {
    let mut world = with_actor();
    let due_us = world.now_us + SECOND;
    done(&mut world, at("t", due_us, "1"));
    assert_eq!(due(&world), Due::At(due_us));
    world.now_us = due_us - 1;
    assert!(world.tick().writes.is_empty(), "a tick before the time does nothing");
    assert_eq!(due(&world), Due::At(due_us));
    world.now_us = due_us;
    assert_eq!(due(&world), Due::Now);
    world.tick();
    assert_eq!((state(&world, "a"), due(&world)), ("[1]".into(), Due::Never));
    // Another one of the same moment: the leader may have changed.
    assert!(world.tick().writes.is_empty());
    assert_eq!((count(&world, "actor.timer"), count(&world, "actor.due")), (0, 0));
    assert_eq!(queue(&world).timers, 0);
}

#[test]
fn a_time_in_the_past_is_now_and_earlier_ones_are_first() {
    let mut world = with_actor();
    for (timer, at_us) in [("x", 3), ("y", 1), ("z", 2)] {
        done(&mut world, at(timer, at_us, &at_us.to_string()));
    }
    assert_eq!(due(&world), Due::Now);
    assert_eq!(settle(&mut world), 1);
    assert_eq!(state(&world, "a"), "[1,2,3]");
}

#[test]
fn firings_that_were_missed_come_as_one() {
    let mut world = with_actor();
    done(&mut world, every("t", 0, SECOND, "1"));
    let Due::At(first) = due(&world) else { panic!("{:?}", due(&world)) };
    assert_eq!(first, world.now_us + SECOND, "one period from then");
    // Nobody led for a year.
    world.now_us = first + 365 * 24 * 3_600 * SECOND + 17;
    settle(&mut world);
    assert_eq!(state(&world, "a"), "[1]");
    assert_eq!(due(&world), Due::At(world.now_us - 17 + SECOND), "it keeps its times");
    // A first time of its own.
    let first = world.now_us + 7;
    done(&mut world, every("t", first, SECOND, "2"));
    assert_eq!((due(&world), queue(&world).timers), (Due::At(first), 1));
}

#[test]
fn a_timer_that_goes_on_has_one_message_in_the_inbox() {
    let mut world = with_actor();
    done(&mut world, every("t", 0, SECOND, "1"));
    done(&mut world, sys::disable(PROGRAM));
    for _ in 0..3 {
        world.now_us += SECOND;
        settle(&mut world);
    }
    assert_eq!((info(&world, "a").waiting, queue(&world).timers), (1, 1));
    assert_eq!(due(&world), Due::Never, "until that one is delivered");
    done(&mut world, sys::enable(PROGRAM));
    settle(&mut world);
    assert_eq!(state(&world, "a"), "[1]");
    let Due::At(next) = due(&world) else { panic!("{:?}", due(&world)) };
    assert!((world.now_us + 1..=world.now_us + SECOND).contains(&next), "it keeps its times");
    world.now_us += SECOND;
    settle(&mut world);
    assert_eq!((state(&world, "a"), letters(&world).len()), ("[1,1]".into(), 0));
}

#[test]
fn a_realm_has_a_bounded_number_of_timers() {
    let mut world = with_actor();
    done(&mut world, at("t", u64::MAX, "1"));
    let timers = limits::ACTOR_TIMERS_MAX;
    set_queue(&mut world, |queue| queue.timers = timers);
    let error = failure(&world.run(&founder(), at("u", 1, "1")));
    assert_eq!(error.kind, Kind::Exhausted, "{error}");
    assert!(error.message.contains("has 1 timers and wants 1 more"), "{error}");
    assert!(error.message.contains("0 are left"), "{error}");
    set_queue(&mut world, |queue| queue.timers = timers - 1);
    let error = failure(&world.run(&founder(), at("u", 1, "1")));
    assert_eq!(error.kind, Kind::Exhausted, "no more than is left: {error}");
    // One in the place of another needs no room.
    set_queue(&mut world, |queue| queue.timers = timers);
    done(&mut world, at("t", 1, "2"));
    settle(&mut world);
    done(&mut world, at("u", 1, "3"));
}

#[test]
fn a_timer_is_replaced_and_cancelled_by_its_name() {
    let mut world = with_actor();
    done(&mut world, at("t", 1, "1"));
    let later = world.now_us + SECOND;
    done(&mut world, at("t", later, "2"));
    assert_eq!((due(&world), queue(&world).timers), (Due::At(later), 1));
    done(&mut world, actor::cancel("a", "t"));
    assert_eq!((due(&world), queue(&world).timers), (Due::Never, 0));
    assert_eq!((count(&world, "actor.timer"), count(&world, "actor.due")), (0, 0));
    let error = failure(&world.run(&founder(), actor::cancel("a", "t")));
    assert_eq!(error.kind, Kind::NotFound, "{error}");
    assert!(error.message.contains("althing actor timers a"), "{error}");
}

#[test]
fn what_is_no_timer_is_refused() {
    let mut world = with_actor();
    let long = "x".repeat(limits::ACTOR_TIMER_BYTES_MAX + 1);
    let text = format!("\"{}\"", "x".repeat(limits::ACTOR_MESSAGE_BYTES_MAX));
    for (instruction, words) in [
        (at("", 1, "1"), "not a timer's name"),
        (at("a b", 1, "1"), "not a timer's name"),
        (at("a\0b", 1, "1"), "not a timer's name"),
        (at(&long, 1, "1"), "1 to 64"),
        (at("t", 1, "{ }"), "canonical"),
        (at("t", 1, &text), "the limit is 65536"),
        (every("t", 0, limits::ACTOR_PERIOD_US_MIN - 1, "1"), "the shortest is 100000"),
    ] {
        let error = failure(&world.run(&founder(), instruction));
        assert!(error.kind == Kind::Invalid && error.message.contains(words), "{words}: {error}");
    }
    let nobody = v1::ActorSendAt { actor: "b".into(), timer: "t".into(), ..Default::default() };
    let nobody = v1::ActorSendAt { message: "1".into(), ..nobody };
    let error = failure(&world.run(&founder(), actor::send_at(&nobody)));
    assert_eq!(error.kind, Kind::NotFound, "{error}");
}

#[test]
fn a_timer_ends_with_its_actor_and_says_so_once() {
    let mut world = with_actor();
    done(&mut world, every("t", 0, SECOND, "1"));
    done(&mut world, actor::stop("a"));
    world.now_us += 3 * SECOND;
    settle(&mut world);
    assert_eq!((due(&world), queue(&world).timers), (Due::Never, 0));
    let [(actor, message, reason)] = &letters(&world)[..] else { panic!("{:?}", letters(&world)) };
    assert_eq!((actor.as_str(), message.as_str()), ("a", "1"));
    assert!(reason.contains("is stopped"), "{reason}");
    // One that is removed takes its timers along.
    spawn(&mut world, "b");
    let of_b =
        v1::ActorSendAt { actor: "b".into(), timer: "t".into(), at_us: 1, message: "1".into() };
    done(&mut world, actor::send_at(&of_b));
    done(&mut world, actor::stop("b"));
    done(&mut world, actor::remove("b"));
    assert_eq!((due(&world), queue(&world).timers), (Due::Never, 0));
    assert_eq!((count(&world, "actor.timer"), count(&world, "actor.due")), (0, 0));
}

#[test]
fn who_set_it_must_hold_the_grant_when_it_fires() {
    let mut world = with_actor();
    let author = key(2);
    let id = world.grant(grant(&author, "actor", "send_every", "a"));
    output(&world.run(&author, every("t", 0, SECOND, "1")));
    world.now_us += SECOND;
    settle(&mut world);
    assert_eq!(state(&world, "a"), "[1]");
    done(&mut world, sys::revoke(id));
    world.now_us += SECOND;
    settle(&mut world);
    assert_eq!((state(&world, "a"), info(&world, "a").waiting), ("[1]".into(), 0));
    let [(_, _, reason)] = &letters(&world)[..] else { panic!("{:?}", letters(&world)) };
    assert!(reason.contains("actor/send_every"), "{reason}");
    // It has ended with it.
    assert_eq!((due(&world), queue(&world).timers, queue(&world).timer_bytes), (Due::Never, 0, 0));
}

#[test]
fn a_message_of_the_longest_size_is_set_and_sent() {
    let mut world = with_actor();
    let message = format!("\"{}\"", "x".repeat(limits::ACTOR_MESSAGE_BYTES_MAX - 2));
    let set = v1::ActorTimer::decode(&done(&mut world, at("t", 1, &message))[..]).unwrap();
    assert_eq!((set.message.len(), set.message_bytes), (0, message.len() as u64));
    let listed = world.machine.actor_timers(&world.view(), "a", None, 10).unwrap();
    assert_eq!(listed.items[0].message, message.as_bytes());
    settle(&mut world);
    assert_eq!(state(&world, "a"), format!("[{message}]"));
}

#[test]
fn messages_of_timers_are_bounded_in_bytes() {
    let mut world = with_actor();
    let bytes = limits::ACTOR_TIMERS_BYTES_MAX;
    done(&mut world, at("t", u64::MAX, "100"));
    set_queue(&mut world, |queue| queue.timer_bytes = bytes);
    let error = failure(&world.run(&founder(), at("u", 1, "1")));
    assert_eq!(error.kind, Kind::Exhausted, "{error}");
    assert!(error.message.contains("`althing actor cancel` makes room"), "{error}");
    // A shorter one in the place of another makes room: as much as the program has then.
    set_queue(&mut world, |queue| queue.timer_bytes = bytes - 1);
    done(&mut world, at("t", u64::MAX, "1"));
    assert_eq!(queue(&world).timer_bytes, bytes - 3);
    done(&mut world, at("u", 1, "10"));
    let error = failure(&world.run(&founder(), at("v", 1, "1")));
    assert!(error.message.contains("3 bytes of messages of timers and wants 1 more"), "{error}");
}

#[test]
fn an_actor_has_a_bounded_number_of_timers() {
    let mut world = with_actor();
    spawn(&mut world, "b");
    let most = limits::ACTOR_TIMERS_EACH_MAX;
    let session = world.open(&founder());
    let set = (0..most).map(|n| at(&format!("{n}"), u64::MAX, "1")).collect();
    let envelope = world.envelope(&founder(), session, 1, set);
    world.apply(&envelope).iter().for_each(|outcome| drop(output(outcome)));
    let error = failure(&world.run(&founder(), at("more", 1, "1")));
    assert_eq!(error.kind, Kind::Exhausted, "{error}");
    assert!(error.message.contains("the actor has 64 others"), "{error}");
    done(&mut world, at_of("b", "t", u64::MAX, "1"));
    // One in the place of another.
    done(&mut world, at("0", u64::MAX - 1, "2"));
    done(&mut world, actor::cancel("a", "0"));
    done(&mut world, at("more", u64::MAX, "1"));
    crate::audit::audit(&world);
}

#[test]
fn a_timer_without_room_for_its_message_waits_longer() {
    let mut world = with_actor();
    let period = limits::ACTOR_PERIOD_US_MIN;
    done(&mut world, sys::disable(PROGRAM));
    for _ in 0..limits::ACTOR_WAITING_MAX / 256 {
        let session = world.open(&founder());
        let envelope = world.envelope(&founder(), session, 1, vec![actor::send("a", "0"); 256]);
        world.apply(&envelope).iter().for_each(|outcome| drop(output(outcome)));
    }
    let first = world.now_us;
    done(&mut world, every("t", first, period, "1"));
    settle(&mut world);
    let Due::At(next) = due(&world) else { panic!("{:?}", due(&world)) };
    let pause = limits::ACTOR_TIMER_RETRY_US;
    assert!((world.now_us + pause..=world.now_us + pause + period).contains(&next), "{next}");
    assert_eq!((next - first) % period, 0, "it keeps its times");
    done(&mut world, sys::enable(PROGRAM));
    settle(&mut world);
    world.now_us = next;
    settle(&mut world);
    assert!(state(&world, "a").ends_with(",0,1]"));
    assert_eq!((due(&world), letters(&world).len()), (Due::At(next + period), 0));
}

/// A message of a timer that is not there any more wakes no other one of its name.
#[test]
fn a_timer_is_woken_by_its_own_message() {
    let mut world = with_actor();
    done(&mut world, every("t", 1, SECOND, "1"));
    done(&mut world, sys::disable(PROGRAM));
    settle(&mut world);
    let first = world.now_us + SECOND;
    done(&mut world, every("t", first, SECOND, "2"));
    world.now_us = first;
    settle(&mut world);
    crate::audit::audit(&world);
    assert_eq!((info(&world, "a").waiting, due(&world)), (2, Due::Never));
    done(&mut world, sys::enable(PROGRAM));
    settle(&mut world);
    assert_eq!((state(&world, "a"), due(&world)), ("[1,2]".into(), Due::At(first + SECOND)));
    crate::audit::audit(&world);
}

/// Sets so many timers with long messages, which are due again at once: 32 of each actor `n/N`.
fn long_timers(world: &mut World, count: usize) {
    let message = format!("\"{}\"", "x".repeat(60_000));
    for chunk in (0..count).collect::<Vec<_>>().chunks(32) {
        let id = format!("n/{}", chunk[0] / 32);
        spawn(world, &id);
        let session = world.open(&founder());
        let period = limits::ACTOR_PERIOD_US_MIN;
        let name = |n: &usize| every_of(&id, &n.to_string(), 1, period, &message);
        let set = chunk.iter().map(name).collect();
        let envelope = world.envelope(&founder(), session, 1, set);
        world.apply(&envelope).iter().for_each(|outcome| drop(output(outcome)));
    }
}

#[test]
fn timers_leave_room_for_mail() {
    let mut world = with_actor();
    spawn(&mut world, "quiet");
    // Twice as much as a tick may fire.
    let count = 2 * limits::TICK_TIMERS_BYTES_MAX / 60_000;
    long_timers(&mut world, count);
    let session = world.open(&founder());
    let more = limits::ENTRY_DELIVERIES_MAX + 5;
    let envelope = world.envelope(&founder(), session, 1, vec![actor::send("quiet", "1"); more]);
    world.apply(&envelope);
    assert_eq!(info(&world, "quiet").waiting, 5);
    let applied = world.tick();
    assert_eq!(info(&world, "quiet").waiting, 0, "in the first tick");
    assert_eq!(due(&world), Due::Now, "timers are left");
    let most = limits::TICK_TIMERS_BYTES_MAX + limits::DELIVERIES_WRITES_BYTES_MAX;
    assert!(applied.writes.bytes() < most + (1 << 20), "{}", applied.writes.bytes());
}

#[test]
fn timers_whose_messages_wait_cause_no_ticks() {
    let mut world = world();
    long_timers(&mut world, 32);
    done(&mut world, sys::disable(PROGRAM));
    settle(&mut world);
    assert_eq!((info(&world, "n/0").waiting, count(&world, "actor.due")), (32, 0));
    world.now_us += SECOND;
    assert_eq!(due(&world), Due::Never);
    assert!(world.tick().writes.is_empty());
    crate::audit::audit(&world);
    // One may be cancelled meanwhile.
    done(&mut world, actor::cancel("n/0", "3"));
    assert_eq!(queue(&world).timers, 31);
    crate::audit::audit(&world);
}

#[test]
fn a_tick_fires_a_bounded_number_and_the_rest_is_due() {
    let mut world = world();
    let timers = limits::TICK_TIMERS_MAX + 10;
    let most = limits::ACTOR_TIMERS_EACH_MAX;
    for chunk in (0..timers).collect::<Vec<_>>().chunks(most) {
        spawn(&mut world, &format!("n/{}", chunk[0] / most));
        let session = world.open(&founder());
        let of = |n: &usize| at_of(&format!("n/{}", n / most), &format!("t{n}"), 1, "1");
        let set = chunk.iter().map(of).collect();
        let envelope = world.envelope(&founder(), session, 1, set);
        world.apply(&envelope).iter().for_each(|outcome| drop(output(outcome)));
    }
    world.tick();
    assert_eq!((queue(&world).timers, due(&world)), (10, Due::Now));
    settle(&mut world);
    let handled = (0..=timers / most).map(|n| info(&world, &format!("n/{n}")).step - 1);
    assert_eq!(handled.sum::<u64>(), timers as u64);
}
