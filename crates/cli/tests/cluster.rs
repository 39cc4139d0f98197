//! Several machines as one realm: real processes, each with a home of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

mod common;

use althing_protocol::JoinToken;
use common::{Ran, Running, User};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const PEERS: [&str; 2] = ["--peers", "127.0.0.1:0"];

/// A machine that founds a realm others can join.
fn found() -> (User, Running) {
    let machine = User::new();
    let (node, said) = machine.up_with(&PEERS);
    assert!(said["peers"].as_str().unwrap().starts_with("127.0.0.1:"), "{said}");
    (machine, node)
}

fn invite(machine: &User, args: &[&str]) -> String {
    machine.json(&[&["invite"], args].concat())["token"].as_str().unwrap().to_owned()
}

/// Flags of a node that takes ports that are free.
fn joining<'a>(token: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [&["join", token, "--listen", "127.0.0.1:0"], &PEERS[..], args].concat()
}

/// A machine that joined, and may do everything.
fn join(first: &User, member: u64) -> (User, Running) {
    let machine = User::new();
    // All that it prints, as a shell keeps it.
    machine.write("token", &first.says(&["invite"]));
    let file = format!("@{}", machine.path("token").display());
    let mut node = machine.start(&joining(&file, &[]));
    let said = node.line();
    assert_eq!(said["member"], json!(member), "{said}");

    // How its own node is, a machine may ask without a grant.
    assert_eq!(machine.json(&["status"])["member"], json!(member));
    let (code, _, message) = machine.fails(&["kv", "put", "/early", "1"]);
    assert_eq!((code, message.contains("althing grant key:")), (4, true), "{message}");
    let local = format!("key:{}", said["local"].as_str().unwrap());
    assert!(said["grant"].as_str().unwrap().contains(&local), "{said}");
    first.says(&["grant", &local, "*/*"]);
    (machine, node)
}

/// Asks until the answer is `Some`.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} did not come to pass");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What the members are now, by their ids.
fn now(machine: &User) -> Vec<(u64, String)> {
    let listed = machine.json(&["members"]);
    let members = listed["members"].as_array().unwrap().iter();
    let now = |member: &Value| {
        (member["id"].as_u64().unwrap(), member["live"]["is"].as_str().unwrap().to_owned())
    };
    members.map(now).collect()
}

fn until_they_vote(machine: &User, count: usize) {
    until("all vote", || {
        let now = now(machine);
        let vote = now.iter().all(|(_, is)| is == "voter" || is == "leader");
        (now.len() == count && vote).then_some(())
    });
}

fn get(machine: &User, key: &str) -> String {
    machine.says(&["kv", "get", key])
}

#[test]
fn three_machines_are_one_realm() {
    let (one, node_one) = found();
    let (two, _node_two) = join(&one, 2);
    let (three, node_three) = join(&one, 3);
    until_they_vote(&one, 3);
    for (n, writer) in [&one, &two, &three].into_iter().enumerate() {
        let (key, value) = (format!("/from/{n}"), n.to_string());
        writer.says(&["kv", "put", &key, &value]);
        for reader in [&one, &two, &three] {
            assert_eq!(get(reader, &key), value);
        }
    }
    let labels = &three.json(&["members"])["members"][0]["labels"];
    assert_eq!(labels["arch"], std::env::consts::ARCH);

    // One dies; the others go on, and say so.
    drop(node_one);
    two.says(&["kv", "put", "/without", "one"]);
    assert_eq!(get(&three, "/without"), "one");
    until("the silence of member 1", || {
        let listed = three.json(&["members"]);
        let silent_ms = listed["members"][0]["live"]["heard_ms_ago"].as_u64().unwrap_or(u64::MAX);
        (listed["leader"] != 1 && silent_ms > 3_000).then_some(())
    });
    let (code, _, message) = two.fails(&["demote", "3"]);
    assert_eq!((code, message.contains("do not answer: 1")), (5, true), "{message}");

    // It comes back where it was, at another port.
    let (node_one, _) = one.up_with(&PEERS);
    assert_eq!(get(&one, "/without"), "one");
    until_they_vote(&one, 3);
    let led = until("a level member 1", || {
        let ran = two.run(&["transfer-leader", "1", "--json"]);
        (ran.code == 0).then(|| serde_json::from_str::<Value>(&ran.out).unwrap())
    });
    assert_eq!(led, json!({"leader": 1}));
    assert_eq!(one.json(&["status"])["leads"], true);
    assert_eq!(two.json(&["status"])["leader"], 1);

    // One leaves for good.
    assert_eq!(three.json(&["leave", "--dry-run"])["voters_left"], 2);
    assert_eq!(three.fails(&["leave"]).0, 2, "nobody was asked");
    assert_eq!(three.json(&["leave", "--yes"])["member"], 3);
    node_three.end();
    until_they_vote(&one, 2);
    let again = three.run(&["up", "--listen", "127.0.0.1:0"]);
    let words = "conflict: this node was member 3 and is none any more, by entry";
    assert_eq!((again.code, again.err.contains(words)), (5, true), "{again:?}");
    two.says(&["kv", "put", "/after", "three"]);
    assert_eq!(get(&one, "/after"), "three");

    // And so does the one that leads; the last one stays.
    one.says(&["leave", "--yes"]);
    node_one.end();
    two.says(&["kv", "put", "/after", "one"]);
    assert_eq!(now(&two), [(2, "leader".to_owned())]);
    let (code, _, message) = two.fails(&["leave", "--yes"]);
    assert_eq!((code, message.contains("last voter")), (5, true), "{message}");
    assert_eq!(get(&two, "/after"), "one");
}

/// Whether a node takes requests, as what balances load asks it.
fn is_ready(said: &Value) -> bool {
    let address = said["address"].as_str().unwrap().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 200")
}

#[test]
fn without_a_majority_a_node_says_what_it_waits_for() {
    let one = User::new();
    let (_node_one, said) = one.up_with(&PEERS);
    let (two, node_two) = join(&one, 2);
    until_they_vote(&one, 2);
    assert!(is_ready(&said));
    drop(node_two);
    until("one to miss the other", || (!is_ready(&said)).then_some(()));
    let waits_for = one.json(&["status"])["waits_for"].clone();
    assert_eq!(waits_for, "a leader; too few voters reach each other");
    let listed = one.json(&["members"]);
    assert!(listed["leader"].is_null() && listed["unsettled"].is_string(), "{listed}");
    assert_eq!(listed["members"].as_array().unwrap().len(), 2);

    let (_node_two, said_two) = two.up_with(&PEERS);
    until("both to be ready", || (is_ready(&said) && is_ready(&said_two)).then_some(()));
    two.says(&["kv", "put", "/together", "again"]);
    assert_eq!(get(&one, "/together"), "again");
}

/// Joins with what must be refused: exit code and message. Nothing is left of the try.
fn refused(machine: &User, token: &str) -> (i32, String) {
    let (code, _, message) = machine.fails(&joining(token, &["--exit"]));
    assert!(!machine.path("data").exists(), "{message}");
    (code, message)
}

#[test]
fn a_token_that_is_not_good_lets_nobody_in() {
    let (one, _node) = found();
    let stranger = User::new();
    let is_refused = |token: &str, code: i32, words: &str| {
        let (found, message) = refused(&stranger, token);
        assert_eq!((found, message.contains(words)), (code, true), "{words}: {message}");
    };
    // A learner, from stdin, and again: the same machine may.
    let token = invite(&one, &["--role", "learner"]);
    let learner = User::new();
    for _ in 0..2 {
        let ran = learner.run_with(&joining("-", &["--exit", "--json"]), token.as_bytes());
        let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
        assert_eq!((ran.code, &said["member"]), (0, &json!(2)), "{ran:?}");
    }
    is_refused(&token, 5, "member 2 joined with it");
    let garbled = format!("{}{}", &token[..token.len() - 9], "AAAAAAAAA");
    is_refused(&garbled, 2, "its checksum does not match");
    is_refused(&token[..60], 2, "cut");
    is_refused("hello", 2, "does not begin with althing-join-1.");
    assert!(!learner.says(&["up", "--help"]).contains(&token));

    // A token of another realm, brought to this one; and one for a directory of this one.
    let (other, _other_node) = found();
    let mut foreign: JoinToken = invite(&other, &[]).parse().unwrap();
    let own: JoinToken = token.parse().unwrap();
    let (code, _, message) = learner.fails(&joining(&foreign.text(), &["--exit"]));
    assert_eq!((code, message.contains("the token is of realm")), (5, true), "{message}");
    foreign.contacts.clone_from(&own.contacts);
    is_refused(&foreign.text(), 3, "is not on this node, which has realm");

    // Where the token says somebody else would be.
    let mut moved: JoinToken = invite(&one, &[]).parse().unwrap();
    moved.contacts[0].key = moved.invite();
    let ran: Ran = stranger.run(&joining(&moved.text(), &["--exit"]));
    assert_eq!((ran.code, ran.err.contains("has the key")), (9, true), "{ran:?}");

    // The try keeps the key that the machine would have had, so the next goes on with it.
    let expiring = invite(&one, &["--ttl", "1s"]);
    thread::sleep(Duration::from_secs(1));
    let (code, _, message) = stranger.fails(&joining(&expiring, &["--exit"]));
    assert_eq!((code, message.contains("has expired")), (4, true), "{message}");
    assert_eq!(now(&one).len(), 2, "nobody else came in");
}
