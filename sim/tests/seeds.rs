//! A bounded number of seeds, with all that can go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use althing_sim::{Options, hunt, run, threads};

/// How many; `cargo xtask sim --seeds N` runs as many as wanted.
const SEEDS: u64 = 20;

#[test]
fn all_holds() {
    if let Some(report) = hunt(0..SEEDS, Options::default(), threads(), |_| {}) {
        let (seed, breach) = (report.seed, report.breach.unwrap());
        panic!("seed {seed}: {breach}\nreplay: cargo xtask sim --seed {seed} --trace");
    }
}

#[test]
fn a_seed_gives_the_same_run() {
    for seed in 1_000..1_012 {
        let options = Options { trace: true, ..Options::default() };
        let (one, two) = (run(seed, options), run(seed, options));
        let differs = one.trace.iter().zip(&two.trace).find(|(one, two)| one != two);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.hash, two.hash, "seed {seed}");
        assert!(one.counts.acknowledged > 0, "seed {seed} did nothing");
    }
}
