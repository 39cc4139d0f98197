//! The counter is the same program in every language.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_corpus::{Ran, run};
use althing_protocol::SEMANTICS;
use althing_sandbox::EngineOptions;
use common::{cached, corpus};
use std::ops::Bound;

/// What its authors promise: outcomes without fuel, and every pair of its keyspace.
#[derive(Debug, PartialEq)]
struct Seen {
    outcomes: Vec<(&'static str, Vec<u8>, Vec<String>)>,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

fn seen(ran: &Ran) -> Seen {
    // The first two entries open the session and deploy, and name the image.
    let outcomes = ran.lines.iter().skip(2).flat_map(|line| &line.outcomes);
    // What the text of an error says is up to the language.
    let bytes = |kind, bytes: &Vec<u8>| if kind == "ok" { bytes.clone() } else { Vec::new() };
    let page = ran.state.scan("counter", Bound::Unbounded, b"", 1_000, usize::MAX).unwrap();
    Seen {
        outcomes: outcomes
            .map(|outcome| {
                (outcome.kind, bytes(outcome.kind, &outcome.bytes), outcome.topics.clone())
            })
            .collect(),
        pairs: page.pairs.into_iter().map(|(key, value)| (key, value.to_vec())).collect(),
    }
}

#[test]
fn every_language_gives_the_state_that_rust_gives() {
    let corpus = corpus();
    let mut all: Vec<(String, Seen)> = Vec::new();
    for (name, scenario) in corpus.scenarios(SEMANTICS).unwrap() {
        if name.split('/').next() == Some("counter") {
            let log = scenario.log(&corpus, &name).unwrap();
            all.push((name, seen(&run(&log, &cached(EngineOptions::default())).unwrap())));
        }
    }
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["counter", "counter/counter-js", "counter/counter-python"]);
    let (_, rust) = &all[0];
    assert_eq!(rust.pairs.len(), 3, "{rust:?}");
    for (name, other) in &all {
        assert_eq!(rust, other, "{name}");
    }
}
