//! When it heats.
#![allow(clippy::unwrap_used, missing_docs)]

use althing_sdk::{
    serde_json::{Value, json},
    testing::Stage,
};
use thermostat::Thermostat;

const ID: &str = "home/living";

fn at_21_degrees() -> Stage {
    let mut stage = Stage::new();
    stage.spawn::<Thermostat>(ID).unwrap();
    stage.send(ID, json!({"set": {"target": 21, "hysteresis": 0.5}})).unwrap();
    stage
}

fn reading(value: Value) -> Value {
    let data = json!({"key": "/sensors/living", "value": value});
    json!({"event": {"program": "sys", "topic": "kv", "index": 7, "data": data}})
}

#[test]
fn it_heats_below_and_stops_above() {
    let mut stage = at_21_degrees();
    for (celsius, heats) in [
        ("20.6", false),
        ("20.4", true),
        ("20.6", true),
        ("21.4", true),
        ("21.6", false),
        ("20.6", false),
        ("-5", true),
    ] {
        let state = stage.send(ID, reading(json!(celsius))).unwrap();
        assert_eq!(state["heating"], heats, "{celsius}");
    }
    assert_eq!(stage.state(ID)["reading"], json!({"celsius": -5, "index": 7}));
    let state = stage.send(ID, json!({"set": {"target": 5, "hysteresis": 5}})).unwrap();
    assert_eq!(state["heating"], true, "within the hysteresis");
}

#[test]
fn what_is_no_temperature_changes_nothing() {
    let mut stage = at_21_degrees();
    let before = stage.send(ID, reading(json!("18"))).unwrap();
    for value in [json!("warm"), json!(""), json!(null), json!("400"), json!("NaN")] {
        assert_eq!(stage.send(ID, reading(value)).unwrap(), before);
    }
    let binary = json!({"key": "/sensors/living", "value_base64": "/w=="});
    let mut event = reading(json!(null));
    event["event"]["data"] = binary;
    assert_eq!(stage.send(ID, event).unwrap(), before);
    assert_eq!(stage.logs.iter().filter(|(_, line)| line.contains("no temperature")).count(), 6);
}

#[test]
fn the_heater_is_told_when_it_changes() {
    let mut stage = at_21_degrees();
    stage.send(ID, json!({"wire": {"heater": "home/boiler"}})).unwrap();
    for celsius in ["18", "19", "22", "23", "18"] {
        stage.send(ID, reading(json!(celsius))).unwrap();
    }
    stage.send(ID, json!({"wire": {"heater": null}})).unwrap();
    let told: Vec<_> = stage.sent.iter().map(|sent| &sent.message["switch"]["on"]).collect();
    assert_eq!(told, [true, false, true, false]);
    assert!(stage.sent.iter().all(|sent| sent.to == "home/boiler"));
    assert_eq!(stage.state(ID)["heating"], true, "it is still cold");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut stage = at_21_degrees();
    let mut other = reading(json!("18"));
    other["event"]["topic"] = json!("news");
    for (message, reason) in [
        (json!({"set": {"target": 99, "hysteresis": 1}}), "`set.target`: 99, wants at most 35"),
        (json!({"set": {"target": 20}}), "`set`: missing field `hysteresis`"),
        (other, "subscribe it to sys, kv"),
        (json!({"heat": true}), "wants one of"),
    ] {
        let error = stage.send(ID, &message).unwrap_err();
        assert!(error.contains(reason), "{message}: {error}");
    }
}
