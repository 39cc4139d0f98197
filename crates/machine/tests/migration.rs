//! The optional export `migrate`: an image takes over from another one, or it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod common;
#[path = "../../sandbox/tests/common/mod.rs"]
mod guests;
#[path = "common/relay.rs"]
mod relay;

use althing_protocol::{Kind, limits, sys, v1};
use althing_state::Key;
use common::{World, failure, founder, output};
use relay::{all, migrating, relay, to};

/// An image that does `item` when it is told where it comes from: the version of the one before.
fn upgrade(world: &mut World, version: &[u8], component: &[u8]) -> v1::Outcome {
    let image = world.upload(component).0.to_vec();
    let version = String::from_utf8(version.to_vec()).unwrap();
    let manifest = Some(v1::Manifest { version, ..v1::Manifest::default() });
    let program = "p".to_owned();
    let stage =
        v1::Stage { program: program.clone(), image: image.clone(), manifest, signature: None };
    output(&world.run(&founder(), sys::stage(&stage)));
    world.run(&founder(), sys::activate(&v1::Activate { program, image }))
}

fn value(world: &World, key: &str) -> Option<Vec<u8>> {
    world.view().get(&Key::new("p", key.as_bytes())).unwrap().map(|value| value.to_vec())
}

/// The same code as another image.
fn another(mut component: Vec<u8>, mark: u8) -> Vec<u8> {
    component.extend([0, 3, 1, b'v', mark]);
    component
}

#[test]
fn runs_when_an_image_takes_over_and_only_then() {
    let mut world = World::new();
    // The version of the first says what the second does with it.
    assert_eq!(upgrade(&mut world, b"pkfirst", &migrating()).fuel, 0);
    assert_eq!(value(&world, "k"), None, "there was nothing to migrate from");
    let outcome = upgrade(&mut world, b"pksecond", &another(migrating(), 2));
    output(&outcome);
    assert!(outcome.fuel > 0, "it is paid for");
    assert_eq!(value(&world, "k").unwrap(), b"first");
    // The same image with another manifest takes over from nobody.
    output(&upgrade(&mut world, b"pkthird", &another(migrating(), 2)));
    assert_eq!(value(&world, "k").unwrap(), b"first");
    // One without a migration is not told.
    output(&upgrade(&mut world, b"l", &relay()));
    assert_eq!(value(&world, "k").unwrap(), b"first");
}

#[test]
fn after_a_rollback_the_one_that_returns_is_told() {
    let mut world = World::new();
    output(&upgrade(&mut world, b"pkold", &migrating()));
    output(&upgrade(&mut world, b"pkbad", &another(migrating(), 2)));
    let back = v1::Rollback { program: "p".into(), image: None };
    output(&world.run(&founder(), sys::rollback(&back)));
    assert_eq!(value(&world, "k").unwrap(), b"bad");
}

#[test]
fn a_migration_that_fails_leaves_everything_as_it_was() {
    for (version, kind, words) in [
        (b"l".to_vec(), Kind::Exhausted, "p: migrate used all its fuel"),
        (b"x".to_vec(), Kind::GuestFailed, "p: migrate trapped"),
        (b"m".to_vec(), Kind::Exhausted, "p: migrate used all its fuel"),
        (all(&[b"pkv", b"et", b"fnot from there"]), Kind::GuestFailed, "p: not from there"),
        (all(&[b"pkv", &to('c', "q", b"w")]), Kind::GuestFailed, "call of q in a migration"),
        (all(&[b"pkv", &to('q', "q", b"w")]), Kind::GuestFailed, "lacks a grant for q/run"),
    ] {
        let mut world = World::new();
        output(&upgrade(&mut world, &version, &migrating()));
        let outcome = upgrade(&mut world, b"2", &another(migrating(), 2));
        let error = failure(&outcome);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
        let all_of_it = !words.contains("trapped") && kind == Kind::GuestFailed;
        assert_eq!(outcome.fuel < limits::FUEL_DEFAULT, all_of_it, "{}", outcome.fuel);
        assert!(outcome.events.is_empty());
        assert_eq!(value(&world, "k"), None);
        let info = world.machine.program(&world.view(), "p").unwrap().unwrap();
        assert_eq!(info.active.unwrap().manifest.unwrap().version.as_bytes(), version);
        assert!(info.staged.is_some(), "it can be tried again");
    }
}
