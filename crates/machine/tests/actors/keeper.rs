//! Actors that keep every message that they got, and what is done with them in a world.

use crate::{
    common::{World, founder, output},
    guests::actor::Guest,
};
use althing_machine::Due;
use althing_protocol::{Hash, actor, sys, v1};
use althing_state::Key;
use prost::Message;
use std::ops::Bound;

/// The program of all these actors.
pub const PROGRAM: &str = "keeper";

/// Its state is the list of all messages.
pub const KEEPER: Guest<'_> = Guest {
    items: "",
    init: "(call $text '[]')",
    handle: "(local $at i32)
      (i32.store8 (i32.const 16384) (i32.const 91))
      (local.set $at (i32.add (i32.const 16385) (i32.sub (local.get $state_len) (i32.const 2))))
      (memory.copy (i32.const 16385) (i32.add (local.get $state) (i32.const 1))
        (i32.sub (local.get $state_len) (i32.const 2)))
      (if (i32.gt_u (local.get $state_len) (i32.const 2)) (then
        (i32.store8 (local.get $at) (i32.const 44))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))))
      (memory.copy (local.get $at) (local.get $msg) (local.get $msg_len))
      (local.set $at (i32.add (local.get $at) (local.get $msg_len)))
      (i32.store8 (local.get $at) (i32.const 93))
      (call $text (i32.const 16384) (i32.sub (local.get $at) (i32.const 16383)))",
    message_contract: "(i32.const 1)",
    state_contract: "(i32.const 1)",
    migrate: None,
    describe: None,
};

/// The same as another component.
pub fn another(guest: &Guest<'_>, mark: u8) -> Vec<u8> {
    let mut component = guest.component();
    component.extend([0, 3, 1, b'v', mark]);
    component
}

/// A world with the first version of the program.
pub fn world() -> World {
    let mut world = World::new();
    output(&activate(&mut world, PROGRAM, "1", &KEEPER.component()));
    world
}

/// Stages and activates a version.
pub fn activate(world: &mut World, program: &str, version: &str, component: &[u8]) -> v1::Outcome {
    let image = world.upload(component).0.to_vec();
    let manifest = Some(v1::Manifest { version: version.into(), ..v1::Manifest::default() });
    let program = program.to_owned();
    let stage =
        v1::Stage { program: program.clone(), image: image.clone(), manifest, signature: None };
    output(&world.run(&founder(), sys::stage(&stage)));
    world.run(&founder(), sys::activate(&v1::Activate { program, image }))
}

pub fn spawn(world: &mut World, actor: &str) {
    done(world, actor::spawn(actor, PROGRAM));
}

/// Runs as the founder what succeeds.
pub fn done(world: &mut World, instruction: v1::Instruction) -> Vec<u8> {
    output(&world.run(&founder(), instruction))
}

pub fn state(world: &World, actor: &str) -> String {
    let found = world.machine.actor_state(&world.view(), actor, None).unwrap();
    let text = String::from_utf8(found.state.unwrap().to_vec()).unwrap();
    let (info, hash) = (found.info, Hash::of(text.as_bytes()).0);
    assert_eq!((&found.hash[..], &info.state_hash[..]), (&hash[..], &hash[..]), "{actor}");
    assert_eq!(info.state_bytes, text.len() as u64, "{actor}");
    text
}

pub fn info(world: &World, actor: &str) -> v1::ActorInfo {
    world.machine.actor(&world.view(), actor).unwrap()
}

/// All steps of an actor.
pub fn steps(world: &World, actor: &str) -> Vec<v1::ActorStep> {
    let order = althing_state::Order::Ascending;
    world.machine.actor_history(&world.view(), actor, None, order, 1_000).unwrap().items
}

/// Receiver, message and reason of each dead letter.
pub fn letters(world: &World) -> Vec<(String, String, String)> {
    let found = world.machine.actor_letters(&world.view(), None, None, 1_000).unwrap().letters;
    let told = |letter: v1::ActorLetter| {
        let message = letter.mail.unwrap().message;
        let reason = letter.failure.unwrap().message;
        (letter.actor, String::from_utf8(message).unwrap(), reason)
    };
    found.into_iter().map(told).collect()
}

/// What is known of the program's actors.
pub fn program(world: &World) -> v1::ActorProgram {
    let stored = world.view().get(&Key::new("actor.program", PROGRAM.as_bytes())).unwrap();
    v1::ActorProgram::decode(&*stored.unwrap_or_default()).unwrap()
}

pub fn queue(world: &World) -> v1::ActorQueue {
    let stored = world.view().get(&Key::new("actor.meta", b"queue")).unwrap();
    v1::ActorQueue::decode(&*stored.unwrap_or_default()).unwrap()
}

/// Makes the realm look as if it had as much of something as there may be.
pub fn set_queue(world: &mut World, change: impl FnOnce(&mut v1::ActorQueue)) {
    let mut queue = queue(world);
    change(&mut queue);
    let mut writes = althing_state::Writes::new();
    writes.put(Key::new("actor.meta", b"queue"), queue.encode_to_vec());
    world.tip.merge(writes);
}

/// Pairs of a keyspace.
pub fn count(world: &World, keyspace: &str) -> usize {
    let page = world.view().scan(keyspace, Bound::Unbounded, b"", usize::MAX, usize::MAX);
    page.unwrap().pairs.len()
}

pub fn due(world: &World) -> Due {
    world.machine.due(&world.view(), world.now_us).unwrap()
}

/// Ticks until nothing is due; gives how many it took.
pub fn settle(world: &mut World) -> usize {
    for ticks in 0..1_000 {
        if due(world) != Due::Now {
            return ticks;
        }
        world.tick();
    }
    panic!("something is due for ever: {:?}", queue(world));
}
