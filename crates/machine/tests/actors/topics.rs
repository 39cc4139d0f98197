//! Events and changed keys become messages: whose, and which.

use crate::{
    common::{World, failure, founder, grant, key, output},
    keeper::{PROGRAM, activate, count, done, info, letters, queue, settle, spawn, state, world},
    relay,
};
use althing_protocol::{Kind, actor, limits, sys, v1};

pub fn topic(actor: &str, program: &str, topic: &str, prefix: &str) -> v1::ActorTopic {
    let (actor, program, topic) = (actor.into(), program.into(), topic.into());
    v1::ActorTopic { actor, program, topic, prefix: prefix.into() }
}

pub fn subscribe(world: &mut World, of: &v1::ActorTopic) {
    done(world, actor::subscribe(of));
}

/// A world with the actor `a`.
pub fn with_actor() -> World {
    let mut world = world();
    spawn(&mut world, "a");
    world
}

/// The messages of an actor, without what is the same in all: their entry.
pub fn told(world: &World, actor: &str) -> Vec<serde_json::Value> {
    let messages: serde_json::Value = serde_json::from_str(&state(world, actor)).unwrap();
    let mut messages = messages.as_array().unwrap().clone();
    for message in &mut messages {
        message["event"].as_object_mut().unwrap().remove("index").unwrap();
    }
    messages.into_iter().map(|mut message| message["event"].take()).collect()
}

#[test]
fn changed_keys_are_told_by_whole_segments_of_their_prefix() {
    let mut world = with_actor();
    subscribe(&mut world, &topic("a", "sys", "kv", "/r"));
    for key in ["/r", "/r/1", "/rx", "/", "/s/r"] {
        done(&mut world, sys::put(key, "x"));
    }
    done(&mut world, sys::delete("/r/1"));
    done(&mut world, sys::delete("/r/1"));
    done(&mut world, sys::put("/r/2", vec![0xff]));
    let kv = |data: serde_json::Value| serde_json::json!({"program": "sys", "topic": "kv", "data": data});
    assert_eq!(
        told(&world, "a"),
        [
            kv(serde_json::json!({"key": "/r", "value": "x"})),
            kv(serde_json::json!({"key": "/r/1", "value": "x"})),
            kv(serde_json::json!({"key": "/r/1", "value": null})),
            kv(serde_json::json!({"key": "/r/2", "value_base64": "/w=="})),
        ]
    );
}

#[test]
fn a_transaction_tells_each_key_once_and_a_failed_one_nothing() {
    let mut world = with_actor();
    subscribe(&mut world, &topic("a", "sys", "kv", ""));
    subscribe(&mut world, &topic("a", "sys", "kv", "/k"));
    let swap = |expected: &str, value: &str| {
        sys::compare_and_swap(&v1::CompareAndSwap {
            key: b"/k".to_vec(),
            new_value: value.into(),
            expected: Some(v1::compare_and_swap::Expected::Value(expected.into())),
        })
    };
    done(&mut world, sys::put("/k", "1"));
    failure(&world.run(&founder(), swap("0", "2")));
    done(&mut world, swap("1", "2"));
    let values: Vec<_> =
        told(&world, "a").iter().map(|event| event["data"]["value"].clone()).collect();
    assert_eq!(values, ["1", "2"], "two subscriptions of one actor reach the key");
}

#[test]
fn events_of_a_program_are_told_in_order() {
    let mut world = with_actor();
    output(&activate(&mut world, "p", "1", &relay::relay()));
    for name in ["t", "u"] {
        subscribe(&mut world, &topic("a", "p", name, ""));
    }
    let emit = |items: &[&[u8]]| v1::Instruction::new("p", "run", relay::all(items));
    done(&mut world, emit(&[b"et", b"ev", b"eu", b"et"]));
    failure(&world.run(&founder(), emit(&[b"et", b"fno"])));
    let event = |topic: &str| serde_json::json!({"program": "p", "topic": topic});
    assert_eq!(told(&world, "a"), [event("t"), event("u"), event("t")]);
}

#[test]
fn events_of_sys_and_of_actors_are_told_too() {
    let mut world = with_actor();
    subscribe(&mut world, &topic("a", "sys", "program.disabled", ""));
    subscribe(&mut world, &topic("a", "actor", "spawned", ""));
    spawn(&mut world, "b");
    output(&activate(&mut world, "p", "1", &relay::relay()));
    done(&mut world, sys::disable("p"));
    let texts: Vec<_> = told(&world, "a").iter().map(|event| event["data_text"].clone()).collect();
    assert_eq!(texts, ["b", "p"]);
}

#[test]
fn what_is_too_long_for_a_message_is_told_without_its_value() {
    let mut world = with_actor();
    subscribe(&mut world, &topic("a", "sys", "kv", ""));
    done(&mut world, sys::put("/long", vec![b'x'; limits::ACTOR_MESSAGE_BYTES_MAX]));
    assert_eq!(
        told(&world, "a"),
        [serde_json::json!({
            "program": "sys", "topic": "kv", "data": {"key": "/long"}, "truncated": true
        })]
    );
}

#[test]
fn who_may_not_read_a_key_is_not_told_what_it_is() {
    let mut world = with_actor();
    let author = key(2);
    world.grant(grant(&author, "actor", "subscribe", "a"));
    let of = topic("a", "sys", "kv", "/r");
    let error = failure(&world.run(&author, actor::subscribe(&of)));
    assert!(error.message.contains("sys/get"), "{error}");
    let read = world.grant(grant(&author, "sys", "get", "/r"));
    output(&world.run(&author, actor::subscribe(&of)));
    done(&mut world, sys::put("/r/1", "open"));
    assert_eq!(told(&world, "a").len(), 1);
    done(&mut world, sys::revoke(read));
    done(&mut world, sys::put("/r/2", "secret"));
    assert_eq!(told(&world, "a").len(), 1);
    let [(actor, message, reason)] = &letters(&world)[..] else { panic!("{:?}", letters(&world)) };
    assert!(actor == "a" && message.contains("truncated"), "{message}");
    assert!(!message.contains("/r/2") && !message.contains("secret"), "{message}");
    assert!(reason.contains("sys/get"), "{reason}");
    // It has ended with it.
    assert_eq!((queue(&world).subscriptions, count(&world, "actor.topic")), (0, 0));
    done(&mut world, sys::put("/r/3", "secret"));
    assert_eq!(letters(&world).len(), 1);
}

#[test]
fn a_key_that_is_kept_from_its_author_ends_no_subscription() {
    let mut world = with_actor();
    let author = key(2);
    world.grant(grant(&author, "actor", "subscribe", "a"));
    world.grant(grant(&author, "sys", "get", "/r"));
    output(&world.run(&author, actor::subscribe(&topic("a", "sys", "kv", "/r"))));
    world.grant(v1::Grant { exclusive: true, ..grant(&key(3), "sys", "get", "/r/own") });
    done(&mut world, sys::put("/r/own/1", "secret"));
    done(&mut world, sys::put("/r/1", "open"));
    // It was not told of it, and nobody said that it would be.
    assert_eq!((told(&world, "a").len(), letters(&world).len()), (1, 0));
}

#[test]
fn who_may_not_read_a_key_any_more_does_not_get_what_waits() {
    let mut world = with_actor();
    let author = key(2);
    world.grant(grant(&author, "actor", "subscribe", "a"));
    let read = world.grant(grant(&author, "sys", "get", "/r"));
    output(&world.run(&author, actor::subscribe(&topic("a", "sys", "kv", "/r"))));
    done(&mut world, sys::disable(PROGRAM));
    done(&mut world, sys::put("/r/1", "secret"));
    assert_eq!(info(&world, "a").waiting, 1);
    done(&mut world, sys::revoke(read));
    done(&mut world, sys::enable(PROGRAM));
    settle(&mut world);
    assert_eq!((state(&world, "a"), info(&world, "a").waiting), ("[]".into(), 0));
    assert!(letters(&world)[0].2.contains("sys/get at /r/1"), "{:?}", letters(&world));
}

#[test]
fn who_subscribed_must_hold_the_grant_when_it_is_delivered() {
    let mut world = with_actor();
    let author = key(2);
    world.grant(grant(&author, "sys", "get", ""));
    let may = world.grant(grant(&author, "actor", "subscribe", "a"));
    output(&world.run(&author, actor::subscribe(&topic("a", "sys", "kv", ""))));
    done(&mut world, sys::revoke(may));
    done(&mut world, sys::put("/k", "1"));
    settle(&mut world);
    assert_eq!(state(&world, "a"), "[]");
    assert!(letters(&world)[0].2.contains("actor/subscribe"), "{:?}", letters(&world));
}

#[test]
fn a_subscription_ends_when_it_is_cancelled_and_with_its_actor() {
    let mut world = with_actor();
    let of = topic("a", "sys", "kv", "");
    subscribe(&mut world, &of);
    subscribe(&mut world, &of);
    assert_eq!((queue(&world).subscriptions, queue(&world).kv_subscriptions), (1, 1));
    done(&mut world, actor::unsubscribe(&of));
    done(&mut world, sys::put("/k", "1"));
    assert_eq!(state(&world, "a"), "[]");
    let error = failure(&world.run(&founder(), actor::unsubscribe(&of)));
    assert_eq!(error.kind, Kind::NotFound, "{error}");

    subscribe(&mut world, &of);
    done(&mut world, actor::stop("a"));
    done(&mut world, sys::put("/k", "2"));
    done(&mut world, sys::put("/k", "3"));
    assert_eq!(letters(&world).len(), 1, "it says so once");
    spawn(&mut world, "b");
    subscribe(&mut world, &topic("b", "sys", "kv", "/x\0y"));
    subscribe(&mut world, &topic("b", "actor", "spawned", ""));
    done(&mut world, actor::stop("b"));
    done(&mut world, actor::remove("b"));
    assert_eq!((queue(&world).subscriptions, queue(&world).kv_subscriptions), (0, 0));
    assert_eq!((count(&world, "actor.topic"), count(&world, "actor.subscribed")), (0, 0));
}

#[test]
fn a_subscription_of_a_stopped_actor_ends_once() {
    let mut world = with_actor();
    spawn(&mut world, "b");
    output(&activate(&mut world, "p", "1", &relay::relay()));
    for id in ["a", "b"] {
        subscribe(&mut world, &topic(id, "p", "t", ""));
    }
    done(&mut world, actor::stop("a"));
    let twice = relay::all(&[b"et", b"et"]);
    done(&mut world, v1::Instruction::new("p", "run", twice));
    assert_eq!((letters(&world).len(), queue(&world).subscriptions), (1, 1));
    assert_eq!(told(&world, "b").len(), 2);
}

#[test]
fn what_is_no_topic_is_refused() {
    let mut world = with_actor();
    let long = "x".repeat(limits::TOPIC_BYTES_MAX + 1);
    for (of, kind, words) in [
        (topic("a", "sys", "", ""), Kind::Invalid, "wants 1 to 256"),
        (topic("a", "sys", &long, ""), Kind::Invalid, "wants 1 to 256"),
        (topic("a", "sys", "a\0b", ""), Kind::Invalid, "none of them zero"),
        (topic("a", "sys", "member.added", "/x"), Kind::Invalid, "only changed keys"),
        (topic("a", "keeper", "kv", "/x"), Kind::Invalid, "only changed keys"),
        (topic("a", "sys", "kv", &"x".repeat(4_000)), Kind::Invalid, "the limit is 3072"),
        (topic("a", "nobody", "t", ""), Kind::NotFound, "program nobody"),
        (topic("a", PROGRAM, "t", ""), Kind::Invalid, "is an actor, and emits no events"),
        (topic("b", "sys", "kv", ""), Kind::NotFound, "actor b"),
    ] {
        let error = failure(&world.run(&founder(), actor::subscribe(&of)));
        assert!(error.kind == kind && error.message.contains(words), "{words}: {error}");
    }
}
