//! The simulation can fail: it finds each bug that is switched on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use althing_sim::{Bug, Options, hunt, threads};

fn check(bug: Bug, seeds_max: u64) {
    let found = hunt(0..seeds_max, Options { bug: Some(bug), trace: false }, threads(), |_| {});
    let report = found.unwrap_or_else(|| panic!("{bug} was not found in {seeds_max} seeds"));
    println!("{bug}: found after {} seeds: {}", report.seed + 1, report.breach.unwrap());
}

#[test]
fn ack_before_flush() {
    check(Bug::AckBeforeFlush, 100);
}

#[test]
fn stale_read() {
    check(Bug::StaleRead, 100);
}

#[test]
fn lost_vote() {
    check(Bug::LostVote, 400);
}

#[test]
fn reused_id() {
    check(Bug::ReusedId, 200);
}

#[test]
fn lost_sessions() {
    check(Bug::LostSessions, 200);
}
