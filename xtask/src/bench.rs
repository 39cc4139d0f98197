//! `cargo xtask bench`: builds, then measures.

use crate::{cargo, guests, target_dir};
use anyhow::Result;
use std::{ffi::OsString, process::Command};

/// Builds guests, node and bench, and runs the bench. `args` are for it.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    eprintln!("building the guests");
    guests::build()?;
    eprintln!("building althing and the bench, optimised: minutes, the first time");
    // Apart from each other: what is measured is what users build, not a union of features.
    for package in ["althing-cli", "althing-bench"] {
        guests::run(cargo().args(["build", "--release", "--package", package]))?;
    }
    let mut bench = Command::new(target_dir().join("release/althing-bench"));
    bench.arg("--guests").arg(guests::root().join("target/guests"));
    guests::run(bench.args(args))
}
