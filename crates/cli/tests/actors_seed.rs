//! What the seed of actors shows as usage, and the errors that it names, as a user meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

#[path = "../../machine/tests/common/account.rs"]
mod account;
mod common;
#[path = "../../sandbox/tests/common/mod.rs"]
mod guests;

use althing_protocol::Hash;
use common::{Running, User};
use guests::actor::Guest;
use serde_json::json;
use std::fs;

/// Puts a component and its manifest, with `more` in it, into the user's home.
fn file(user: &User, name: &str, component: &[u8], more: &str) -> String {
    fs::write(user.path(&format!("{name}.wasm")), component).unwrap();
    user.write(&format!("{name}.toml"), &format!("name = \"{name}\"\nversion = \"0.1.0\"\n{more}"));
    user.path(&format!("{name}.wasm")).display().to_string()
}

/// A node with an account that begins with 100.
fn account(user: &User) -> Running {
    let node = user.up();
    user.says(&["deploy", &file(user, "bank", &account::account(), "")]);
    user.says(&["actor", "spawn", "alice", "bank"]);
    node
}

/// `let (component, hash) = WasmComponent::new("path/to/wasm")?;`
#[test]
fn usage_a_component_is_known_by_its_hash() {
    let user = User::new();
    let _node = user.up();
    let component = account::account();
    let hash = Hash::of(&component).to_string();
    let deployed = user.json(&["deploy", &file(&user, "bank", &component, "")]);
    assert_eq!(deployed["image"], json!(hash), "{deployed}");
    let spawned = user.json(&["actor", "spawn", "alice", "bank"]);
    assert_eq!(spawned["state_bytes"], json!(3), "{spawned}");
    let history = user.json(&["actor", "history", "alice"]);
    assert_eq!(history["steps"][0]["image"], json!(hash), "{history}");
}

/// `let new_state = component.handle(message, current_state)?;`
#[test]
fn usage_a_message_makes_a_new_state() {
    let user = User::new();
    let _node = account(&user);
    assert_eq!(user.says(&["actor", "state", "alice"]), "100");
    assert_eq!(user.says(&["actor", "request", "alice", "\"+5\""]), "105");
    assert_eq!(user.says(&["actor", "state", "alice"]), "105");
}

/// `if !component.message_contract(&message, &state)? { anyhow::bail!("Invalid message"); }`
#[test]
fn usage_a_message_that_the_contract_refuses_changes_nothing() {
    let user = User::new();
    let _node = account(&user);
    refused(
        &user,
        "\"-101 bob\"",
        (7, "contract-violation"),
        "message contract refused the message",
    );
}

fn refused(user: &User, message: &str, (code, kind): (i32, &str), words: &str) {
    let (got, called, text) = user.fails(&["actor", "request", "alice", message]);
    assert_eq!((got, called.as_str()), (code, kind), "{text}");
    assert!(text.contains("alice") && text.contains(words), "{text}");
    assert_eq!(user.says(&["actor", "state", "alice"]), "100");
}

#[test]
fn error_1_a_file_that_cannot_be_read() {
    let user = User::new();
    let _node = user.up();
    let gone = user.path("gone.wasm").display().to_string();
    let (code, kind, text) = user.fails(&["deploy", &gone]);
    assert_eq!((code, kind.as_str()), (3, "not-found"), "{text}");
    assert!(text.contains(&gone), "{text}");
    let (code, _, text) = user.fails(&["deploy", &file(&user, "text", b"no component", "")]);
    assert!(code == 2 && text.contains("text"), "{text}");
}

#[test]
fn error_2_a_component_that_cannot_be_instantiated() {
    let user = User::new();
    let _node = user.up();
    let small = "[limits]\nmemory_bytes_max = 65536\n";
    user.says(&["deploy", &file(&user, "bank", &account::account(), small)]);
    let (code, kind, text) = user.fails(&["actor", "spawn", "alice", "bank"]);
    assert_eq!((code, kind.as_str()), (6, "exhausted"), "{text}");
    assert!(text.contains("needs 262144 bytes of memory to start, and may have 65536"), "{text}");
    assert_eq!(user.fails(&["actor", "state", "alice"]).0, 3);
}

#[test]
fn error_3_a_contract_that_refuses_or_fails() {
    let user = User::new();
    let _node = account(&user);
    refused(&user, "\"?\"", (7, "contract-violation"), "what is that?");
    let traps = Guest { message_contract: "unreachable", ..Guest::default() };
    user.says(&["deploy", &file(&user, "broken", &traps.component(), "")]);
    user.says(&["actor", "spawn", "bob", "broken"]);
    let (code, kind, text) = user.fails(&["actor", "request", "bob", "1"]);
    assert_eq!((code, kind.as_str()), (8, "guest-failed"), "{text}");
    assert!(text.contains("bob") && text.contains("message-contract"), "{text}");
}

#[test]
fn error_4_a_message_that_cannot_be_handled() {
    let user = User::new();
    let _node = account(&user);
    refused(&user, "\"!bob\"", (8, "guest-failed"), "handle");
    refused(&user, "\"l\"", (6, "exhausted"), "fuel");
    refused(&user, "\"{\"", (8, "guest-failed"), "handle");
}

#[test]
fn error_5_a_state_that_the_contract_refuses() {
    let user = User::new();
    let _node = account(&user);
    refused(&user, "\"#\"", (7, "contract-violation"), "state contract refused the state");
    let poor = Guest { state_contract: "(i32.const 0)", ..Guest::default() };
    user.says(&["deploy", &file(&user, "poor", &poor.component(), "")]);
    let (code, _, text) = user.fails(&["actor", "spawn", "bob", "poor"]);
    assert!(code == 7 && text.contains("bob: state contract refused"), "{text}");
    assert_eq!(user.fails(&["actor", "state", "bob"]).0, 3);
}
