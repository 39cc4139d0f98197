//! `cargo xtask sim`: builds the simulation, then runs it.

use crate::{cargo, guests, target_dir};
use anyhow::Result;
use std::{ffi::OsString, process::Command};

/// What runs in it, of ours: optimised for this command, or a seed takes seven times as long. Our
/// assertions stay in.
const OPTIMISED: &[&str] = &["sim", "log", "machine", "state", "protocol"];

/// The consensus engine. Its assertions go, as in a release: what it does where they would fail is
/// what is to be seen here. One of them is wrong besides, about a snapshot of an earlier term than
/// the undecided end of a log.
const ENGINE: &[&str] = &["openraft", "validit"];

/// `args` are for the simulation.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--package", "althing-sim"]);
    for package in ENGINE {
        build.arg("--config");
        build.arg(format!("profile.dev.package.{package}.debug-assertions=false"));
    }
    for package in OPTIMISED {
        build.arg("--config");
        build.arg(format!("profile.dev.package.althing-{package}.opt-level=2"));
    }
    guests::run(&mut build)?;
    let mut sim = Command::new(target_dir().join("debug/althing-sim"));
    guests::run(sim.args(args))
}
