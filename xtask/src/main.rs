//! Builds, runs and measures Althing: `cargo xtask`.

mod arm;
mod bench;
mod guests;
mod sim;
mod test;
mod up;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::{
    env,
    ffi::OsString,
    path::PathBuf,
    process::{Command, ExitCode},
};

/// Builds, runs and measures Althing.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds everything and runs a node with the sample programs, its data in ./data
    Up {
        /// For `althing up`; see `cargo xtask up -- --help`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Checks everything: format, lints, tests, guests, what the core depends on
    Test {
        /// Only the steps whose names contain this
        filter: Option<String>,
    },
    /// Runs the corpus for aarch64 under an emulator, and compares every entry with this machine
    ///
    /// On a real board: build here with this command, which prints where the binary is, and copy
    /// it with `corpus`, `wit` and `target/guests` of the checkout, and with the lines of this
    /// machine:
    ///
    ///   scp target/arm/aarch64-unknown-linux-gnu/arm/althing-corpus target/arm/lines.txt board:
    ///   tar c corpus wit target/guests/*.wasm | ssh board tar x
    ///   ssh board ./althing-corpus run --without counter-python --against lines.txt
    ///
    /// It stops at the first difference and names the entry. `althing-corpus run` without
    /// `--against` prints the lines, for `diff` with those of any other machine; leave out
    /// `--without counter-python` when both have it (`--all` here).
    #[command(verbatim_doc_comment)]
    TestArm(arm::Args),
    /// Measures everything and prints one table
    Bench {
        /// For the bench, like the names of sections; see `cargo xtask bench -- --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Runs the cluster in simulation, with faults drawn from seeds, and checks that all holds
    Sim {
        /// For the simulation, like `--seeds N`; see `cargo xtask sim -- --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Builds the guests to components: target/guests/NAME.wasm
    Guests,
}

fn main() -> ExitCode {
    run(Args::parse().task).unwrap_or_else(|error| {
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        eprintln!("error: {}", causes.join(": "));
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Up { args } => up::run(&args)?,
        Task::Test { filter } => return test::run(filter.as_deref()),
        Task::TestArm(args) => arm::test(&args)?,
        Task::Bench { args } => bench::run(&args)?,
        Task::Sim { args } => sim::run(&args)?,
        Task::Guests => {
            for guest in guests::build()? {
                println!("{}", guest.component.display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The cargo that runs this, in the checkout.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(guests::root());
    cargo
}

/// Where cargo puts what it builds of the workspace.
fn target_dir() -> PathBuf {
    let dir = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    guests::root().join(dir)
}
