//! What events and changed keys become is bounded, and nothing is lost in silence.

use crate::{
    common::{World, failure, founder, grant, key, output},
    guests,
    keeper::{
        KEEPER, PROGRAM, activate, done, info, letters, queue, set_queue, settle, spawn, world,
    },
    topics::{subscribe, told, topic, with_actor},
};
use althing_machine::Applied;
use althing_protocol::{Kind, SecretKey, actor, limits, sys, v1};
use prost::Message;

#[test]
fn a_realm_has_a_bounded_number_of_subscriptions() {
    let mut world = with_actor();
    subscribe(&mut world, &topic("a", "sys", "kv", "/a"));
    set_queue(&mut world, |queue| queue.subscriptions = limits::ACTOR_SUBSCRIPTIONS_MAX);
    let another = actor::subscribe(&topic("a", "sys", "kv", "/b"));
    let error = failure(&world.run(&founder(), another));
    assert_eq!(error.kind, Kind::Exhausted, "{error}");
    // The same again is none more.
    subscribe(&mut world, &topic("a", "sys", "kv", "/a"));
}

/// Runs all of it in one entry.
fn entry(world: &mut World, author: &SecretKey, instructions: &[v1::Instruction]) -> Applied {
    let session = world.open(author);
    let envelope = world.envelope(author, session, 1, instructions.to_vec());
    world.apply_all(&envelope)
}

/// Runs all of it in entries of the largest size.
fn run_all(
    world: &mut World,
    author: &SecretKey,
    instructions: &[v1::Instruction],
) -> Vec<v1::Outcome> {
    let chunks = instructions.chunks(limits::BATCH_PAYLOADS_MAX);
    chunks.flat_map(|chunk| entry(world, author, chunk).result.outcomes).collect()
}

/// The same, all of which succeeds.
fn do_all(world: &mut World, author: &SecretKey, instructions: &[v1::Instruction]) {
    run_all(world, author, instructions).iter().for_each(|outcome| drop(output(outcome)));
}

#[test]
fn one_event_reaches_a_bounded_number_of_actors() {
    let mut world = world();
    let actors: Vec<_> = (0..=limits::ACTOR_SUBSCRIBERS_MAX).map(|n| format!("a/{n:03}")).collect();
    let spawn: Vec<_> = actors.iter().map(|id| actor::spawn(id, PROGRAM)).collect();
    do_all(&mut world, &founder(), &spawn);
    // Half of them at a key, and half of them above it.
    let of = |(n, id): (usize, &String)| {
        let prefix = if n % 2 == 0 { "/k/1" } else { "/k" };
        actor::subscribe(&topic(id, "sys", "kv", prefix))
    };
    let subscribe: Vec<_> = actors.iter().enumerate().map(of).collect();
    let outcomes = run_all(&mut world, &founder(), &subscribe);
    let (last, others) = outcomes.split_last().unwrap();
    others.iter().for_each(|outcome| drop(output(outcome)));
    let error = failure(last);
    assert_eq!(error.kind, Kind::Exhausted, "{error}");
    let above = actor::subscribe(&topic(actors.last().unwrap(), "sys", "kv", "/"));
    assert_eq!(failure(&world.run(&founder(), above)).kind, Kind::Exhausted);
    let beside = actor::subscribe(&topic(actors.last().unwrap(), "sys", "kv", "/k/2"));
    output(&world.run(&founder(), beside));

    // An entry with more of them than it may tell: what is told is delivered, the rest is noted.
    let put = |n: usize| sys::put("/k/1", n.to_string());
    let puts: Vec<_> = (0..limits::BATCH_PAYLOADS_MAX).map(put).collect();
    do_all(&mut world, &founder(), &puts);
    assert_eq!(letters(&world).len(), limits::ACTOR_SUBSCRIBERS_MAX);
    assert!(letters(&world)[0].2.contains("limits are 4096"), "{:?}", letters(&world)[0]);
    settle(&mut world);
    let told = limits::ENTRY_TOPIC_MESSAGES_MAX / limits::ACTOR_SUBSCRIBERS_MAX;
    assert_eq!(info(&world, "a/000").step, 1 + told as u64);
}

/// A transaction that puts these keys.
fn puts(keys: impl Iterator<Item = String>) -> v1::Instruction {
    let put = |key: String| v1::Put { key: key.into(), value: "1".into() };
    let op = |key| v1::Op { op: Some(v1::op::Op::Put(put(key))) };
    let txn = v1::Txn { success: keys.map(op).collect(), ..v1::Txn::default() };
    v1::Instruction::new("sys", "txn", txn.encode_to_vec())
}

/// Changes keys of which each could have as many prefixes as it has bytes.
fn use_all_looks() -> v1::Instruction {
    let deep = |n: usize| format!("{}{n:03}", "/".repeat(3_000));
    puts((0..=limits::ENTRY_TOPIC_LOOKS_MAX / 3_000).map(deep))
}

#[test]
fn an_entry_looks_at_a_bounded_number_of_subscriptions() {
    let mut world = with_actor();
    for prefix in ["/near", "/far", "/late"] {
        let id = prefix.trim_start_matches('/');
        spawn(&mut world, id);
        subscribe(&mut world, &topic(id, "sys", "kv", prefix));
    }
    do_all(
        &mut world,
        &founder(),
        &[
            sys::put("/near/1", "1"),
            use_all_looks(),
            sys::put("/far/1", "1"),
            actor::unsubscribe(&topic("late", "sys", "kv", "/late")),
            actor::subscribe(&topic("late", "sys", "kv", "/late")),
            actor::subscribe(&topic("a", "sys", "kv", "/near")),
            sys::put("/near/2", "1"),
        ],
    );
    settle(&mut world);
    assert_eq!((told(&world, "near").len(), told(&world, "far").len()), (1, 0));
    // What is left was not looked at: each of them is told so, once, also who comes later.
    let mut noted: Vec<_> = letters(&world).into_iter().map(|(actor, ..)| actor).collect();
    noted.sort();
    assert_eq!(noted, ["a", "far", "late", "near"]);
    assert!(
        letters(&world)[0].2.contains("131072 subscriptions looked at"),
        "{:?}",
        letters(&world)
    );
    // That was it for this entry, and no more.
    done(&mut world, sys::put("/far/2", "1"));
    assert_eq!(told(&world, "far").len(), 1);
}

#[test]
fn one_letter_says_that_a_subscription_was_not_told_while_it_is_kept() {
    let mut world = with_actor();
    subscribe(&mut world, &topic("a", "sys", "kv", "/a"));
    let not_told = [use_all_looks(), sys::put("/a/1", "1"), sys::put("/a/2", "1")];
    for _ in 0..3 {
        do_all(&mut world, &founder(), &not_told);
        assert_eq!(letters(&world).len(), 1);
        // The same again is none more.
        subscribe(&mut world, &topic("a", "sys", "kv", "/a"));
    }
    // Somebody took note of it: what it is not told of now is something else.
    done(&mut world, actor::retry("a", 0));
    settle(&mut world);
    assert_eq!((told(&world, "a").len(), letters(&world).len()), (1, 0));
    do_all(&mut world, &founder(), &not_told);
    assert_eq!(letters(&world).len(), 1);
}

#[test]
fn what_is_kept_from_an_author_writes_nothing() {
    const ACTORS: usize = 64;
    let author = key(2);
    let written = |subscribers: usize| {
        let mut world = world();
        let ids: Vec<_> = (0..ACTORS).map(|n| format!("a/{n:03}")).collect();
        let spawn: Vec<_> = ids.iter().map(|id| actor::spawn(id, PROGRAM)).collect();
        do_all(&mut world, &founder(), &spawn);
        world.grant(grant(&author, "actor", "subscribe", ""));
        world.grant(grant(&author, "sys", "get", ""));
        world.grant(v1::Grant { exclusive: true, ..grant(&key(3), "sys", "get", "/own") });
        let of = |id: &String| actor::subscribe(&topic(id, "sys", "kv", ""));
        let subscribe: Vec<_> = ids[..subscribers].iter().map(of).collect();
        do_all(&mut world, &author, &subscribe);
        let keys = (0..limits::TXN_OPS_MAX).map(|n| format!("/own/{n}"));
        let applied = entry(&mut world, &founder(), &[puts(keys)]);
        output(&applied.result.outcomes[0]);
        assert_eq!((letters(&world).len(), queue(&world).subscriptions), (0, subscribers as u64));
        applied.writes.len()
    };
    assert_eq!(written(ACTORS), written(1));
}

/// A contract that puts long values, so many or as many as the entry may write, and emits an event.
fn filler(puts: u32) -> Vec<u8> {
    let body = format!(
        "(loop $more
          (i32.store (i32.const 512) (i32.add (i32.const 1) (i32.load (i32.const 512))))
          (call $put (i32.const 512) (i32.const 4) (i32.const 8192) (i32.const 65000)
            (global.get $ret))
          (br_if $more (i32.and (i32.eqz (i32.load8_u (global.get $ret)))
            (i32.lt_u (i32.load (i32.const 512)) (i32.const {puts})))))
        (call $emit (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 0) (global.get $ret))
        (call $ok (i32.const 0) (i32.const 0))"
    );
    guests::component(&guests::module("(data (i32.const 1024) \"t\")", &body))
}

/// A world with such a contract, and actors of these ids, in turn of these programs.
fn with_filler(puts: u32, ids: &[String], programs: &[&str]) -> World {
    let mut world = World::new();
    for program in programs {
        output(&activate(&mut world, program, "1", &KEEPER.component()));
    }
    let (program, image) = ("filler".to_owned(), world.upload(&filler(puts)).0.to_vec());
    let manifest = v1::Manifest { fuel_max: limits::FUEL_MAX, ..v1::Manifest::default() };
    let manifest = Some(manifest);
    let stage =
        v1::Stage { program: program.clone(), image: image.clone(), manifest, signature: None };
    done(&mut world, sys::stage(&stage));
    done(&mut world, sys::activate(&v1::Activate { program, image }));
    let spawn = ids.iter().zip(programs.iter().cycle()).map(|(id, of)| actor::spawn(id, *of));
    do_all(&mut world, &founder(), &spawn.collect::<Vec<_>>());
    world
}

fn fill() -> v1::Instruction {
    v1::Instruction::new("filler", "run", Vec::new())
}

#[test]
fn an_entry_that_writes_all_that_it_may_loses_nothing_in_silence() {
    const ACTORS: usize = 200;
    let ids: Vec<_> = (0..ACTORS).map(|n| format!("a/{n:03}")).collect();
    let mut world = with_filler(u32::MAX, &ids, &[PROGRAM]);
    let of = |id: &String| actor::subscribe(&topic(id, "filler", "t", ""));
    let subscribe: Vec<_> = ids.iter().map(of).collect();
    do_all(&mut world, &founder(), &subscribe);
    let applied = entry(&mut world, &founder(), &[fill()]);
    output(&applied.result.outcomes[0]);
    // There was no room left for as many notes.
    let room = limits::SCOPE_WRITES_BYTES_MAX;
    assert!(applied.writes.bytes() > room, "{}", applied.writes.bytes());
    assert_eq!((letters(&world).len(), queue(&world).waiting), (ACTORS, 0));
    assert!(letters(&world)[0].2.contains("read on in the log"), "{:?}", letters(&world)[0]);
}

#[test]
fn all_subscriptions_of_a_realm_end_within_what_entries_may_write() {
    const EACH: usize = limits::ACTOR_SUBSCRIPTIONS_MAX as usize / limits::ACTOR_SUBSCRIBERS_MAX;
    let author = key(2);
    let id = |n| format!("{n:a>width$}", width = limits::ACTOR_ID_BYTES_MAX);
    let ids: Vec<_> = (0..limits::ACTOR_SUBSCRIBERS_MAX).map(id).collect();
    let prefix = |n| format!("/{n:x>width$}", width = limits::ACTOR_PREFIX_BYTES_MAX - 1);
    // An entry has room for few letters behind what it fills; all of them are kept.
    let mut world = with_filler(1_000, &ids, &["p", "q", "r"]);
    world.grant(grant(&author, "actor", "subscribe", ""));
    let read = world.grant(grant(&author, "sys", "get", ""));
    let of = |n: usize| actor::subscribe(&topic(&ids[n / EACH], "sys", "kv", &prefix(n % EACH)));
    do_all(&mut world, &author, &(0..EACH * ids.len()).map(of).collect::<Vec<_>>());
    assert_eq!(queue(&world).subscriptions, limits::ACTOR_SUBSCRIPTIONS_MAX);
    done(&mut world, sys::revoke(read));

    let change = puts((0..EACH).map(|n| format!("{}/1", prefix(n))));
    let applied = entry(&mut world, &founder(), &[fill(), change]);
    applied.result.outcomes.iter().for_each(|outcome| drop(output(outcome)));
    let (bytes, room) = (applied.writes.bytes(), limits::SCOPE_WRITES_BYTES_MAX);
    assert!(bytes > room && bytes <= room + limits::ENTRY_NOTES_BYTES_MAX, "{bytes}");
    let left = queue(&world).subscriptions;
    assert!(left > 0 && left < limits::ACTOR_SUBSCRIPTIONS_MAX, "{left}");
    // All of them have a letter: that they ended, or that they were not told.
    let of_all = queue(&world).letters;
    assert_eq!(of_all, limits::ACTOR_SUBSCRIPTIONS_MAX);
    // What did not end in this entry ends with the next thing to tell.
    done(&mut world, sys::put(format!("{}/1", prefix(9)), "2"));
    assert_eq!(queue(&world).subscriptions, left - ids.len() as u64);
    assert_eq!(queue(&world).letters, of_all + ids.len() as u64);
}
