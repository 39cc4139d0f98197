//! Measures what this project aims at, and prints one table.
//!
//! All of it comes from one run on one machine: node, clients and peers share its cores and its
//! disk. Nothing is left behind. `cargo xtask bench` builds what is needed and starts this.
//!
//! ```text
//!   raw        a  the disk, the log, signatures: what everything else is made of
//!   writes     b  puts over gRPC       c  calls of a contract over gRPC
//!   inside     d  one instruction inside the process, and the bare engine under it
//!   ingest     e  a tree of files
//!   restart    f  a long history       g  memory, start, size
//!   etcd       h  the same writes against another consensus store
//!   contracts  i  calls in each language, and how long an image takes until it runs
//!   cluster    j  three nodes: writes, reads, a leader that is killed, a node that was away
//!   actors     k  messages to actors, in the sandbox, the machine and a node
//! ```

mod actors;
mod cluster;
mod contracts;
mod etcd;
mod ingest;
mod inside;
mod load;
mod node;
mod process;
mod raw;
mod restart;
mod table;
mod world;
mod writes;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use table::Table;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Clients at once, in the sections that load a server; and in a glimpse at them.
const CLIENTS: [usize; 3] = [1, 64, 256];
const CLIENTS_FEW: [usize; 3] = [1, 4, 16];
/// Below this scale nothing is measured, only run.
const GLIMPSE: f64 = 0.05;

/// Letters and names of the sections.
const SECTIONS: [(char, &str); 11] = [
    ('a', "raw"),
    ('b', "puts"),
    ('c', "calls"),
    ('d', "inside"),
    ('e', "ingest"),
    ('f', "restart"),
    ('g', "memory"),
    ('h', "etcd"),
    ('i', "contracts"),
    ('j', "cluster"),
    ('k', "actors"),
];

/// Measures Althing and prints one table.
#[derive(Parser)]
#[command(name = "cargo xtask bench --", version, about)]
struct Args {
    /// The sections to run, by name or as letters like `abh`: raw, puts, calls, inside, ingest,
    /// restart, memory, etcd, contracts, cluster, actors [default: all]
    #[arg(hide_default_value = true)]
    sections: Vec<String>,
    /// Everything at a tenth of its size: to look at, not to compare
    #[arg(long)]
    quick: bool,
    /// Everything at this part of its size
    #[arg(long, default_value_t = 1.0, conflicts_with = "quick", hide = true)]
    scale: f64,
    /// The built guests
    #[arg(long, default_value = "target/guests")]
    guests: PathBuf,
    /// The `althing` to measure [default: the one beside this program]
    #[arg(long)]
    althing: Option<PathBuf>,
    /// The etcd to compare with
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
    /// The NATS server to compare with
    #[arg(long, default_value = "nats-server")]
    nats: PathBuf,
}

/// What the sections share.
pub(crate) struct Bench {
    pub(crate) althing: PathBuf,
    pub(crate) guests: PathBuf,
    pub(crate) etcd: PathBuf,
    pub(crate) nats: PathBuf,
    /// On the disk that everything is measured on; gone at the end.
    pub(crate) dir: TempDir,
    scale: f64,
    pub(crate) clients: [usize; 3],
    pub(crate) runtime: Runtime,
    pub(crate) crypto: raw::Crypto,
    /// Loads that later lines are compared with.
    pub(crate) loads: BTreeMap<(writes::Load, usize), load::Sample>,
    pub(crate) table: Table,
}

impl Bench {
    /// So many at full size, fewer else, but at least `min`.
    pub(crate) fn count(&self, full: u64, min: u64) -> u64 {
        ((full as f64 * self.scale) as u64).max(min)
    }

    /// So long at full size.
    pub(crate) fn time(&self, full: Duration) -> Duration {
        full.mul_f64(self.scale).max(Duration::from_millis(300))
    }

    /// A place for the data of one process.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn guest(&self, name: &str) -> PathBuf {
        self.guests.join(format!("{name}.wasm"))
    }
}

/// Says on stderr what happens; the table alone goes to stdout.
pub(crate) fn say(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let sections = sections(&args.sections)?;
    let scale = if args.quick { 0.1 } else { args.scale };
    ensure!(scale > 0.0 && scale <= 1.0, "--scale: wants more than 0 and at most 1");
    let here = std::env::current_exe().context("finding this program")?;
    let beside = here.parent().unwrap_or(Path::new("."));
    say("signatures");
    let mut bench = Bench {
        althing: args.althing.clone().unwrap_or_else(|| beside.join("althing")),
        guests: args.guests.clone(),
        etcd: args.etcd.clone(),
        nats: args.nats.clone(),
        dir: TempDir::with_prefix_in("althing-bench-", beside).context("making a directory")?,
        scale,
        clients: if scale < GLIMPSE { CLIENTS_FEW } else { CLIENTS },
        runtime: Runtime::new().context("starting threads")?,
        crypto: raw::Crypto::measure(scale),
        loads: BTreeMap::new(),
        table: Table::default(),
    };
    // What others are compared with comes first; the table is in the order of the letters.
    type Section = fn(&mut Bench) -> Result<()>;
    let order: [(&str, Section); 10] = [
        ("a", raw::run),
        ("h", etcd::run),
        ("b", writes::puts),
        ("c", writes::calls),
        ("d", inside::run),
        ("i", contracts::run),
        ("e", ingest::run),
        // Both look at the same long history.
        ("fg", restart::run),
        ("j", cluster::run),
        ("k", actors::run),
    ];
    for (letters, section) in order {
        if letters.chars().any(|letter| sections.contains(letter)) {
            section(&mut bench).with_context(|| format!("section {letters}"))?;
        }
    }
    println!("{}", bench.table.render(scale));
    Ok(())
}

/// The letters of the sections that are asked for.
fn sections(asked: &[String]) -> Result<String> {
    if asked.is_empty() {
        return Ok(SECTIONS.iter().map(|(letter, _)| letter).collect());
    }
    let mut letters = String::new();
    for text in asked {
        match SECTIONS.iter().find(|(_, name)| name == text) {
            Some((letter, _)) => letters.push(*letter),
            None => letters.push_str(text),
        }
    }
    let known = |c: char| SECTIONS.iter().any(|(letter, _)| *letter == c);
    let names: Vec<_> = SECTIONS.iter().map(|(_, name)| *name).collect();
    ensure!(
        !letters.is_empty() && letters.chars().all(known),
        "sections {letters:?}: wants some of {}, or letters like abh",
        names.join(", ")
    );
    Ok(letters)
}
