//! Limits that take long to reach: of a realm, which the state is told to have reached, and in bytes.

use crate::{
    audit::records,
    common::{World, failure, founder, output},
    guests::actor::Guest,
    keeper::{
        PROGRAM, activate, done, info, letters, queue, set_queue, settle, spawn, steps, world,
    },
};
use althing_protocol::{Kind, actor, limits, sys, v1};

/// An actor whose messages are numbers: it sends a text of so many bytes to `to`, four times. It refuses
/// texts.
const SENDER: Guest<'_> = Guest {
    items: "(func $number (param $at i32) (param $end i32) (result i32)
      (local $n i32)
      (loop $next
        (if (i32.lt_u (local.get $at) (local.get $end)) (then
          (local.set $n (i32.add (i32.mul (local.get $n) (i32.const 10))
            (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next))))
      (local.get $n))",
    init: "(call $text '0')",
    handle: "(local $at i32) (local $bytes i32) (local $left i32)
      (local.set $bytes (call $number (local.get $msg) (i32.add (local.get $msg) (local.get $msg_len))))
      (local.set $at (i32.shl (memory.grow (i32.const 2)) (i32.const 16)))
      (memory.fill (local.get $at) (i32.const 120) (local.get $bytes))
      (i32.store8 (local.get $at) (i32.const 34))
      (i32.store8 (i32.sub (i32.add (local.get $at) (local.get $bytes)) (i32.const 1)) (i32.const 34))
      (local.set $left (i32.const 4))
      (loop $next
        (call $send 'to' (local.get $at) (local.get $bytes))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $next (local.get $left)))
      (call $text (local.get $state) (local.get $state_len))",
    message_contract: "(i32.ne (i32.load8_u (local.get $msg)) (i32.const 34))",
    state_contract: "(i32.const 1)",
    migrate: None,
    describe: None,
};

/// A world with the actors `a`, which sends, and `to`, which is told.
fn with_sender() -> World {
    let mut world = world();
    output(&activate(&mut world, "sender", "1", &SENDER.component()));
    done(&mut world, actor::spawn("a", "sender"));
    spawn(&mut world, "to");
    let of = v1::Grant { subject: "program:sender".into(), ..v1::Grant::default() };
    world.grant(v1::Grant { program: "actor".into(), method: "send".into(), ..of });
    world
}

fn run(world: &mut World, instructions: Vec<v1::Instruction>) -> Vec<v1::Outcome> {
    let session = world.open(&founder());
    let envelope = world.envelope(&founder(), session, 1, instructions);
    world.apply(&envelope)
}

/// The instruction is refused, and says what makes room.
fn exhausted(world: &mut World, instruction: v1::Instruction, words: &str) {
    let error = failure(&world.run(&founder(), instruction));
    assert_eq!(error.kind, Kind::Exhausted, "{error}");
    assert!(error.message.contains(words), "{error}");
}

#[test]
fn actors_of_a_realm() {
    let mut world = world();
    set_queue(&mut world, |queue| queue.actors = limits::ACTORS_MAX - 1);
    spawn(&mut world, "last");
    exhausted(&mut world, actor::spawn("more", PROGRAM), "`althing actor remove` makes room");
    done(&mut world, actor::stop("last"));
    done(&mut world, actor::remove("last"));
    spawn(&mut world, "more");
    assert_eq!(queue(&world).actors, limits::ACTORS_MAX);
}

#[test]
fn bytes_that_one_message_sends() {
    let mut world = with_sender();
    // Each of the four counts with the two bytes of its receiver.
    let most = limits::ACTOR_SENDS_BYTES_MAX / 4 - 2;
    done(&mut world, actor::request("a", most.to_string()));
    settle(&mut world);
    let step = steps(&world, "to").pop().unwrap();
    let Some(v1::actor_step::Kind::Mail(mail)) = step.kind else { panic!("{step:?}") };
    assert_eq!((step.step, mail.message.len()), (5, most));
    let error = failure(&world.run(&founder(), actor::request("a", (most + 1).to_string())));
    assert_eq!(error.kind, Kind::Exhausted, "{error}");
    assert!(error.message.contains(&limits::ACTOR_SENDS_BYTES_MAX.to_string()), "{error}");
    assert_eq!(info(&world, "to").step, 5, "none of them was sent");
}

#[test]
fn bytes_that_deliveries_write() {
    let mut world = with_sender();
    done(&mut world, sys::disable("sender"));
    // Refused, and so it costs little fuel; it is written into the history, and into a dead letter.
    let message = format!("\"{}\"", "x".repeat(limits::ACTOR_MESSAGE_BYTES_MAX - 2));
    let sent = limits::DELIVERIES_WRITES_BYTES_MAX / message.len() / 2 + 10;
    let sends = vec![actor::send("a", message); sent];
    run(&mut world, sends).iter().for_each(|outcome| drop(output(outcome)));
    done(&mut world, sys::enable("sender"));
    world.tick();
    let applied = world.tick();
    let room = limits::DELIVERIES_WRITES_BYTES_MAX..;
    assert!(room.contains(&applied.writes.bytes()), "{}", applied.writes.bytes());
    let handled = info(&world, "a").step - 1;
    assert!((sent as u64 - 12..sent as u64).contains(&handled), "{handled} of {sent}");
    // The rest is not forgotten.
    assert_eq!(queue(&world).waiting, sent as u64 - handled);
    settle(&mut world);
    assert_eq!((info(&world, "a").step - 1, queue(&world).letters), (sent as u64, sent as u64));
}

#[test]
fn bytes_that_an_entry_tells() {
    const ACTORS: usize = 64;
    let mut world = world();
    let ids: Vec<_> = (0..ACTORS).map(|n| format!("a/{n:02}")).collect();
    let spawns = ids.iter().map(|id| actor::spawn(id, PROGRAM)).collect();
    run(&mut world, spawns).iter().for_each(|outcome| drop(output(outcome)));
    let subscribe = |id: &String| {
        let (program, topic, prefix) = ("sys".into(), "kv".into(), b"/k".to_vec());
        actor::subscribe(&v1::ActorTopic { actor: id.clone(), program, topic, prefix })
    };
    run(&mut world, ids.iter().map(subscribe).collect());
    // Nobody handles any of it: what waits is what was told.
    done(&mut world, sys::disable(PROGRAM));
    let value = "x".repeat(limits::ACTOR_MESSAGE_BYTES_MAX - 1_000);
    let puts = (0..6).map(|n| sys::put(format!("/k/{n}"), value.clone())).collect();
    run(&mut world, puts).iter().for_each(|outcome| drop(output(outcome)));
    let messages = records::<v1::ActorMail>(&world, "actor.inbox");
    let bytes = messages.iter().map(|(_, mail)| mail.message.len());
    let (told, one) = (bytes.clone().sum::<usize>(), bytes.max().unwrap());
    let most = limits::ENTRY_TOPIC_BYTES_MAX;
    assert!(told <= most && told + one > most, "{told}");
    // One for each subscription of which something was not told.
    let letters = letters(&world);
    assert_eq!(letters.len(), ACTORS);
    let (_, message, reason) = &letters[0];
    assert!(message.contains("truncated") && !message.contains("xxx"), "{message}");
    assert!(reason.contains(&limits::ENTRY_TOPIC_BYTES_MAX.to_string()), "{reason}");
}
