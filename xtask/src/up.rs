//! `cargo xtask up`: from a fresh clone to a running node with the sample programs.

use crate::{cargo, guests, target_dir};
use anyhow::{Error, Result};
use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    process::Command,
};

/// Builds what is needed and becomes `althing up`. `args` are for it.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let root = guests::root();
    let packages = root.join("target/guests");
    eprintln!("1/3 building the sample programs: minutes, the first time");
    guests::build()?;
    eprintln!("2/3 building althing, optimised: minutes, too");
    guests::run(cargo().args(["build", "--release", "--package", "althing-cli"]))?;
    eprintln!("3/3 starting the node");
    let bin = target_dir().join("release");
    eprintln!("    in other terminals, first: export PATH=\"{}:$PATH\"", bin.display());

    let mut althing = Command::new(bin.join("althing"));
    althing.arg("up").arg("--packages").arg(packages);
    if env::var_os("ALTHING_DATA").is_none() && !names_data(args) {
        althing.arg("--data").arg(root.join("data"));
    }
    // The node takes this process over, so that signals and exit codes are its own.
    let error = althing.args(args).exec();
    Err(Error::new(error).context(format!("starting {}", bin.join("althing").display())))
}

fn names_data(args: &[OsString]) -> bool {
    let is_data = |arg: &OsStr| arg == "--data" || arg.to_string_lossy().starts_with("--data=");
    args.iter().any(|arg| is_data(arg))
}
