//! Bookings that go through, and bookings that are undone.
#![allow(clippy::unwrap_used, missing_docs)]

use althing_sdk::{
    serde_json::{Value, json},
    testing::Stage,
};
use saga::Saga;

fn realm(rooms: u32, seats: u32) -> Stage {
    let mut stage = Stage::new();
    for id in ["hotel", "airline", "agency"] {
        assert_eq!(stage.spawn::<Saga>(id), Ok(json!("idle")));
    }
    stage.send("hotel", json!({"stock": {"items": rooms}})).unwrap();
    stage.send("airline", json!({"stock": {"items": seats}})).unwrap();
    let ids = json!({"agency": "agency", "first": "hotel", "second": "airline"});
    stage.send("agency", json!({"organise": ids})).unwrap();
    stage
}

fn book(stage: &mut Stage, order: &str) -> Value {
    stage.send("agency", json!({"book": {"order": order}})).unwrap();
    stage.state("agency")["agency"]["orders"][order].clone()
}

fn free(stage: &Stage, id: &str) -> Value {
    stage.state(id)["inventory"]["free"].clone()
}

#[test]
fn a_booking_takes_one_of_each() {
    let mut stage = realm(2, 2);
    assert_eq!(book(&mut stage, "o1"), "booked");
    assert_eq!((free(&stage, "hotel"), free(&stage, "airline")), (json!(1), json!(1)));
    assert_eq!(stage.letters, []);
}

#[test]
fn when_the_second_refuses_the_first_gives_back() {
    let mut stage = realm(3, 1);
    let ended: Vec<_> = ["o1", "o2", "o3"].map(|order| book(&mut stage, order)).into();
    assert_eq!(ended, ["booked", "failed", "failed"]);
    assert_eq!((free(&stage, "hotel"), free(&stage, "airline")), (json!(2), json!(0)));
    assert!(stage.sent.iter().any(|sent| sent.message.get("release").is_some()));
    assert_eq!(stage.letters, []);
}

#[test]
fn when_the_first_refuses_the_second_is_not_asked() {
    let mut stage = realm(0, 5);
    assert_eq!(book(&mut stage, "o1"), "failed");
    assert_eq!(free(&stage, "airline"), 5);
    assert!(stage.sent.iter().all(|sent| sent.to != "airline"));
}

#[test]
fn a_message_that_comes_twice_does_no_harm() {
    let mut stage = realm(2, 1);
    book(&mut stage, "o1");
    book(&mut stage, "o2");
    let ids = ["hotel", "airline", "agency"];
    let before = ids.map(|id| stage.state(id));
    for sent in stage.sent.clone() {
        // What is asked of an inventory again is asked by somebody else, or the agency would act on it.
        stage.send(&sent.to, sent.message).unwrap();
    }
    assert_eq!(free(&stage, "hotel"), 1, "o2 was given back");
    assert_eq!(ids.map(|id| stage.state(id)), before);
}

#[test]
fn each_takes_what_is_its_own() {
    let mut stage = realm(1, 1);
    for (id, message, reason) in [
        ("agency", json!({"stock": {"items": 1}}), "it is an agency"),
        ("hotel", json!({"book": {"order": "o1"}}), "it is an inventory"),
        ("agency", json!({"book": {"order": ""}}), "0 characters, wants at least 1"),
        ("agency", json!({"book": {}}), "missing field `order`"),
    ] {
        let error = stage.send(id, &message).unwrap_err();
        assert!(error.contains(reason), "{message}: {error}");
    }
}
