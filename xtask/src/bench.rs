//! `cargo xtask bench`: builds, then measures.

use crate::{cargo, guests, target_dir};
use anyhow::Result;
use std::{ffi::OsString, process::Command};

/// Builds guests, node and bench, and runs the bench. `args` are for it.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    eprintln!("building the guests");
    guests::build()?;
    eprintln!("building althing and the bench, optimised: minutes, the first time");
    let packages = ["--package", "althing-cli", "--package", "althing-bench"];
    guests::run(cargo().args(["build", "--release"]).args(packages))?;
    let mut bench = Command::new(target_dir().join("release/althing-bench"));
    bench.arg("--guests").arg(guests::root().join("target/guests"));
    guests::run(bench.args(args))
}
