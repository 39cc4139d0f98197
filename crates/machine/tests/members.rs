//! Who belongs to the realm: inviting, joining, changing, leaving.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{
    Contact, JoinToken, Kind, NODE_ROLE, PublicKey, RealmId, SecretKey, limits, sys, v1,
};
use common::{World, failure, first_node, founder, grant, key, output};
use prost::Message;

const VOTER: v1::MemberRole = v1::MemberRole::Voter;
const LEARNER: v1::MemberRole = v1::MemberRole::Learner;

/// How long invitations of these tests last, in microseconds: some entries.
const LIFETIME_US: u64 = 1_000;

/// The token of the invitation `n`.
fn token(world: &World, n: u8) -> JoinToken {
    let contact = Contact { address: "first:4100".into(), key: first_node().public() };
    JoinToken { realm: world.realm, secret: key(n), contacts: vec![contact] }
}

fn invitation(world: &World, n: u8, role: v1::MemberRole) -> v1::Instruction {
    let (invite, expires_us) = (key(n).public().0.to_vec(), world.now_us + LIFETIME_US);
    sys::member_invite(&v1::MemberInvite { invite, role: role.into(), expires_us })
}

fn invite(world: &mut World, n: u8, role: v1::MemberRole) -> JoinToken {
    output(&world.run(&founder(), invitation(world, n, role)));
    token(world, n)
}

fn label(name: &str, value: &str) -> v1::Label {
    v1::Label { name: name.into(), value: value.into() }
}

fn join(token: &JoinToken, node: &SecretKey) -> v1::MemberJoin {
    token.join(&node.public(), "pi:4100", vec![label("arch", "arm64")])
}

/// The first node takes a request to join.
fn take(world: &mut World, join: &v1::MemberJoin) -> v1::Outcome {
    world.run(&first_node(), sys::member_join(join))
}

/// Invites a machine with the key `n`, which joins.
fn joined(world: &mut World, n: u8, role: v1::MemberRole) -> v1::Member {
    let token = invite(world, 100 + n, role);
    shown(&take(world, &join(&token, &key(n))))
}

fn shown(outcome: &v1::Outcome) -> v1::Member {
    v1::Member::decode(output(outcome).as_slice()).unwrap()
}

fn set(id: u64, role: v1::MemberRole) -> v1::Instruction {
    sys::member_set(&v1::MemberSet { id, role: Some(role.into()), ..v1::MemberSet::default() })
}

fn report(address: &str, labels: Vec<v1::Label>) -> v1::Instruction {
    sys::member_report(&v1::MemberReport { address: address.into(), labels })
}

fn members(world: &World) -> Vec<v1::Member> {
    world.machine.members(&world.view()).unwrap()
}

fn current(world: &World) -> Vec<(u64, v1::MemberRole)> {
    let all = members(world).into_iter().filter(v1::Member::is_current);
    all.map(|member| (member.id, member.role())).collect()
}

fn nodes(world: &World) -> Vec<PublicKey> {
    let roles = world.machine.role_list(&world.view()).unwrap();
    roles.into_iter().filter(|(role, _)| role == NODE_ROLE).map(|(_, key)| key).collect()
}

/// Runs `instruction` as `author`: it fails so, and neither members nor their role change.
fn refused(
    world: &mut World,
    author: &SecretKey,
    instruction: v1::Instruction,
    kind: Kind,
    words: &[&str],
) {
    let before = (members(world), nodes(world));
    let error = failure(&world.run(author, instruction));
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.message.contains(word), "{word}: {error}");
    }
    assert_eq!((members(world), nodes(world)), before);
}

#[test]
fn the_first_node_is_member_1() {
    let world = World::new();
    let first = v1::Member {
        id: 1,
        key: first_node().public().0.to_vec(),
        role: VOTER.into(),
        priority: limits::PRIORITY_DEFAULT,
        ..v1::Member::default()
    };
    assert_eq!(members(&world), [first]);
    assert_eq!(nodes(&world), [first_node().public()]);
}

#[test]
fn a_machine_joins_with_an_invitation() {
    for role in [VOTER, LEARNER] {
        let mut world = World::new();
        let token = invite(&mut world, 100, role);
        assert_eq!(world.machine.invites(&world.view()).unwrap().len(), 1);
        let outcome = take(&mut world, &join(&token, &key(2)));
        let expected = v1::Member {
            id: 2,
            key: key(2).public().0.to_vec(),
            role: role.into(),
            priority: limits::PRIORITY_DEFAULT,
            address: "pi:4100".into(),
            labels: vec![label("arch", "arm64")],
            given: Vec::new(),
            joined: outcome.index,
            removed: 0,
            invite: token.invite().0.to_vec(),
        };
        assert_eq!(shown(&outcome), expected);
        assert_eq!(members(&world)[1], expected);
        assert_eq!(
            (outcome.events[0].topic.as_str(), &*outcome.events[0].data),
            ("member.joined", &b"2"[..])
        );
        assert!(nodes(&world).contains(&key(2).public()));
        assert!(world.machine.invites(&world.view()).unwrap().is_empty());
    }
}

#[test]
fn any_member_takes_a_request_and_nobody_else() {
    let mut world = World::new();
    joined(&mut world, 2, LEARNER);
    let token = invite(&mut world, 100, VOTER);
    let request = sys::member_join(&join(&token, &key(3)));
    world.grant(grant(&key(4), "sys", "put", "/"));
    refused(&mut world, &key(4), request.clone(), Kind::Denied, &["sys/member_join"]);
    assert_eq!(shown(&world.run(&key(2), request)).id, 3);
}

#[test]
fn who_is_not_invited_does_not_join() {
    let mut world = World::new();
    let (first, founder) = (first_node(), founder());
    let good = invite(&mut world, 100, VOTER);
    let good = join(&good, &key(2));
    let unknown = join(&token(&world, 101), &key(2));
    let wrong_secret = v1::MemberJoin { invite: good.invite.clone(), ..unknown.clone() };
    let elsewhere = JoinToken { realm: RealmId([1; 32]), ..token(&world, 100) };
    let other_key = v1::MemberJoin { key: key(3).public().0.to_vec(), ..good.clone() };
    for (bad, kind, words) in [
        (unknown, Kind::NotFound, "is not open"),
        (wrong_secret, Kind::Denied, "does not match this join"),
        (other_key, Kind::Denied, "does not match this join"),
        (join(&elsewhere, &key(2)), Kind::Denied, "does not match this join"),
        (v1::MemberJoin { key: vec![1; 31], ..good.clone() }, Kind::Invalid, "public key"),
        (v1::MemberJoin { invite: vec![1; 31], ..good.clone() }, Kind::Invalid, "invitation"),
    ] {
        refused(&mut world, &first, sys::member_join(&bad), kind, &[words]);
    }
    for (address, labels, words) in [
        ("pi", vec![], "HOST:PORT"),
        ("pi:4100", vec![label("GPU", "yes")], "label"),
        ("pi:4100", vec![label("b", ""), label("a", "")], "order"),
    ] {
        let bad = token(&world, 100).join(&key(2).public(), address, labels);
        refused(&mut world, &first, sys::member_join(&bad), Kind::Invalid, &[words]);
    }
    world.now_us += LIFETIME_US;
    refused(&mut world, &first, sys::member_join(&good), Kind::Denied, &["has expired"]);

    let back = join(&invite(&mut world, 102, VOTER), &key(2));
    output(&world.run(&founder, sys::member_uninvite(&key(102).public())));
    refused(&mut world, &first, sys::member_join(&back), Kind::NotFound, &["is not open"]);
    let again = sys::member_uninvite(&key(102).public());
    refused(&mut world, &founder, again, Kind::NotFound, &["is not open"]);
}

#[test]
fn an_invitation_is_for_one_machine() {
    let mut world = World::new();
    let token = invite(&mut world, 100, VOTER);
    let first = shown(&take(&mut world, &join(&token, &key(2))));
    let second = sys::member_join(&join(&token, &key(3)));
    refused(&mut world, &first_node(), second, Kind::Conflict, &["member 2 joined with it"]);
    // The machine that it let in may ask again: it does not know whether it was heard.
    let retry = take(&mut world, &join(&token, &key(2)));
    assert_eq!((shown(&retry), retry.events.len()), (first, 0));
    // By then it may be reached elsewhere.
    let moved = token.join(&key(2).public(), "pi:4200", Vec::new());
    let moved = shown(&take(&mut world, &moved));
    assert_eq!((moved.id, moved.address.as_str()), (2, "pi:4200"));
    assert_eq!(current(&world), [(1, VOTER), (2, VOTER)]);
    // Nor is its key used for another invitation.
    let again = invitation(&world, 100, VOTER);
    refused(&mut world, &founder(), again, Kind::Conflict, &["is there already"]);
}

#[test]
fn a_key_is_a_member_once() {
    let mut world = World::new();
    joined(&mut world, 2, VOTER);
    let other = invite(&mut world, 100, VOTER);
    for (node, words) in [(key(2), "is member 2 already"), (first_node(), "is member 1 already")] {
        let twice = sys::member_join(&join(&other, &node));
        refused(&mut world, &first_node(), twice, Kind::Conflict, &[words]);
    }
    // The invitation is still good for a machine that is none.
    assert_eq!(shown(&take(&mut world, &join(&other, &key(3)))).id, 3);
}

#[test]
fn neither_key_nor_id_comes_back() {
    let mut world = World::new();
    let second = joined(&mut world, 2, VOTER);
    let removed = world.run(&founder(), sys::member_remove(2));
    assert_eq!(shown(&removed), v1::Member { removed: removed.index, ..second });
    assert_eq!(removed.events[0].topic, "member.removed");
    assert_eq!(current(&world), [(1, VOTER)]);
    let other = invite(&mut world, 100, VOTER);
    let words = ["was member 2", "another key"];
    // Not with the invitation of then, and not with another one.
    for token in [token(&world, 102), other] {
        let back = sys::member_join(&join(&token, &key(2)));
        refused(&mut world, &first_node(), back, Kind::Conflict, &words);
    }
    assert_eq!(joined(&mut world, 3, VOTER).id, 3);
    for instruction in [sys::member_remove(2), set(2, LEARNER)] {
        refused(&mut world, &founder(), instruction, Kind::Conflict, &["was removed at entry"]);
    }
    for instruction in [sys::member_remove(4), set(0, LEARNER)] {
        refused(&mut world, &founder(), instruction, Kind::NotFound, &["there never was one"]);
    }
}

#[test]
fn the_last_voter_stays() {
    let mut world = World::new();
    joined(&mut world, 2, LEARNER);
    let words = ["member 1", "last voter", "althing promote"];
    for instruction in [sys::member_remove(1), set(1, LEARNER)] {
        refused(&mut world, &founder(), instruction, Kind::Conflict, &words);
    }
    refused(&mut world, &first_node(), sys::member_leave(), Kind::Conflict, &words);
    output(&world.run(&founder(), set(2, VOTER)));
    output(&world.run(&founder(), set(1, LEARNER)));
    assert_eq!(current(&world), [(1, LEARNER), (2, VOTER)]);
    let words = ["member 2", "last voter"];
    refused(&mut world, &founder(), sys::member_remove(2), Kind::Conflict, &words);
    output(&world.run(&first_node(), sys::member_leave()));
    assert_eq!(current(&world), [(2, VOTER)]);
}

#[test]
fn a_member_speaks_of_itself_only() {
    let mut world = World::new();
    joined(&mut world, 2, LEARNER);
    let labels = vec![label("arch", "arm64"), label("gpu", "yes")];
    let told = world.run(&key(2), report("pi.lan:4100", labels.clone()));
    assert_eq!(told.events[0].topic, "member.changed");
    let member = &members(&world)[1];
    assert_eq!((member.address.as_str(), &member.labels), ("pi.lan:4100", &labels));
    assert_eq!(members(&world)[0].address, "");
    // What is no news changes nothing, and nobody is told.
    let again = world.run(&key(2), report("pi.lan:4100", labels));
    assert_eq!((shown(&again), again.events.len()), (members(&world)[1].clone(), 0));
    output(&world.run(&key(2), report("", Vec::new())));

    let refusals = [
        (founder(), report("a:1", vec![]), Kind::NotFound, "is not that of a member"),
        (founder(), sys::member_leave(), Kind::NotFound, "is not that of a member"),
        (key(2), report("a", vec![]), Kind::Invalid, "HOST:PORT"),
        (key(2), report("a:1", vec![label("", "")]), Kind::Invalid, "label"),
        (key(2), set(2, VOTER), Kind::Denied, "sys/member_set"),
        (key(2), sys::member_remove(1), Kind::Denied, "sys/member_remove"),
        (key(2), invitation(&world, 100, VOTER), Kind::Denied, "sys/member_invite"),
    ];
    for (author, instruction, kind, words) in refusals {
        refused(&mut world, &author, instruction, kind, &[words]);
    }
}

#[test]
fn what_a_node_may_do_ends_with_its_membership() {
    let ends: [fn(&mut World) -> v1::Outcome; 2] = [
        |world| world.run(&founder(), sys::member_remove(2)),
        |world| world.run(&key(2), sys::member_leave()),
    ];
    for end in ends {
        let mut world = World::new();
        joined(&mut world, 2, VOTER);
        let token = invite(&mut world, 100, VOTER);
        let session = world.open(&key(2));
        let before = world.envelope(&key(2), session, 1, vec![report("pi:4100", vec![])]);
        output(&world.apply(&before)[0]);
        output(&end(&mut world));
        assert_eq!(nodes(&world), [first_node().public()]);
        let after = [report("pi:1", vec![]), sys::member_join(&join(&token, &key(3)))];
        let after = world.envelope(&key(2), session, 2, after.to_vec());
        assert_eq!(world.admit(&after).unwrap_err().kind, Kind::Denied);
        for outcome in world.apply(&after) {
            assert_eq!(failure(&outcome).kind, Kind::Denied);
        }
    }
}

#[test]
fn the_role_of_nodes_is_given_by_membership_alone() {
    let mut world = World::new();
    let member =
        |key: SecretKey| v1::RoleMember { role: NODE_ROLE.into(), key: key.public().0.to_vec() };
    for instruction in [sys::role_add(&member(key(2))), sys::role_remove(&member(first_node()))] {
        refused(&mut world, &founder(), instruction, Kind::Invalid, &["althing invite"]);
    }
}

#[test]
fn what_is_set_stays_until_it_is_set_again() {
    let mut world = World::new();
    let before = joined(&mut world, 2, LEARNER);
    let nothing = v1::MemberSet { id: 2, ..v1::MemberSet::default() };
    let given = v1::Labels { labels: vec![label("arch", "other"), label("rack", "2")] };
    let change = v1::MemberSet {
        priority: Some(7),
        address: Some("pi.lan:1".into()),
        given: Some(given.clone()),
        ..nothing.clone()
    };
    let after = shown(&world.run(&founder(), sys::member_set(&change)));
    let expected = v1::Member {
        priority: 7,
        address: "pi.lan:1".into(),
        given: given.labels.clone(),
        ..before
    };
    assert_eq!(after, expected);
    // Its own words are kept apart from those of others.
    output(&world.run(&key(2), report("pi.lan:2", vec![label("arch", "arm64")])));
    assert_eq!(members(&world)[1].labels()["arch"], "other");
    let cleared = v1::MemberSet { given: Some(v1::Labels::default()), ..nothing.clone() };
    output(&world.run(&founder(), sys::member_set(&cleared)));
    assert_eq!(members(&world)[1].labels()["arch"], "arm64");
    assert_eq!((members(&world)[1].priority, members(&world)[1].role()), (7, LEARNER));

    for (bad, words) in [
        (nothing.clone(), "wants a change"),
        (v1::MemberSet { role: Some(0), ..nothing.clone() }, "voter or learner"),
        (v1::MemberSet { role: Some(9), ..nothing.clone() }, "voter or learner"),
        (v1::MemberSet { address: Some("pi".into()), ..nothing }, "HOST:PORT"),
    ] {
        refused(&mut world, &founder(), sys::member_set(&bad), Kind::Invalid, &[words]);
    }
}

#[test]
fn voters_have_a_limit() {
    let mut world = World::new();
    for n in 2..=limits::VOTERS_MAX as u8 {
        joined(&mut world, n, VOTER);
    }
    let learner = joined(&mut world, 50, LEARNER).id;
    let token = invite(&mut world, 100, VOTER);
    let more = sys::member_join(&join(&token, &key(51)));
    refused(&mut world, &first_node(), more.clone(), Kind::Exhausted, &["voters", "demote"]);
    refused(&mut world, &founder(), set(learner, VOTER), Kind::Exhausted, &["voters"]);
    // One that votes already may be told so again.
    output(&world.run(&founder(), set(1, VOTER)));
    output(&world.run(&founder(), sys::member_remove(2)));
    assert_eq!(shown(&world.run(&first_node(), more)).role(), VOTER);
}

#[test]
fn invitations_have_a_limit_and_expired_ones_go() {
    let mut world = World::new();
    let session = world.open(&founder());
    let all: Vec<_> =
        (0..limits::INVITES_MAX as u8).map(|n| invitation(&world, 100 + n, VOTER)).collect();
    let envelope = world.envelope(&founder(), session, 1, all);
    world.apply(&envelope).iter().for_each(|outcome| drop(output(outcome)));
    let one = invitation(&world, 99, VOTER);
    refused(&mut world, &founder(), one, Kind::Exhausted, &["althing uninvite"]);
    world.now_us += LIFETIME_US;
    invite(&mut world, 99, LEARNER);
    let open = world.machine.invites(&world.view()).unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].0, open[0].1.role()), (key(99).public(), LEARNER));

    let late = v1::MemberInvite {
        invite: key(98).public().0.to_vec(),
        role: VOTER.into(),
        expires_us: world.now_us,
    };
    let words = ["is not after"];
    refused(&mut world, &founder(), sys::member_invite(&late), Kind::Invalid, &words);
    let nothing = v1::MemberInvite { role: 0, ..late };
    let words = ["voter or learner"];
    refused(&mut world, &founder(), sys::member_invite(&nothing), Kind::Invalid, &words);
}

/// No id is free for ever: a realm that has had all its members takes no more.
#[test]
fn members_have_a_limit() {
    let mut world = World::new();
    let records = (2..=limits::MEMBERS_MAX as u64).map(|id| v1::Member {
        id,
        key: [&id.to_be_bytes()[..], &[0; 24]].concat(),
        role: LEARNER.into(),
        removed: 1,
        ..v1::Member::default()
    });
    let mut writes = althing_state::Writes::new();
    for record in records {
        let key = althing_state::Key::new("sys.member", &record.id.to_be_bytes());
        writes.put(key, record.encode_to_vec());
    }
    world.tip.merge(writes);
    let token = invite(&mut world, 100, LEARNER);
    let more = sys::member_join(&join(&token, &key(2)));
    refused(&mut world, &first_node(), more, Kind::Exhausted, &["members", "1024"]);
}

#[test]
fn a_genesis_says_all_that_index_0_holds() {
    let good = v1::Genesis {
        format: althing_protocol::FORMAT,
        name: "test".into(),
        founder: founder().public().0.to_vec(),
        semantics: althing_protocol::SEMANTICS,
        node: first_node().public().0.to_vec(),
        grants: vec![grant(&key(2), "sys", "put", "/a")],
        ..v1::Genesis::default()
    };
    let writes = |genesis: &v1::Genesis| althing_machine::genesis_writes(&genesis.encode_to_vec());
    // Three grants, a member and its role.
    assert_eq!(writes(&good).unwrap().len(), 5);
    let other = v1::Genesis { node: key(3).public().0.to_vec(), ..good.clone() };
    assert_ne!(writes(&good).unwrap().digest(), writes(&other).unwrap().digest());
    let many = vec![good.grants[0].clone(); limits::GRANTS_MAX / 2 + 1];
    for (bad, words) in [
        (v1::Genesis { node: Vec::new(), ..good.clone() }, "first node"),
        (v1::Genesis { founder: vec![1; 31], ..good.clone() }, "founder"),
        (v1::Genesis { name: String::new(), ..good.clone() }, "name"),
        (v1::Genesis { grants: vec![v1::Grant::default()], ..good.clone() }, "subject"),
        (v1::Genesis { grants: many, ..good }, "grants of the genesis"),
    ] {
        let error = writes(&bad).unwrap_err();
        assert!(error.kind == Kind::Invalid && error.message.contains(words), "{error}");
    }
}
