//! Which components are actors, and what is refused about one before it runs.

#![allow(clippy::unwrap_used)]

mod common;

use althing_sandbox::{Kind, inspect, report};
use common::actor::Guest;

const MIGRATION: &str = "althing:actor/migration@0.1.0";
const DESCRIPTION: &str = "althing:actor/description@0.1.0";

#[test]
fn an_actor_is_one() {
    let text = Some("(call $text '{}')");
    for (migrate, describe, optional) in [
        (None, None, &[][..]),
        (None, text, &[DESCRIPTION][..]),
        (text, text, &[DESCRIPTION, MIGRATION][..]),
    ] {
        let component = Guest { migrate, describe, ..Guest::default() }.component();
        let mut inspection = inspect(&component).unwrap();
        assert_eq!(inspection.kind, Kind::Actor);
        inspection.optional_exports.sort_unstable();
        assert_eq!(inspection.optional_exports, optional);
        assert_eq!(inspection.imports, ["althing:actor/types@0.1.0", "althing:actor/host@0.1.0"]);
        let report = report(&component);
        assert_eq!((report.kind, report.refusals), (Some(Kind::Actor), Vec::new()));
        assert!(report.imports.iter().all(|import| import.offered));
    }
}

/// A component with functions of all types that an actor's have, and `exports`.
fn refused(exports: &str) -> String {
    let wat = format!(
        r#"(component
             (core module $m
               (memory (export "memory") 1)
               (func (export "f0") (result i32) unreachable)
               (func (export "f1") (param i32 i32) (result i32) unreachable)
               (func (export "f2") (param i32 i32 i32 i32) (result i32) unreachable)
               (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
             (core instance $i (instantiate $m))
             (type $text (func (result string)))
             (func $text (type $text)
               (canon lift (core func $i "f0") (memory (core memory $i "memory"))))
             (type $text2 (func (param "msg" string) (param "state" string) (result string)))
             (func $text2 (type $text2) (canon lift (core func $i "f2")
               (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
             (type $bool2 (func (param "msg" string) (param "state" string) (result bool)))
             (func $bool2 (type $bool2) (canon lift (core func $i "f2")
               (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
             (type $bool1 (func (param "state" string) (result bool)))
             (func $bool1 (type $bool1) (canon lift (core func $i "f1")
               (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
             (instance $migration (export "migrate" (func $text2)))
             (instance $description (export "describe" (func $text)))
             {exports})"#
    );
    match inspect(&wat::parse_str(&wat).unwrap()) {
        Ok(_) => String::new(),
        Err(error) => error.message,
    }
}

/// The exports of an actor, of the right types.
const EXPORTS: [(&str, &str); 4] = [
    ("init", "(func $text)"),
    ("handle", "(func $text2)"),
    ("message-contract", "(func $bool2)"),
    ("state-contract", "(func $bool1)"),
];

/// What they want to be.
const WANTED: [&str; 4] = [
    "func() -> string",
    "func(msg: string, state: string) -> string",
    "func(msg: string, state: string) -> bool",
    "func(state: string) -> bool",
];

/// [`EXPORTS`], with the one at `at` replaced by `other`.
fn exports(at: usize, other: Option<&str>) -> String {
    let mut exports = String::new();
    for (index, (name, item)) in EXPORTS.into_iter().enumerate() {
        let item = if index == at { other } else { Some(item) };
        exports += &item.map(|item| format!("(export \"{name}\" {item})")).unwrap_or_default();
    }
    exports
}

#[test]
fn each_export_that_is_missing_or_of_another_type_is_named() {
    assert_eq!(refused(&exports(9, None)), "");
    for (at, (name, item)) in EXPORTS.into_iter().enumerate() {
        let wants = format!("an actor exports `{name}: {}`", WANTED[at]);
        assert_eq!(
            refused(&exports(at, None)),
            format!("component: has no export `{name}`; {wants}")
        );
        let (other, found) = match item {
            "(func $bool1)" => ("(func $bool2)", "func(string, string) -> bool"),
            _ => ("(func $bool1)", "func(string) -> bool"),
        };
        assert_eq!(
            refused(&exports(at, Some(other))),
            format!("component: its export `{name}` has another type, {found}; {wants}")
        );
        let instance = refused(&exports(at, Some("(instance $migration)")));
        assert!(instance.contains("something else than a function"), "{instance}");
    }
}

#[test]
fn optional_interfaces_are_checked() {
    let with = |name: &str, item: &str| {
        refused(&format!("{} (export \"{name}\" {item})", exports(9, None)))
    };
    assert_eq!(with(MIGRATION, "(instance $migration)"), "");
    assert_eq!(with(DESCRIPTION, "(instance $description)"), "");
    for (name, item, words) in [
        (
            MIGRATION,
            "(instance $description)",
            "its export `migrate` of `althing:actor/migration@0.1.0` is nothing, but wants to be \
             func(string, string) -> string",
        ),
        (
            DESCRIPTION,
            "(func $text)",
            "its export `describe` of `althing:actor/description@0.1.0` is something else than an \
             interface, but wants to be func() -> string",
        ),
        (
            "althing:actor/migration@0.9.0",
            "(instance $migration)",
            "which nobody calls; optional exports are althing:actor/migration@0.1.0, \
             althing:actor/description@0.1.0",
        ),
        ("althing:contract/migration@0.1.0", "(instance $migration)", "which nobody calls"),
    ] {
        let text = with(name, item);
        assert!(text.contains(words), "{text}");
    }
    let wrong = "(instance $wrong (export \"migrate\" (func $bool2)))";
    let text = refused(&format!(
        "{} {wrong} (export \"{MIGRATION}\" (instance $wrong))",
        exports(9, None)
    ));
    assert!(text.contains("is func(string, string) -> bool, but wants"), "{text}");
}

#[test]
fn a_component_is_of_one_kind() {
    let with = |also: &str| refused(&format!("{} {also}", exports(9, None)));
    let (apply, query) = ("(export \"apply\" (func $text))", "(export \"query\" (func $text))");
    let words = "component: exports all functions of a contract and all of an actor; it is one or the \
                 other: leave the exports of one of them out";
    assert_eq!(with(&format!("{apply} {query}")), words);
    // A name alone says nothing beside a whole world.
    for also in [apply, query] {
        assert_eq!(with(also), "", "{also}");
    }
    let text = refused("(export \"handle\" (func $text2))");
    assert!(text.contains("has no export `init`; an actor exports"), "{text}");
}

#[test]
fn each_kind_has_imports_of_its_own() {
    let imports = |name: &str, functions: &str, exports: &str| {
        let text = refused(&format!("(import \"{name}\" (instance {functions})) {exports}"));
        text.strip_prefix("component: imports ").unwrap_or_default().to_owned()
    };
    let actor = exports(9, None);
    assert_eq!(
        imports("althing:contract/db@0.1.0", "", &actor),
        "`althing:contract/db@0.1.0`, which is not offered to actors; offered are \
         althing:actor/types@0.1.0, althing:actor/host@0.1.0"
    );
    let log = "(export \"log\" (func (param \"msg\" u32)))";
    assert_eq!(
        imports("althing:actor/host@0.1.0", log, &actor),
        "`log` of `althing:actor/host@0.1.0` as func(u32), but it is func(string); build it against \
         the interface of this version"
    );
    let now = "(export \"now\" (func (result u64)))";
    let text = imports("althing:actor/host@0.1.0", now, &actor);
    assert!(
        text.starts_with("`now` of `althing:actor/host@0.1.0`, which is not offered"),
        "{text}"
    );
    let text = imports("wasi:cli/environment@0.3.0", "", &actor);
    assert!(text.contains("version 0.2 of cli"), "{text}");
    let text = imports("althing:actor/host@0.1.0", "", "");
    assert!(text.contains("which is not offered to contracts; offered are althing:co"), "{text}");
}
