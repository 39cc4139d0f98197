//! What an author is told about an image, whether or not it is accepted.

#![allow(clippy::unwrap_used)]

mod common;

use althing_sandbox::{Kind, inspect, report};
use common::{component, module};

#[test]
fn an_image_that_is_accepted_is_described() {
    let bytes = component(&module("", "unreachable"));
    let report = report(&bytes);
    assert_eq!(report.refusals, Vec::<String>::new());
    assert_eq!((report.kind, report.bytes), (Some(Kind::Contract), bytes.len() as u64));
    assert!(report.imports.iter().all(|import| import.offered));
    assert!(report.imports.iter().any(|import| import.name == "althing:contract/db@0.1.0"));
    assert_eq!(report.exports, ["apply", "query"]);
    assert_eq!(report.optional_exports, Vec::<String>::new());
    assert_eq!(report.memory_bytes_min, inspect(&bytes).unwrap().memory_bytes_min);
    assert!(report.modules >= 1 && report.functions >= 2);
    assert!(report.largest_function.unwrap().bytes > 0);
}

#[test]
fn every_reason_is_given_and_each_once() {
    let text = r#"(component
        (import "sleep" (func))
        (import "althing:contract/db@0.1.0" (instance (export "drop-all" (func))))
        (import "althing:contract/log@0.1.0" (instance)))"#;
    let report = report(&wat::parse_str(text).unwrap());
    assert_eq!(report.kind, None);
    let offered: Vec<bool> = report.imports.iter().map(|import| import.offered).collect();
    assert_eq!(offered, [false, false, true]);
    let count = |words: &str| report.refusals.iter().filter(|r| r.contains(words)).count();
    assert_eq!(count("imports `sleep`"), 1, "{:?}", report.refusals);
    assert_eq!(count("`drop-all`"), 1, "{:?}", report.refusals);
    assert_eq!(count("no export `apply`"), 1, "{:?}", report.refusals);
    assert_eq!(report.refusals.len(), 3);
}

#[test]
fn the_largest_function_has_its_name() {
    let text = r#"(component (core module
        (func $small)
        (func $large (drop (i32.add (i32.const 1) (i32.const 2))))
        (func $middle (drop (i32.const 1)))))"#;
    let largest = report(&wat::parse_str(text).unwrap()).largest_function.unwrap();
    assert_eq!((largest.index, largest.name.as_deref()), (1, Some("large")));
}

#[test]
fn whatever_the_bytes_are_there_is_a_report() {
    let whole = component(&module("", "unreachable"));
    for len in (0..whole.len()).step_by(37) {
        assert_ne!(report(&whole[..len]).refusals, Vec::<String>::new(), "cut at {len}");
    }
    for at in (8..whole.len()).step_by(11) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x40;
        let report = report(&flipped);
        assert_eq!(report.kind.is_some(), report.refusals.is_empty(), "flipped at {at}");
    }
}
