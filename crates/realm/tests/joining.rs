//! Who asks to join without an invitation that holds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Contact, JoinToken, Kind, SecretKey, sys, v1};
use althing_realm::{Identity, Options, Realm};
use common::{World, key, output};
use std::path::Path;

/// Invites whoever has `secret`.
async fn invite(world: &World, secret: &SecretKey) {
    let invite = v1::MemberInvite {
        invite: secret.public().0.to_vec(),
        role: v1::MemberRole::Learner.into(),
        expires_us: u64::MAX,
    };
    output(&world.run(sys::member_invite(&invite)).await);
}

fn identity(node: u8) -> Identity {
    Identity {
        key: key(node),
        listen: Some("127.0.0.1:0".parse().unwrap()),
        address: "127.0.0.1:0".into(),
        labels: Vec::new(),
    }
}

/// A realm that others reach.
async fn world() -> World {
    let open = |options: Options| Options { identity: Some(identity(200)), ..options };
    World::with(open).await
}

/// Where the one member is.
fn contact(world: &World) -> Contact {
    Contact { address: world.realm.peer_address(), key: key(200).public() }
}

async fn join(world: &World, dir: &Path, node: u8, secret: SecretKey) -> Result<u64, Kind> {
    join_at(world, dir, node, secret, vec![contact(world)]).await
}

async fn join_at(
    world: &World,
    dir: &Path,
    node: u8,
    secret: SecretKey,
    contacts: Vec<Contact>,
) -> Result<u64, Kind> {
    let token = JoinToken { realm: world.realm.id(), secret, contacts };
    let identity = Some(Identity { listen: None, address: String::new(), ..identity(node) });
    let options = Options { identity, ..Options::new(dir.join(node.to_string())) };
    Realm::join(&options, &token).await.map_err(|error| error.kind)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_invited_leaves_no_entry() {
    let (world, dir) = (world().await, tempfile::tempdir().unwrap());
    world.realm.announced().await;
    invite(&world, &key(50)).await;
    let index = || world.realm.status().unwrap().index;
    let before = index();
    assert_eq!(join(&world, dir.path(), 2, key(60)).await, Err(Kind::NotFound), "nobody's");
    assert_eq!(index(), before, "it did not come into the log");
    assert_eq!(join(&world, dir.path(), 2, key(50)).await, Ok(2));
    let before = index();
    assert_eq!(join(&world, dir.path(), 3, key(50)).await, Err(Kind::Conflict), "used");
    assert_eq!(index(), before);
    world.realm.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_certain_once_a_member_was_lost() {
    let (world, dir) = (world().await, tempfile::tempdir().unwrap());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // It may have let the machine in, and the other one may not know yet.
    let lost = Contact { address: nobody.to_string(), key: key(201).public() };
    let contacts = vec![lost, contact(&world)];
    let joined = join_at(&world, dir.path(), 2, key(60), contacts.clone()).await;
    assert_eq!(joined, Err(Kind::Unavailable));
    invite(&world, &key(50)).await;
    assert_eq!(join_at(&world, dir.path(), 2, key(50), contacts).await, Ok(2));
    world.realm.shutdown().await.unwrap();
}
