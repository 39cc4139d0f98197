//! A baton goes its way and stops.
#![allow(clippy::unwrap_used, missing_docs)]

use althing_sdk::{serde_json::json, testing::Stage};
use relay::Relay;

#[test]
fn a_baton_goes_round_and_stops() {
    let mut stage = Stage::new();
    for (runner, next) in [("a", "b"), ("b", "c"), ("c", "a")] {
        stage.spawn::<Relay>(runner).unwrap();
        stage.send(runner, json!({"next": {"runner": next}})).unwrap();
    }
    stage.send("a", json!({"run": {"legs": 10}})).unwrap();
    let runs = ["a", "b", "c"].map(|runner| stage.state(runner)["runs"].clone());
    assert_eq!(runs, [json!(4), json!(4), json!(3)]);
    assert_eq!(stage.letters, []);
}

#[test]
fn a_runner_who_knows_nobody_refuses_it() {
    let mut stage = Stage::new();
    stage.spawn::<Relay>("a").unwrap();
    let refused = stage.send("a", json!({"run": {"legs": 1}})).unwrap_err();
    assert!(refused.to_string().contains("nobody is next"), "{refused}");
    stage.send("a", json!({"run": {"legs": 0}})).unwrap();
}
