//! Who may do what, and where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Kind, sys, v1};
use althing_state::Key;
use common::{World, failure, founder, grant, key, output};

/// The seed: "Only accept writes to /processed_photos/* if signed by the desktop's key".
#[test]
fn only_the_desktop_writes_processed_photos() {
    let mut world = World::new();
    let (desktop, phone) = (key(2), key(3));
    world.grant(grant(&phone, "sys", "*", ""));
    world.grant(v1::Grant {
        exclusive: true,
        ..grant(&desktop, "sys", "put|delete", "/processed_photos")
    });

    let put = |path: &str| sys::put(path, "photo");
    output(&world.run(&desktop, put("/processed_photos/a.jpg")));
    for other in [&phone, &founder()] {
        let error = failure(&world.run(other, put("/processed_photos/b.jpg")));
        assert_eq!(error.kind, Kind::Denied);
        assert!(error.message.contains("sys/put at /processed_photos/b.jpg"), "{error}");
        assert!(error.message.contains("exclusive"), "{error}");
        assert!(error.message.contains("althing grant key:"), "{error}");
        let error = failure(&world.run(other, sys::delete("/processed_photos/a.jpg")));
        assert_eq!(error.kind, Kind::Denied);
    }
    // Elsewhere, and beside it, the phone writes as before; the desktop has nothing there.
    output(&world.run(&phone, put("/photos/a.jpg")));
    output(&world.run(&phone, put("/processed_photos_2/a.jpg")));
    assert_eq!(failure(&world.run(&desktop, put("/photos/a.jpg"))).kind, Kind::Denied);
    assert_eq!(world.value("/processed_photos/a.jpg").unwrap(), b"photo");
    assert_eq!(world.value("/processed_photos/b.jpg"), None);
}

/// The mark by which machines know that the grants have changed is that of all changes: adding a member
/// again must not look like taking it away.
#[test]
fn who_holds_a_role_is_added_again_without_a_change() {
    let mut world = World::new();
    let of = v1::RoleMember { role: "gardener".into(), key: key(2).public().0.to_vec() };
    let mark = |world: &World| world.view().get(&Key::new("sys.meta", b"grants")).unwrap().unwrap();
    output(&world.run(&founder(), sys::role_add(&of)));
    let added = mark(&world);
    output(&world.run(&founder(), sys::role_add(&of)));
    assert_eq!(mark(&world), added);
    output(&world.run(&founder(), sys::role_remove(&of)));
    assert_ne!(mark(&world), added);
}

#[test]
fn a_transaction_needs_every_key_of_both_branches() {
    let mut world = World::new();
    let author = key(2);
    world.grant(grant(&author, "sys", "put|get", "/mine"));
    let put = |key: &str| v1::Op {
        op: Some(v1::op::Op::Put(v1::Put { key: key.into(), value: b"v".to_vec() })),
    };
    let txn = |success, failure| sys::txn(&v1::Txn { conditions: Vec::new(), success, failure });
    output(&world.run(&author, txn(vec![put("/mine/a")], Vec::new())));
    for denied in [
        txn(vec![put("/mine/b"), put("/yours")], Vec::new()),
        txn(vec![put("/mine/b")], vec![put("/yours")]),
    ] {
        assert_eq!(failure(&world.run(&author, denied)).kind, Kind::Denied);
    }
    assert_eq!(world.value("/mine/b"), None);
}

#[test]
fn grants_end() {
    let mut world = World::new();
    let author = key(2);
    let expires_us = world.now_us + 5;
    world.grant(v1::Grant { expires_us, ..grant(&author, "sys", "put", "/") });
    let session = world.open(&author);
    let put = |world: &World, n| world.envelope(&author, session, n, vec![sys::put("/a", "1")]);
    let first = put(&world, 1);
    output(&world.apply(&first)[0]);
    world.now_us = expires_us;
    let second = put(&world, 2);
    assert_eq!(world.admit(&second).unwrap_err().kind, Kind::Denied);
    assert_eq!(failure(&world.apply(&second)[0]).kind, Kind::Denied);

    let id = world.grant(grant(&author, "sys", "put", "/"));
    let third = put(&world, 3);
    output(&world.apply(&third)[0]);
    output(&world.run(&founder(), sys::revoke(id)));
    let fourth = put(&world, 4);
    assert_eq!(failure(&world.apply(&fourth)[0]).kind, Kind::Denied);
    assert_eq!(failure(&world.run(&founder(), sys::revoke(id))).kind, Kind::NotFound);
}

#[test]
fn a_role_gives_what_it_holds() {
    let mut world = World::new();
    let author = key(2);
    world.grant(v1::Grant {
        subject: "role:uploader".into(),
        ..grant(&author, "sys", "put", "/in")
    });
    let member = v1::RoleMember { role: "uploader".into(), key: author.public().0.to_vec() };
    output(&world.run(&founder(), sys::role_add(&member)));
    output(&world.run(&author, sys::put("/in/a", "1")));
    output(&world.run(&founder(), sys::role_remove(&member)));
    let session = world.machine.session_list(&world.view(), &author.public()).unwrap().1[0].session;
    let put = world.envelope(&author, session, 2, vec![sys::put("/in/b", "1")]);
    assert_eq!(failure(&world.apply(&put)[0]).kind, Kind::Denied);
}

#[test]
fn a_stranger_leaves_no_trace() {
    let mut world = World::new();
    let stranger = key(9);
    let open = world.envelope(&stranger, 0, 1, vec![sys::session_open("x")]);
    assert_eq!(world.admit(&open).unwrap_err().kind, Kind::Denied);
    let applied = world.apply_all(&open);
    assert_eq!(failure(&applied.result.outcomes[0]).kind, Kind::Denied);
    assert!(applied.writes.is_empty());
}

#[test]
fn nobody_locks_everybody_out() {
    let mut world = World::new();
    let founders_grant = world.machine.grant_list(&world.view()).unwrap()[0].0;
    let error = failure(&world.run(&founder(), sys::revoke(founders_grant)));
    assert_eq!(error.kind, Kind::Conflict);
    // Another lasting grantor makes it possible; one that expires does not.
    world.grant(v1::Grant { expires_us: u64::MAX, ..grant(&key(2), "sys", "grant", "") });
    assert!(failure(&world.run(&founder(), sys::revoke(founders_grant))).kind == Kind::Conflict);
    world.grant(grant(&key(2), "sys", "grant", ""));
    output(&world.run(&founder(), sys::revoke(founders_grant)));
    assert_eq!(failure(&world.run(&key(2), sys::put("/a", "b"))).kind, Kind::Denied);
}

#[test]
fn malformed_grants_are_refused_by_field() {
    let mut world = World::new();
    let check = |world: &mut World, grant: v1::Grant, words: &str| {
        let error = failure(&world.run(&founder(), sys::grant(&grant)));
        assert_eq!(error.kind, Kind::Invalid, "{error}");
        assert!(error.message.contains(words), "{error}");
    };
    let good = grant(&key(2), "sys", "put", "/");
    for subject in ["", "key:12", "key:", "role:", "program:Sys", "everyone", "any:x"] {
        check(&mut world, v1::Grant { subject: subject.into(), ..good.clone() }, "subject");
    }
    let upper = format!("key:{}", key(2).public().to_string().to_uppercase());
    check(&mut world, v1::Grant { subject: upper, ..good.clone() }, "lower case");
    check(&mut world, v1::Grant { program: "a/b".into(), ..good.clone() }, "program");
    check(&mut world, v1::Grant { method: "put|".into(), ..good.clone() }, "method");
    check(&mut world, v1::Grant { prefix: vec![b'a'; 5_000], ..good }, "prefix");
}
