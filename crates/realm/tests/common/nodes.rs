//! Nodes of one realm in one process, over real connections.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use althing_protocol::{Contact, JoinToken, SecretKey, sys, v1};
use althing_realm::{Founding, Freshness, Identity, Options, Realm};
use althing_state::Key;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

pub fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

pub fn founder() -> SecretKey {
    key(1)
}

pub fn options(dir: &Path, node: u8) -> Options {
    let identity = Identity {
        key: key(100 + node),
        listen: Some("127.0.0.1:0".parse().unwrap()),
        address: "127.0.0.1:0".into(),
        labels: Vec::new(),
    };
    Options {
        identity: Some(identity),
        disk_low_water_bytes: 0,
        guest_instances_max: 16,
        ..Options::new(dir.join(node.to_string()))
    }
}

pub async fn found(dir: &Path) -> Arc<Realm> {
    let options = options(dir, 1);
    let founding = Founding {
        name: "test".into(),
        founder: founder().public(),
        node: key(101).public(),
        grants: Vec::new(),
    };
    Realm::create(&options, founding).unwrap();
    Realm::open(options).await.unwrap()
}

pub async fn run(realm: &Realm, instruction: v1::Instruction) -> v1::Outcome {
    realm.submit_as(&founder(), vec![instruction]).await.unwrap().remove(0)
}

/// Waits until `is_so`, which must come to pass.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come to pass");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Invites node `node` through `realm` as a voter, and opens it.
pub async fn join(realm: &Realm, dir: &Path, node: u8) -> Arc<Realm> {
    join_as(realm, options(dir, node), v1::MemberRole::Voter).await
}

/// Invites a node through `realm`, and opens it.
pub async fn join_as(realm: &Realm, options: Options, role: v1::MemberRole) -> Arc<Realm> {
    until("the address of the first member", async || {
        !realm.members().unwrap()[0].address.is_empty()
    })
    .await;
    let members = realm.members().unwrap();
    let (first, id) = (&members[0], members.len() as u64 + 1);
    let secret = key(200 + id as u8);
    let invite = v1::MemberInvite {
        invite: secret.public().0.to_vec(),
        role: role.into(),
        expires_us: u64::MAX,
    };
    run(realm, sys::member_invite(&invite)).await;
    let contact =
        Contact { address: first.address.clone(), key: first.key.as_slice().try_into().unwrap() };
    let token = JoinToken { realm: realm.id(), secret, contacts: vec![contact] };
    assert_eq!(Realm::join(&options, &token).await.unwrap(), id);
    Realm::open(options).await.unwrap()
}

pub async fn three(dir: &Path) -> [Arc<Realm>; 3] {
    let first = found(dir).await;
    let second = join(&first, dir, 2).await;
    let third = join(&first, dir, 3).await;
    until("three voters", async || first.standing().unwrap().members.voters.len() == 3).await;
    [first, second, third]
}

pub async fn value(realm: &Realm, path: &str, read: Freshness) -> Option<Vec<u8>> {
    let view = realm.view(read).await.unwrap();
    view.get(&Key::new("sys", path.as_bytes())).unwrap().map(|value| value.to_vec())
}
