//! What a realm says of its members.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{JoinToken, Kind, SEMANTICS, sys, v1};
use common::{World, key, output};
use serde_json::{Value, json};

async fn list(world: &World, removed: bool) -> Value {
    world.call("query:member.list.v1", json!({ "removed": removed })).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_invitations_are_listed() {
    let world = World::new().await;
    let first = json!({
        "id": 1, "key": key(200).public().to_string(), "role": "voter", "priority": 100,
        "labels": {}, "joined": 0,
        "live": {
            "is": "leader", "behind": 0, "heard_ms_ago": 0, "clock_us": 0, "semantics": SEMANTICS,
            "version": env!("CARGO_PKG_VERSION"),
        },
    });
    let listed = list(&world, true).await;
    let expected = json!({
        "realm": world.realm.id().to_string(), "leader": 1, "seen_by": 1, "members": [first],
        "invites": [],
    });
    assert_eq!(listed, expected);

    let token = JoinToken { realm: world.realm.id(), secret: key(100), contacts: Vec::new() };
    let (invite, author) = (token.invite().to_string(), world.founder.public().to_string());
    let expires_us = u64::MAX;
    let input = json!({"invite": invite, "role": "learner", "expires_us": expires_us});
    let index = world.call("action:member.invite.v1", input).await.unwrap()["index"].clone();
    assert_eq!(
        list(&world, false).await["invites"],
        json!([{
            "invite": invite, "role": "learner", "expires_us": expires_us, "index": index,
            "author": author,
        }])
    );

    let label = v1::Label { name: "gpu".into(), value: "yes".into() };
    let join = token.join(&key(2).public(), "pi:4100", vec![label]);
    // The first node signs with its own key, which holds nothing but what nodes hold.
    let joined = world.run_as(&key(200), sys::member_join(&join)).await;
    output(&joined);
    let given = json!({"id": 2, "given": {"gpu": "no", "rack": "2"}});
    world.call("action:member.set.v1", given).await.unwrap();
    let second = json!({
        "id": 2, "key": key(2).public().to_string(), "role": "learner", "priority": 100,
        "address": "pi:4100", "labels": {"gpu": "no", "rack": "2"}, "joined": joined.index,
    });
    let mut listed = list(&world, false).await;
    let live = listed["members"][1].as_object_mut().unwrap().remove("live").unwrap();
    // Nobody is there; the leader may have made it a learner by now.
    assert!(live.get("heard_ms_ago").is_none() && live["is"] != "voter", "{live}");
    assert_eq!((&listed["members"][1], &listed["invites"]), (&second, &json!([])));

    let removed = world.call("action:member.remove.v1", json!({"id": 2})).await.unwrap();
    assert_eq!(list(&world, false).await["members"].as_array().unwrap().len(), 1);
    assert_eq!(list(&world, true).await["members"][1]["removed"], removed["index"]);
    let error = world.call("action:member.remove.v1", json!({"id": 1})).await.unwrap_err();
    assert!(error.kind == Kind::Conflict && error.message.contains("last voter"), "{error}");
    world.realm.shutdown().await.unwrap();
}
