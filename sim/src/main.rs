//! `cargo xtask sim`: runs seeds, or one seed again.

use althing_sim::{Bug, Counts, Options, Report, hunt, run, threads};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of the trace that a failing seed prints.
const LINES_SHOWN: usize = 40;

/// Runs the cluster in simulation, and stops at the first seed that shows a breach
#[derive(Parser)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim")]
struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 200, value_name = "N", conflicts_with = "seed")]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0, value_name = "SEED", conflicts_with = "seed")]
    from: u64,
    /// Runs this seed alone, twice, and compares
    #[arg(long)]
    seed: Option<u64>,
    /// Prints all that happens
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Prints what the code itself logs, to standard error: a level, or a filter like `openraft=debug`
    #[arg(long, requires = "seed", value_name = "FILTER")]
    log: Option<String>,
    /// Switches a known bug on: ack-before-flush, stale-read, lost-vote, reused-id or lost-sessions
    #[arg(long, value_name = "NAME")]
    bug: Option<Bug>,
    /// Threads to run on; one for each processor unless given
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(filter) = &args.log {
        let log = tracing_subscriber::fmt().with_env_filter(filter).without_time();
        log.with_writer(std::io::stderr).with_ansi(false).init();
    }
    match args.seed {
        Some(seed) => replay(seed, &args),
        None => search(&args),
    }
}

fn replay(seed: u64, args: &Args) -> ExitCode {
    let report = run(seed, Options { bug: args.bug, trace: true });
    if args.trace {
        report.trace.iter().for_each(|line| println!("{}", line.text));
    }
    let again = run(seed, Options { bug: args.bug, trace: false });
    if again.hash != report.hash {
        eprintln!("seed {seed}: two runs differ: traces {} and {}", report.hash, again.hash);
        return ExitCode::FAILURE;
    }
    let (hash, simulated) = (&report.hash, seconds(report.simulated));
    println!("seed {seed}: trace {hash}, twice; {simulated} simulated: {}", report.counts);
    match &report.breach {
        Some(breach) => {
            println!("seed {seed}: {breach}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn search(args: &Args) -> ExitCode {
    let seeds = args.from..args.from.saturating_add(args.seeds);
    let bar = ProgressBar::new(args.seeds);
    let style = "{wide_bar} {pos}/{len} seeds, {per_sec}, {eta} left";
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let (begun, sum) = (Instant::now(), Mutex::new((Counts::default(), Duration::ZERO, 0)));
    let options = Options { bug: args.bug, trace: false };
    let threads = args.threads.unwrap_or_else(threads);
    let found = hunt(seeds, options, threads, |report| {
        bar.inc(1);
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.0 += report.counts;
        sum.1 += report.simulated;
        sum.2 += 1;
    });
    bar.finish_and_clear();
    let (counts, simulated, ran) = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    let took = begun.elapsed();
    println!(
        "{ran} seeds in {}, {:.0} a minute, {} simulated: {counts}",
        seconds(took),
        f64::from(ran) * 60.0 / took.as_secs_f64().max(0.001),
        seconds(simulated)
    );
    match found {
        Some(report) => failed(&report, args),
        None if args.bug.is_some() => {
            println!("the bug was not found");
            ExitCode::FAILURE
        }
        None => {
            println!("all held");
            ExitCode::SUCCESS
        }
    }
}

/// Says what was found. To find a bug that was switched on is no failure.
fn failed(found: &Report, args: &Args) -> ExitCode {
    let seed = found.seed;
    let report = run(seed, Options { bug: args.bug, trace: true });
    let lines: Vec<_> = report.trace.iter().filter(|line| !line.is_detail).collect();
    let skipped = lines.len().saturating_sub(LINES_SHOWN);
    println!("\nseed {seed}:");
    lines.iter().skip(skipped).for_each(|line| println!("{}", line.text));
    let bug = args.bug.map_or(String::new(), |bug| format!(" --bug {bug}"));
    println!("\nseed {seed}: {}", found.breach.as_deref().unwrap_or_default());
    println!("all of it: cargo xtask sim --seed {seed}{bug} --trace");
    if report.hash != found.hash {
        println!("it went another way when it ran again: that is a defect of the simulation");
    }
    match args.bug {
        Some(bug) => {
            println!("{bug}: found after {} seeds", seed - args.from + 1);
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
