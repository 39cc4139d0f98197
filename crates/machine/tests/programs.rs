//! The life of a program: who manages it, what it runs, and its end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Error, Hash, ImageClaim, Kind, SecretKey, limits, sys, v1};
use althing_state::{Key, Writes};
use common::{World, failure, founder, grant, key, output};
use prost::Message;

/// Does nothing, successfully.
const IDLE: &str = r#"(component
  (core module $idle
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "run") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
  (core instance $idle (instantiate $idle))
  (func $run (param "method" string) (param "args" (list u8))
    (result (result (list u8) (error string)))
    (canon lift (core func $idle "run")
      (memory (core memory $idle "memory")) (realloc (core func $idle "realloc"))))
  (export "apply" (func $run))
  (export "query" (func $run)))"#;

/// The same code with a custom section is another image.
fn upload(world: &World, n: u8) -> Hash {
    let mut component = wat::parse_str(IDLE).unwrap();
    component.extend([0, 3, 1, b'v', n]);
    world.upload(&component)
}

fn staging(image: Hash, version: &str) -> v1::Stage {
    let manifest = Some(v1::Manifest { version: version.into(), ..v1::Manifest::default() });
    v1::Stage { program: "p".into(), image: image.0.to_vec(), manifest, signature: None }
}

fn stage(image: Hash) -> v1::Instruction {
    sys::stage(&staging(image, "1"))
}

fn activate(image: Hash) -> v1::Instruction {
    sys::activate(&v1::Activate { program: "p".into(), image: image.0.to_vec() })
}

fn rollback(image: Option<Hash>) -> v1::Instruction {
    let image = image.map(|image| image.0.to_vec());
    sys::rollback(&v1::Rollback { program: "p".into(), image })
}

fn rules() -> v1::ProgramRules {
    v1::ProgramRules { program: "p".into(), ..v1::ProgramRules::default() }
}

fn publishers(keys: &[&SecretKey]) -> v1::Instruction {
    let keys = keys.iter().map(|key| key.public().0.to_vec()).collect();
    sys::program_rules(&v1::ProgramRules { publishers: Some(v1::Publishers { keys }), ..rules() })
}

fn call() -> v1::Instruction {
    v1::Instruction::new("p", "anything", Vec::new())
}

fn deploy(world: &mut World, author: &SecretKey, n: u8) -> Hash {
    let image = upload(world, n);
    output(&world.run(author, stage(image)));
    output(&world.run(author, activate(image)));
    image
}

fn info(world: &World) -> v1::ProgramInfo {
    world.machine.program(&world.view(), "p").unwrap().unwrap()
}

fn runs(world: &World) -> Hash {
    Hash::try_from(info(world).active.unwrap().image.as_slice()).unwrap()
}

fn kept(world: &World) -> Vec<Hash> {
    let versions = info(world).versions;
    versions.iter().map(|info| Hash::try_from(info.image.as_slice()).unwrap()).collect()
}

/// A key with every grant for managing programs, and no other.
fn manager(world: &mut World, n: u8) -> SecretKey {
    let methods = "stage|activate|rollback|disable|enable|remove|program_rules";
    world.grant(grant(&key(n), "sys", methods, ""));
    key(n)
}

fn check(error: &Error, kind: Kind, words: &[&str]) {
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.message.contains(word), "{word}: {error}");
    }
}

/// Refused by apply, and by the door before it.
fn refused(
    world: &mut World,
    author: &SecretKey,
    instruction: v1::Instruction,
    kind: Kind,
    words: &[&str],
) {
    let session = world.open(author);
    let envelope = world.envelope(author, session, 1, vec![instruction]);
    check(&world.admit(&envelope).unwrap_err(), kind, words);
    check(&failure(&world.apply(&envelope)[0]), kind, words);
}

#[test]
fn a_program_belongs_to_who_made_it() {
    let mut world = World::new();
    let (owner, other) = (manager(&mut world, 2), manager(&mut world, 3));
    let image = deploy(&mut world, &owner, 1);
    assert_eq!(info(&world).owner, owner.public().0);
    let (owner_hex, other_hex) = (owner.public().to_string(), other.public().to_string());
    for instruction in [
        stage(image),
        activate(image),
        rollback(None),
        sys::disable("p"),
        sys::enable("p"),
        sys::remove("p"),
        publishers(&[&other]),
    ] {
        let remedy = format!("althing rules p --owner {other_hex}");
        let words = [owner_hex.as_str(), remedy.as_str()];
        refused(&mut world, &other, instruction, Kind::Denied, &words);
    }
    // Programs of its own it makes and manages.
    let own = v1::Stage { program: "q".into(), ..staging(image, "1") };
    output(&world.run(&other, sys::stage(&own)));
    output(&world.run(&other, sys::disable("q")));
}

#[test]
fn an_owner_needs_the_grant_as_well() {
    let mut world = World::new();
    let owner = key(2);
    let id = world.grant(grant(&owner, "sys", "stage|activate", "p"));
    deploy(&mut world, &owner, 1);
    refused(&mut world, &owner, sys::disable("p"), Kind::Denied, &["sys/disable at p"]);
    output(&world.run(&founder(), sys::revoke(id)));
    world.grant(grant(&owner, "sys", "put", ""));
    let image = upload(&world, 2);
    refused(&mut world, &owner, stage(image), Kind::Denied, &["sys/stage at p"]);
}

#[test]
fn members_of_the_role_manage_it_too() {
    let mut world = World::new();
    let (owner, member) = (manager(&mut world, 2), manager(&mut world, 3));
    deploy(&mut world, &owner, 1);
    let deployer = v1::ProgramRules { role: Some("deployer".into()), ..rules() };
    output(&world.run(&owner, sys::program_rules(&deployer)));
    let remedy = format!("althing role add deployer {}", member.public());
    refused(&mut world, &member, sys::disable("p"), Kind::Denied, &["role deployer", &remedy]);
    let of = |member: &SecretKey| v1::RoleMember {
        role: "deployer".into(),
        key: member.public().0.to_vec(),
    };
    output(&world.run(&founder(), sys::role_add(&of(&member))));
    output(&world.run(&member, sys::disable("p")));
    output(&world.run(&founder(), sys::role_remove(&of(&member))));
    refused(&mut world, &member, sys::enable("p"), Kind::Denied, &["deployer"]);
    output(&world.run(&owner, sys::enable("p")));
    let nobody = v1::ProgramRules { role: Some(String::new()), ..rules() };
    output(&world.run(&owner, sys::program_rules(&nobody)));
    output(&world.run(&founder(), sys::role_add(&of(&member))));
    refused(&mut world, &member, sys::disable("p"), Kind::Denied, &["belongs to"]);
}

#[test]
fn who_may_grant_manages_every_program() {
    let mut world = World::new();
    let owner = manager(&mut world, 2);
    deploy(&mut world, &owner, 1);
    output(&world.run(&founder(), sys::disable("p")));
    // A lost key locks nobody out: somebody who may grant gives the program away.
    let heir = manager(&mut world, 4);
    let given = v1::ProgramRules { owner: Some(heir.public().0.to_vec()), ..rules() };
    output(&world.run(&founder(), sys::program_rules(&given)));
    refused(&mut world, &owner, sys::enable("p"), Kind::Denied, &["belongs to"]);
    output(&world.run(&heir, sys::enable("p")));
    // Who may grant at a path only is not one of those.
    let some = manager(&mut world, 5);
    world.grant(grant(&some, "sys", "grant", "/somewhere"));
    refused(&mut world, &some, sys::disable("p"), Kind::Denied, &["sys/grant"]);
}

#[test]
fn malformed_rules_are_refused_by_field() {
    let mut world = World::new();
    deploy(&mut world, &founder(), 1);
    let many: Vec<_> = (0..=limits::PUBLISHERS_MAX).map(|n| key(n as u8)).collect();
    let many: Vec<_> = many.iter().collect();
    for (instruction, words) in [
        (sys::program_rules(&rules()), "want a change"),
        (sys::program_rules(&v1::ProgramRules { owner: Some(vec![1]), ..rules() }), "public key"),
        (sys::program_rules(&v1::ProgramRules { role: Some("A".into()), ..rules() }), "role"),
        (publishers(&many), "the limit is 16"),
        (publishers(&[&key(2), &key(2)]), "twice"),
    ] {
        refused(&mut world, &founder(), instruction, Kind::Invalid, &[words]);
    }
    output(&world.run(&founder(), publishers(&many[1..])));
}

#[test]
fn a_rollback_runs_what_was_active_last() {
    let mut world = World::new();
    let [one, two, three] = [1, 2, 3].map(|n| deploy(&mut world, &founder(), n));
    assert_eq!((runs(&world), kept(&world)), (three, vec![two, one]));
    let back = world.run(&founder(), rollback(None));
    assert_eq!(back.events[0].topic, "program.rolled_back");
    assert_eq!((runs(&world), kept(&world)), (two, vec![three, one]));
    assert_eq!(info(&world).active.unwrap().activated, back.index);
    // Back to where it came from, and then to the one that is named.
    output(&world.run(&founder(), rollback(None)));
    assert_eq!((runs(&world), kept(&world)), (three, vec![two, one]));
    output(&world.run(&founder(), rollback(Some(one))));
    assert_eq!((runs(&world), kept(&world)), (one, vec![three, two]));
    output(&world.run(&founder(), call()));
}

#[test]
fn what_is_not_kept_cannot_be_rolled_back_to() {
    let mut world = World::new();
    let error = failure(&world.run(&founder(), rollback(None)));
    check(&error, Kind::NotFound, &["not in this realm"]);
    let one = deploy(&mut world, &founder(), 1);
    let error = failure(&world.run(&founder(), rollback(None)));
    check(&error, Kind::Conflict, &["nothing to go back to"]);
    let error = failure(&world.run(&founder(), rollback(Some(one))));
    check(&error, Kind::Conflict, &["is the active one"]);
    let staged = upload(&world, 2);
    output(&world.run(&founder(), stage(staged)));
    let error = failure(&world.run(&founder(), rollback(Some(staged))));
    check(&error, Kind::NotFound, &["is not one of the 0 kept"]);
    let short = v1::Rollback { program: "p".into(), image: Some(vec![1]) };
    let error = failure(&world.run(&founder(), sys::rollback(&short)));
    check(&error, Kind::Invalid, &["32"]);
    assert_eq!(runs(&world), one);
}

#[test]
fn the_oldest_versions_go() {
    let mut world = World::new();
    let images: Vec<_> = (0..12).map(|n| deploy(&mut world, &founder(), n)).collect();
    let expected: Vec<_> = images[3..11].iter().rev().copied().collect();
    assert_eq!((kept(&world), expected.len()), (expected, limits::PROGRAM_VERSIONS_MAX));
    let staged = upload(&world, 99);
    output(&world.run(&founder(), stage(staged)));
    let in_use = world.machine.images_in_use(&world.view()).unwrap();
    let in_use: Vec<_> = in_use.iter().map(|i| Hash::try_from(i.as_slice()).unwrap()).collect();
    assert_eq!(in_use.len(), 1 + 1 + limits::PROGRAM_VERSIONS_MAX);
    assert!(in_use.contains(&staged) && in_use.contains(&images[3]));
    assert!(!in_use.contains(&images[2]));
}

#[test]
fn another_manifest_is_another_version() {
    let mut world = World::new();
    let image = deploy(&mut world, &founder(), 1);
    output(&world.run(&founder(), stage(image)));
    output(&world.run(&founder(), activate(image)));
    assert_eq!(kept(&world), [], "nothing changed");
    output(&world.run(&founder(), sys::stage(&staging(image, "2"))));
    output(&world.run(&founder(), activate(image)));
    assert_eq!(kept(&world), [image]);
    output(&world.run(&founder(), rollback(None)));
    assert_eq!(info(&world).active.unwrap().manifest.unwrap().version, "1");
    assert_eq!(info(&world).versions.remove(0).manifest.unwrap().version, "2");
}

#[test]
fn a_disabled_program_refuses_calls_and_queries() {
    let mut world = World::new();
    let owner = manager(&mut world, 2);
    deploy(&mut world, &owner, 1);
    output(&world.run(&founder(), call()));
    let disabled = world.run(&owner, sys::disable("p"));
    assert_eq!(disabled.events[0].topic, "program.disabled");
    let (hex, entry) = (owner.public().to_string(), format!("entry {}", disabled.index));
    let words = [hex.as_str(), entry.as_str(), "althing enable p"];
    refused(&mut world, &founder(), call(), Kind::Conflict, &words);
    let again = failure(&world.run(&owner, sys::disable("p")));
    check(&again, Kind::Conflict, &words);
    // What it runs may change meanwhile: that is how a broken one is mended.
    let two = deploy(&mut world, &owner, 2);
    refused(&mut world, &founder(), call(), Kind::Conflict, &words);
    let enabled = world.run(&owner, sys::enable("p"));
    assert_eq!(enabled.events[0].topic, "program.enabled");
    output(&world.run(&founder(), call()));
    assert_eq!(runs(&world), two);
    let error = failure(&world.run(&owner, sys::enable("p")));
    check(&error, Kind::Conflict, &["is not disabled"]);
}

fn signed(image: Hash, version: &str, publisher: &SecretKey, claim: ImageClaim<'_>) -> v1::Stage {
    v1::Stage { signature: Some(claim.sign(publisher)), ..staging(image, version) }
}

#[test]
fn publishers_must_sign_what_is_staged() {
    let mut world = World::new();
    let owner = manager(&mut world, 2);
    let one = deploy(&mut world, &owner, 1);
    let (publisher, stranger) = (key(7), key(8));
    output(&world.run(&owner, publishers(&[&publisher])));
    let image = upload(&world, 2);
    let claim = ImageClaim { program: "p", image: &image, version: "1" };
    refused_at_apply(&mut world, &owner, stage(image), Kind::Denied, "has no signature");
    // Who may grant is no publisher either.
    refused_at_apply(&mut world, &founder(), stage(image), Kind::Denied, "has no signature");
    let other_key = sys::stage(&signed(image, "1", &stranger, claim));
    refused_at_apply(&mut world, &owner, other_key, Kind::Denied, "none of its publishers");

    // What is wrong with the signature itself, the door sees as well.
    let other_program = signed(image, "1", &publisher, ImageClaim { program: "q", ..claim });
    let other_image = signed(image, "1", &publisher, ImageClaim { image: &one, ..claim });
    let other_version = signed(image, "1", &publisher, ImageClaim { version: "2", ..claim });
    for bad in [other_program, other_image, other_version] {
        refused(&mut world, &owner, sys::stage(&bad), Kind::Denied, &["did not sign this program"]);
    }
    let mut forged = signed(image, "1", &stranger, claim);
    forged.signature.as_mut().unwrap().publisher = publisher.public().0.to_vec();
    refused(&mut world, &owner, sys::stage(&forged), Kind::Denied, &["did not sign"]);
    let mut cut = signed(image, "1", &publisher, claim);
    cut.signature.as_mut().unwrap().signature.truncate(63);
    refused(&mut world, &owner, sys::stage(&cut), Kind::Invalid, &["63 bytes"]);
    assert_eq!(info(&world).staged, None);

    output(&world.run(&owner, sys::stage(&signed(image, "1", &publisher, claim))));
    output(&world.run(&owner, activate(image)));
    let active = info(&world).active.unwrap();
    assert_eq!(active.signature.unwrap().publisher, publisher.public().0);
    // What ran before may run again, signed or not.
    output(&world.run(&owner, rollback(None)));
    assert_eq!(runs(&world), one);
}

fn refused_at_apply(
    world: &mut World,
    author: &SecretKey,
    instruction: v1::Instruction,
    kind: Kind,
    words: &str,
) {
    check(&failure(&world.run(author, instruction)), kind, &[words]);
}

#[test]
fn a_publisher_that_is_gone_activates_nothing() {
    let mut world = World::new();
    let (gone, publisher) = (key(7), key(8));
    deploy(&mut world, &founder(), 1);
    output(&world.run(&founder(), publishers(&[&gone, &publisher])));
    let image = upload(&world, 2);
    let claim = ImageClaim { program: "p", image: &image, version: "1" };
    output(&world.run(&founder(), sys::stage(&signed(image, "1", &gone, claim))));
    output(&world.run(&founder(), publishers(&[&publisher])));
    refused_at_apply(&mut world, &founder(), activate(image), Kind::Denied, "none of its");
    assert_eq!(info(&world).staged.unwrap().image, image.0, "it stays staged");
    output(&world.run(&founder(), publishers(&[])));
    output(&world.run(&founder(), activate(image)));
}

fn fill(world: &mut World, keys: usize) {
    let mut writes = Writes::new();
    for n in 0..keys {
        writes.put(Key::new("p", format!("{n:08}").as_bytes()), *b"value");
    }
    world.tip.merge(writes);
}

fn removed(outcome: &v1::Outcome) -> (u64, bool, u64) {
    let removed = v1::Removed::decode(output(outcome).as_slice()).unwrap();
    (removed.keys, removed.more, removed.grants)
}

#[test]
fn a_program_is_removed_in_parts() {
    let mut world = World::new();
    let image = deploy(&mut world, &founder(), 1);
    fill(&mut world, 2 * limits::REMOVE_KEYS_MAX + 1);
    output(&world.run(&founder(), sys::put("default", "of sys")));
    let error = failure(&world.run(&founder(), sys::remove("p")));
    check(&error, Kind::Conflict, &["althing disable p"]);
    output(&world.run(&founder(), sys::disable("p")));
    let part = limits::REMOVE_KEYS_MAX as u64;
    let keys = |world: &World| world.machine.program_keys(&world.view(), "p").unwrap();
    assert_eq!(keys(&world), (2 * part + 1, false));
    assert_eq!(removed(&world.run(&founder(), sys::remove("p"))), (part, true, 0));

    // Half of a program does not run, and does not change.
    for instruction in [sys::enable("p"), stage(image), activate(image), publishers(&[])] {
        let error = failure(&world.run(&founder(), instruction));
        check(&error, Kind::Conflict, &["being removed", "althing remove p"]);
    }
    refused(&mut world, &founder(), call(), Kind::Conflict, &["being removed"]);

    assert_eq!(removed(&world.run(&founder(), sys::remove("p"))), (part, true, 0));
    let last = world.run(&founder(), sys::remove("p"));
    assert_eq!(removed(&last), (1, false, 0));
    assert_eq!(last.events[0].topic, "program.removed");
    assert_eq!(keys(&world), (0, false));
    assert_eq!(world.machine.program(&world.view(), "p").unwrap(), None);
    assert!(world.machine.images_in_use(&world.view()).unwrap().is_empty());
    assert_eq!(world.value("default").unwrap(), b"of sys");
    let error = failure(&world.run(&founder(), sys::remove("p")));
    check(&error, Kind::NotFound, &["not in this realm"]);
}

#[test]
fn large_values_are_removed_within_the_bytes_of_an_instruction() {
    let mut world = World::new();
    deploy(&mut world, &founder(), 1);
    let mut writes = Writes::new();
    for n in 0..20_u8 {
        writes.put(Key::new("p", &[n]), vec![n; limits::VALUE_BYTES_MAX]);
    }
    world.tip.merge(writes);
    output(&world.run(&founder(), sys::disable("p")));
    let (keys, more, _) = removed(&world.run(&founder(), sys::remove("p")));
    assert!(more && keys < 17, "{keys}");
    assert_eq!(removed(&world.run(&founder(), sys::remove("p"))), (20 - keys, false, 0));
}

#[test]
fn the_next_program_of_that_name_starts_anew() {
    let mut world = World::new();
    let (owner, next) = (manager(&mut world, 2), manager(&mut world, 3));
    deploy(&mut world, &owner, 1);
    deploy(&mut world, &owner, 2);
    output(&world.run(&owner, publishers(&[&owner])));
    fill(&mut world, 3);
    let of_program = |program: &str| v1::Grant {
        subject: format!("program:{program}"),
        ..grant(&owner, "bank", "pay", "")
    };
    world.grant(of_program("p"));
    world.grant(of_program("pp"));
    let grants = world.machine.grant_list(&world.view()).unwrap().len();
    output(&world.run(&owner, sys::disable("p")));
    assert_eq!(removed(&world.run(&owner, sys::remove("p"))), (3, false, 1));
    let left = world.machine.grant_list(&world.view()).unwrap();
    assert_eq!(left.len(), grants - 1, "what was granted to it went with it");
    assert!(left.iter().any(|(_, grant)| grant.subject == "program:pp"));

    let image = deploy(&mut world, &next, 1);
    let expected = v1::ProgramInfo {
        program: "p".into(),
        owner: next.public().0.to_vec(),
        active: info(&world).active,
        ..v1::ProgramInfo::default()
    };
    assert_eq!((info(&world), runs(&world)), (expected, image));
    refused(&mut world, &owner, sys::disable("p"), Kind::Denied, &["belongs to"]);
}

#[test]
fn an_image_that_is_not_staged_is_not_activated() {
    let mut world = World::new();
    let [one, two] = [1, 2].map(|n| upload(&world, n));
    let error = failure(&world.run(&founder(), activate(one)));
    check(&error, Kind::NotFound, &["stage an image first"]);
    output(&world.run(&founder(), stage(one)));
    let error = failure(&world.run(&founder(), activate(two)));
    check(&error, Kind::Conflict, &["not the staged one"]);
    output(&world.run(&founder(), activate(one)));
    let error = failure(&world.run(&founder(), activate(one)));
    check(&error, Kind::Conflict, &["not the staged one"]);
}
