//! One log, one result: on this processor's code and on the portable interpreter, however a node
//! gets its memory, whenever it writes its state to disk.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_corpus::{Log, Scenario, first_difference, generate, run, run_flushing};
use althing_protocol::SEMANTICS;
use althing_sandbox::{Backend, EngineOptions, Reservation};
use common::{cached, corpus};

/// After how many entries the state is written to its store, where it is at all.
const NEVER: u64 = u64::MAX;

/// What nodes may choose differently, each against what a node does by default.
fn others() -> Vec<(&'static str, EngineOptions, u64)> {
    let native = EngineOptions::default();
    let portable = EngineOptions { backend: Backend::Portable, ..native.clone() };
    let on_demand = |options: &EngineOptions| EngineOptions { pooling: false, ..options.clone() };
    vec![
        ("portable, on demand", on_demand(&portable), 3),
        ("portable, from a pool", portable, NEVER),
        ("native, on demand", on_demand(&native), NEVER),
        ("native, written after each entry", native.clone(), 1),
        ("native, copied", EngineOptions { copy_on_write: false, ..native.clone() }, 7),
        ("native, small", EngineOptions { reservation: Reservation::Small, ..native }, NEVER),
    ]
}

/// Of those, the one that differs most: for guests that take long to compile.
fn interpreter() -> Vec<(&'static str, EngineOptions, u64)> {
    let others = others().into_iter().take(1);
    others.map(|(how, options, flush_entries)| (how, cached(options), flush_entries)).collect()
}

fn check(name: &str, log: &Log, ours: &EngineOptions, others: Vec<(&str, EngineOptions, u64)>) {
    let lines = |options: &EngineOptions, flush_entries: u64| -> Vec<String> {
        let ran = run_flushing(log, options, flush_entries).unwrap();
        ran.lines.iter().map(ToString::to_string).collect()
    };
    let ours = lines(ours, NEVER);
    for (how, options, flush_entries) in others {
        if let Some(difference) = first_difference(&ours, lines(&options, flush_entries)) {
            panic!("{name}, native from a pool and {how}, differ in {difference}");
        }
    }
}

/// The scenarios whose lines are on record, or the others, as logs.
fn logs(are_golden: bool) -> Vec<(String, Log)> {
    let corpus = corpus();
    let scenarios = corpus.scenarios(SEMANTICS).unwrap();
    let wanted = scenarios.into_iter().filter(|(_, scenario)| scenario.is_golden() == are_golden);
    let log = |(name, scenario): (String, Scenario)| {
        let log = scenario.log(&corpus, &name).unwrap();
        (name, log)
    };
    wanted.map(log).collect()
}

#[test]
fn every_scenario_of_texts() {
    for (name, log) in logs(true) {
        check(&name, &log, &EngineOptions::default(), others());
    }
}

#[test]
fn every_scenario_of_built_guests() {
    for (name, log) in logs(false) {
        check(&name, &log, &cached(EngineOptions::default()), interpreter());
    }
}

#[test]
fn a_generated_log() {
    let log = generate(&corpus(), 7, 2_500).unwrap();
    check("generated", &log, &EngineOptions::default(), others());
}

/// Another seed is another log, so that the test above compares something.
#[test]
fn logs_are_generated_from_their_seeds() {
    let lines = |seed| {
        let log = generate(&corpus(), seed, 50).unwrap();
        let ran = run(&log, &EngineOptions::default()).unwrap();
        ran.lines.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(first_difference(lines(1), lines(1)), None);
    assert_ne!(first_difference(lines(1), lines(2)), None);
}
