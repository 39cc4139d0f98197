//! The optional export `migrate`.

#![allow(clippy::unwrap_used)]

mod common;

use althing_protocol::{Error, Kind};
use althing_sandbox::{Call, inspect};
use common::{
    FUEL, Memory, component, component_of, engine, fails, load, migrate, migrating, module, run,
};

const MIGRATION: &str = "althing:contract/migration@0.1.0";

#[test]
fn is_found_and_optional() {
    let with = migrating("", "(call $ok (i32.const 0) (i32.const 0))");
    let without = component(&module("", "unreachable"));
    assert_eq!(inspect(&with).unwrap().optional_exports, [MIGRATION]);
    assert!(inspect(&without).unwrap().optional_exports.is_empty());
    assert!(load(engine(), &with).has_migration());
    let image = load(engine(), &without);
    assert!(!image.has_migration());
    let (_, finished) = image.call(Memory::default(), migrate("1"));
    assert!(finished.is_err(), "the machine must not ask for what is not there");
}

/// Writes the version it came from.
const NOTES: &str =
    "(call $put (local.get $from) (local.get $len) (local.get $from) (local.get $len)
                       (global.get $ret)) (call $told (i32.const 0))";

#[test]
fn is_told_the_version_and_may_write() {
    let (host, finished) = run(&load(engine(), &migrating("", NOTES)), migrate("1.2"));
    assert_eq!(finished.output, Ok(Vec::new()));
    assert_eq!(&*host.db[&b"1.2"[..]], b"1.2");
    assert!(finished.fuel_used > 0 && finished.fuel_used < FUEL);
}

#[test]
fn fails_like_any_call() {
    let refuses = migrating("", "(call $err (local.get $from) (local.get $len))");
    let (error, fuel) = fails(&load(engine(), &refuses), migrate("no way back"));
    assert_eq!(error, Error::guest_failed("guest: no way back"));
    assert!(fuel < FUEL);

    let loops = migrating("", "(loop $l (br $l)) unreachable");
    let (error, fuel) = fails(&load(engine(), &loops), migrate("1"));
    assert!(error.message.starts_with("guest: migrate used all its fuel"), "{error}");
    assert_eq!((error.kind, fuel), (Kind::Exhausted, FUEL));

    let traps = migrating("", "unreachable");
    let (error, fuel) = fails(&load(engine(), &traps), migrate("1"));
    assert!(error.message.starts_with("guest: migrate trapped: unreachable"), "{error}");
    assert_eq!(fuel, FUEL);

    let noted = load(engine(), &migrating("", NOTES));
    for fuel in [0, 1, 1_000, 5_000] {
        assert_eq!(fails(&noted, Call { fuel, ..migrate("1") }).1, fuel);
    }
}

#[test]
fn another_type_is_refused_by_name() {
    let text = |exports: &str| {
        let wat = format!(
            r#"(component
                 (core module $m
                   (memory (export "memory") 1)
                   (func (export "f") (param i32 i32 i32 i32) (result i32) unreachable)
                   (func (export "g"))
                   (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
                 (core instance $i (instantiate $m))
                 (type $f (func (param "method" string) (param "args" (list u8))
                   (result (result (list u8) (error string)))))
                 (func $f (type $f) (canon lift (core func $i "f")
                   (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
                 (func $g (canon lift (core func $i "g")))
                 (instance $g (export "migrate" (func $g)))
                 (export "apply" (func $f))
                 (export "query" (func $f))
                 {exports})"#
        );
        inspect(&wat::parse_str(wat).unwrap()).unwrap_err().message
    };
    let error = text(&format!(r#"(export "{MIGRATION}" (instance $g))"#));
    let words = "its export `migrate` of `althing:contract/migration@0.1.0` is func(), but wants to be \
                 func(string) -> result<_, string>";
    assert!(error.contains(words), "{error}");
    let error = text(&format!(r#"(export "{MIGRATION}" (func $g))"#));
    assert!(error.contains("is something else than an interface"), "{error}");
    let error = text(r#"(export "althing:contract/migration@0.9.0" (instance $g))"#);
    assert!(error.contains("which nobody calls; optional exports are"), "{error}");
}

#[test]
fn a_world_without_it_does_not_have_it() {
    let plain = component_of("contract", &module("", "unreachable"));
    assert_eq!(inspect(&plain).unwrap().exports, ["apply", "query"]);
}
