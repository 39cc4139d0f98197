//! Runs logs of the corpus and prints what each entry gave: the same lines on every machine.

use althing_corpus::{Corpus, Log, Scenario, first_difference, generate, run};
use althing_protocol::SEMANTICS;
use althing_sandbox::{Backend, EngineOptions};
use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

/// The log that nobody wrote: its name, its seed, and how many instructions it has at least.
const GENERATED: &str = "generated";
const GENERATED_SEED: u64 = 1;
const GENERATED_INSTRUCTIONS: usize = 4_000;

/// Runs logs of the corpus and prints what each entry gave: the same lines on every machine.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// A checkout, or a copy of its corpus, wit and target/guests
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// The semantics number
    #[arg(long, default_value_t = SEMANTICS)]
    number: u32,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the scenarios, and what each is for
    List,
    /// Runs scenarios, or all of them and the generated log
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    /// Their names; a name stands for all that begin with it
    names: Vec<String>,
    /// What runs the guests
    #[arg(long, default_value = "native")]
    backend: Engine,
    /// Take instances from a pool, as a node does; needs address space
    #[arg(long)]
    pool: bool,
    /// Leave out the scenarios that run this guest of target/guests
    #[arg(long, value_name = "GUEST")]
    without: Vec<String>,
    /// Compare with the lines that another machine printed, and print none
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    /// This processor
    Native,
    /// The portable interpreter
    Portable,
}

fn main() -> ExitCode {
    match command(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(args: &Args) -> Result<()> {
    let corpus = Corpus::at(&args.root);
    let scenarios = corpus.scenarios(args.number)?;
    match &args.command {
        Command::List => {
            for (name, scenario) in scenarios {
                writeln!(io::stdout(), "{name}: {}", scenario.about)?;
            }
            Ok(())
        }
        Command::Run(run) => run.all(&corpus, scenarios),
    }
}

impl Run {
    fn all(&self, corpus: &Corpus, scenarios: Vec<(String, Scenario)>) -> Result<()> {
        let others = match &self.against {
            Some(path) => Some(
                fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
            ),
            None => None,
        };
        let mut lines = 0;
        for (name, scenario) in scenarios {
            let left_out =
                scenario.built_guests().any(|guest| self.without.iter().any(|w| w == guest));
            if self.wants(&name) && !left_out {
                lines += self.one(&name, &scenario.log(corpus, &name)?, others.as_deref())?;
            }
        }
        if self.wants(GENERATED) {
            let log = generate(corpus, GENERATED_SEED, GENERATED_INSTRUCTIONS)?;
            lines += self.one(GENERATED, &log, others.as_deref())?;
        }
        let Some(others) = others else { return Ok(()) };
        let all = others.lines().count();
        if self.names.is_empty() && lines != all {
            bail!("the other machine has {all} lines, and this one {lines}: it ran something else");
        }
        Ok(writeln!(io::stdout(), "{lines} lines in all")?)
    }

    fn wants(&self, name: &str) -> bool {
        let mut names = self.names.iter();
        names.len() == 0 || names.any(|wanted| name.starts_with(wanted.as_str()))
    }

    /// Runs `log` and prints its lines, or compares them with those of the same name among `others`.
    /// Says how many they are.
    fn one(&self, name: &str, log: &Log, others: Option<&str>) -> Result<usize> {
        let backend = match self.backend {
            Engine::Native => Backend::Native,
            Engine::Portable => Backend::Portable,
        };
        let options = EngineOptions { backend, pooling: self.pool, ..EngineOptions::default() };
        let begun = Instant::now();
        let ran = run(log, &options).with_context(|| format!("running {name}"))?;
        let prefix = format!("{name}: ");
        let Some(others) = others else {
            // In one piece: whoever reads half of it sees that the end is missing.
            let lines: String = ran.lines.iter().map(|line| format!("{prefix}{line}\n")).collect();
            io::stdout().write_all(lines.as_bytes())?;
            return Ok(ran.lines.len());
        };
        let ours: Vec<String> = ran.lines.iter().map(ToString::to_string).collect();
        let theirs = others.lines().filter_map(|line| line.strip_prefix(&prefix));
        if let Some(difference) = first_difference(theirs, &ours) {
            bail!("{name}: the other machine, and this one, differ in {difference}");
        }
        let took = begun.elapsed().as_secs_f64();
        writeln!(io::stdout(), "{name}: {} lines are equal, {took:.1} s", ours.len())?;
        Ok(ours.len())
    }
}
