//! A snapshot is saved from a running node, and put back into one that does not run.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

mod common;

use common::User;
use std::fs;

#[test]
fn a_node_goes_back_to_a_snapshot() {
    let user = User::new();
    let node = user.up();
    user.deploy("counter");
    user.says(&["kv", "put", "/a", "before"]);
    user.says(&["call", "counter", "increment", r#"{"by":4}"#]);
    let saved = user.json(&["snapshot", "save", "good"]);
    user.says(&["kv", "put", "/a", "after"]);
    user.says(&["call", "counter", "increment"]);
    let file = saved["path"].as_str().unwrap().to_owned();

    let (code, kind, _) = user.fails(&["snapshot", "restore", &file, "--yes"]);
    assert_eq!((code, kind.as_str()), (9, "unavailable"), "the node runs");
    node.interrupt();

    let dry = user.json(&["snapshot", "restore", &file, "--dry-run"]);
    assert_eq!(dry["state_hash"], saved["state_hash"]);
    let mut broken = fs::read(&file).unwrap();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    fs::write(user.path("broken"), broken).unwrap();
    let broken = user.path("broken");
    let (code, ..) = user.fails(&["snapshot", "restore", broken.to_str().unwrap(), "--yes"]);
    assert_eq!(code, 2);
    let node = user.up();
    assert_eq!(user.says(&["kv", "get", "/a"]), "after", "neither changed anything");
    node.interrupt();

    let restored = user.json(&["snapshot", "restore", &file, "--yes"]);
    assert!(fs::exists(restored["previous"].as_str().unwrap()).unwrap());
    let _node = user.up();
    assert_eq!(user.says(&["kv", "get", "/a"]), "before");
    assert_eq!(user.says(&["call", "counter", "increment"]), "5", "images came along");
    user.says(&["log", "verify"]);
}

#[test]
fn a_snapshot_of_another_realm_is_refused() {
    let (user, other) = (User::new(), User::new());
    let node = other.up();
    let saved = other.json(&["snapshot", "save"]);
    node.interrupt();
    let node = user.up();
    node.interrupt();
    let file = saved["path"].as_str().unwrap();
    let (_, _, message) = user.fails(&["snapshot", "restore", file, "--yes"]);
    assert!(message.contains("of realm"), "{message}");
}
