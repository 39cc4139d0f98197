//! What every entry of the corpus gives is on record.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_corpus::{first_difference, run};
use althing_protocol::SEMANTICS;
use althing_sandbox::EngineOptions;
use common::corpus;
use std::{env, fs};

/// With `ALTHING_BLESS=1` the lines of this run become those on record. Once a release has this
/// semantics number, a line that changes wants a new number.
#[test]
fn the_lines_on_record_come_out() {
    let bless = env::var_os("ALTHING_BLESS").is_some_and(|value| value == "1");
    let corpus = corpus();
    let mut differences = Vec::new();
    for (name, scenario) in corpus.scenarios(SEMANTICS).unwrap() {
        if !scenario.is_golden() {
            continue;
        }
        let log = scenario.log(&corpus, &name).unwrap();
        let ran = run(&log, &EngineOptions::default()).unwrap();
        let found: Vec<String> = ran.lines.iter().map(ToString::to_string).collect();
        let path = corpus.expected(SEMANTICS, &name);
        if bless {
            fs::write(&path, found.join("\n") + "\n").unwrap();
        }
        let recorded = fs::read_to_string(&path).unwrap_or_default();
        if let Some(difference) = first_difference(recorded.lines(), &found) {
            differences.push(format!("{name}, {difference}"));
        }
    }
    assert!(
        differences.is_empty(),
        "on record, and found now, differ; corpus/README.md says what to do\n{}",
        differences.join("\n")
    );
}
