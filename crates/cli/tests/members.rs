//! Inviting machines and managing members, as a user does it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

mod common;

use althing_protocol::{JoinToken, SecretKey};
use common::User;
use data_encoding::BASE64;
use prost::Message as _;
use serde_json::{Value, json};

/// What a machine with the key `n` and this token asks the realm for.
fn join(user: &User, token: &str, n: u8) -> Value {
    let token: JoinToken = token.parse().unwrap();
    let join = token.join(&SecretKey::from_seed(&[n; 32]).public(), "pi.lan:4100", Vec::new());
    let args = BASE64.encode(&join.encode_to_vec());
    let input = json!({"instructions": [
        {"program": "sys", "method": "member_join", "args_base64": args},
    ]});
    user.json(&["ops", "call", "action:instruction.submit.v1", &input.to_string()])
}

fn ids(listed: &Value) -> Vec<u64> {
    let members = listed["members"].as_array().unwrap().iter();
    members.map(|member| member["id"].as_u64().unwrap()).collect()
}

#[test]
fn from_the_invitation_to_the_end_of_a_membership() {
    let user = User::new();
    let node = user.up();
    let (code, kind, message) = user.fails(&["invite"]);
    assert_eq!((code, kind.as_str()), (5, "conflict"));
    assert!(message.contains("peers.advertise"), "{message}");
    node.interrupt();
    let peers = ["--peers", "127.0.0.1:0", "--advertise", "desktop.lan:4100"];
    let _node = user.up_with(&peers);
    let invited = user.json(&["invite", "--role", "learner", "--ttl", "10m"]);
    let token: JoinToken = invited["token"].as_str().unwrap().parse().unwrap();
    assert_eq!(token.realm.to_string(), user.json(&["status"])["realm"].as_str().unwrap());
    assert_eq!(token.invite().to_string(), invited["invite"].as_str().unwrap());
    let first = &user.json(&["members"])["members"][0];
    let (contact, key) = (&token.contacts[0], first["key"].as_str().unwrap());
    assert_eq!((contact.address.as_str(), &*contact.key.to_string()), ("desktop.lan:4100", key));

    let taken_back = user.says(&["invite"]);
    assert!(taken_back.starts_with("althing join althing-join-1."), "{taken_back}");
    let uninvite = taken_back.rsplit_once("althing uninvite ").unwrap().1;
    assert_eq!(user.json(&["members"])["invites"].as_array().unwrap().len(), 2);
    user.says(&["uninvite", uninvite]);
    assert_eq!(user.fails(&["uninvite", uninvite]).1, "not-found");
    let listed = user.says(&["members"]);
    assert!(listed.contains("desktop.lan:4100") && listed.contains("INVITATION"), "{listed}");
    assert!(!listed.contains(uninvite), "{listed}");

    join(&user, invited["token"].as_str().unwrap(), 2);
    let listed = user.json(&["members"]);
    assert_eq!((ids(&listed), &listed["invites"]), (vec![1, 2], &json!([])));
    assert_eq!(listed["members"][1]["role"], "learner");
    user.says(&["promote", "2", "--priority", "7"]);
    let second = &user.json(&["members"])["members"][1];
    assert_eq!((&second["role"], &second["priority"]), (&json!("voter"), &json!(7)));
    user.says(&["demote", "2"]);
    assert_eq!(user.json(&["members"])["members"][1]["priority"], 7);

    let (code, _, message) = user.fails(&["demote", "1"]);
    assert_eq!((code, message.contains("last voter")), (5, true), "{message}");
    let (code, _, message) = user.fails(&["remove", "1", "--yes"]);
    assert_eq!((code, message.contains("last voter")), (5, true), "{message}");
    assert_eq!(user.json(&["remove", "2", "--dry-run"])["voters_left"], 1);
    assert_eq!(user.fails(&["remove", "2"]).0, 2, "nobody was asked");
    user.says(&["remove", "2", "--yes"]);
    assert_eq!(user.fails(&["remove", "2", "--yes"]).1, "not-found");
    assert_eq!(ids(&user.json(&["members"])), [1]);
    assert_eq!(ids(&user.json(&["members", "--removed"])), [1, 2]);
}
