//! The data directory: made whole, held by one process, and the same after a restart.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_node::{InitOptions, Node, init};
use althing_protocol::Kind;
use common::{TestNode, config, data_dir, founder, make};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn what_exists_is_not_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let dir = data_dir(&home);
    let first = make(&dir);
    let again = InitOptions {
        dir: dir.clone(),
        name: "home".into(),
        founder: founder().public(),
        settings: Vec::new(),
    };
    let refused = init(&again).unwrap_err();
    assert_eq!(refused.kind, Kind::Conflict);
    assert!(refused.message.contains(dir.to_str().unwrap()), "{refused}");

    let file = home.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert_eq!(init(&InitOptions { dir: file.clone(), ..again }).unwrap_err().kind, Kind::Conflict);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    // Nothing half made is left beside it.
    let mut names: Vec<_> =
        fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["data", "file"]);
    assert_eq!(first.dir, dir);
}

#[test]
fn an_init_that_fails_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let dir = data_dir(&home);
    let name = "x".repeat(1 << 20);
    let made = InitOptions { dir, name, founder: founder().public(), settings: Vec::new() };
    init(&made).unwrap_err();
    let settings = vec![("peers.listen".to_owned(), "0.0.0.0:3001".to_owned())];
    let refused = init(&InitOptions { name: "home".into(), settings, ..made }).unwrap_err();
    assert!(refused.message.contains("peers.advertise"), "{refused}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn an_empty_directory_may_be_used() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(data_dir(&home)).unwrap();
    make(&data_dir(&home));
}

#[test]
fn only_the_owner_reads_it_and_all_keys_differ() {
    let home = tempfile::tempdir().unwrap();
    let made = make(&data_dir(&home));
    assert_ne!(made.node, made.local);
    assert_ne!(made.node, founder().public());
    assert_ne!(made.local, founder().public());
    assert_eq!(mode(&made.dir), 0o700);
    for secret in ["node.key", "callers/local.key", "callers/local.token", "callers/local.toml"] {
        assert_eq!(mode(&made.dir.join(secret)), 0o600, "{secret}");
    }
    assert!(made.dir.join("config/host.toml").exists());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_directory_that_is_held_is_not_opened_twice() {
    let test = TestNode::start().await;
    let refused = Node::start(config(&test.dir(), &[])).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unavailable);
    assert!(refused.message.contains(test.dir().to_str().unwrap()), "{refused}");
    assert_eq!(test.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_directory_without_a_realm_says_how_to_make_one() {
    let home = tempfile::tempdir().unwrap();
    let refused = Node::start(config(home.path(), &[])).await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotFound);
    assert!(refused.message.contains("althing init"), "{refused}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let home = tempfile::tempdir().unwrap();
    make(&data_dir(&home));
    let mut config = config(&data_dir(&home), &[]);
    config.settings.http.listen = address;
    let refused = Node::start(config).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unavailable);
    assert!(refused.message.contains(&address.to_string()), "{refused}");
}

#[tokio::test]
async fn a_restart_has_the_same_answers_and_the_same_tokens() {
    let test = TestNode::start().await;
    let made = test.output("action:token.create.v1", json!({"name": "phone"})).await;
    test.output("action:kv.put.v1", json!({"key": "/a", "value": "b"})).await;
    let address_file = test.dir().join("address");
    let address = fs::read_to_string(&address_file).unwrap();
    assert_eq!(address, format!("http://{}\n", test.node.address()));

    let test = test.restart().await;
    assert_eq!(test.output("query:kv.get.v1", json!({"key": "/a"})).await["value"], "b");
    let token = made["token"].as_str().unwrap();
    assert_eq!(test.call_as(token, "query:kv.get.v1", json!({"key": "/a"})).await.status, 403);
    test.node.shutdown().await.unwrap();
    assert!(!address_file.exists(), "nobody looks for a node that is gone");
    test.node.shutdown().await.unwrap();
}
