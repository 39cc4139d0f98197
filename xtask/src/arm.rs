//! `cargo xtask test-arm`: the corpus on another processor.
//!
//! The logs run here first, and their lines go to a file. Then the same program, built for aarch64,
//! runs them under an emulator and compares: entry by entry, outcomes, fuel and digests.
//!
//! It needs a standard library for the target. The first of these that works is taken:
//!
//! 1. the user's own toolchain, when it has the target;
//! 2. the same after `rustup target add`, when there is rustup;
//! 3. Debian's packages, which bring the library as source: it is built along.

use crate::{
    cargo,
    guests::{self, root, run},
    target_dir,
};
use althing_packaging::{Tools, debian_has, debian_install};
use anyhow::{Context, Result};
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const PROFILE: &str = "arm";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";
/// Where Debian puts the libraries of the target.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";
/// Linker, C library and emulator.
const CROSS_PACKAGES: [&str; 3] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"];
/// The compiler, and the standard library as source.
const RUST_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// Guests whose compilation takes minutes under an emulator.
const SLOW_GUESTS: [&str; 1] = ["counter-python"];

/// What `cargo xtask test-arm` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run the guests that take minutes to compile under the emulator, too
    #[arg(long)]
    all: bool,
}

/// Runs the corpus here and on aarch64, and fails at the first difference.
pub(crate) fn test(args: &Args) -> Result<()> {
    guests::build()?;
    let options = options(args);
    let here = env::consts::ARCH;
    let dir = root().join("target/arm");
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let lines = dir.join("lines.txt");
    step(&format!("running the corpus on {here}"), || record(&lines, &options))?;
    let (mut there, how) = if here == "aarch64" {
        // Nothing to emulate: what is left to compare with is the portable interpreter.
        let mut command = corpus();
        command.args(["run", "--backend", "portable"]);
        (command, "with the portable interpreter".to_owned())
    } else {
        let binary = step(&format!("building it for {TARGET}"), || build(&dir))?;
        println!("the binary, for a board: {}", binary.display());
        (emulated(&binary), format!("on aarch64, under {EMULATOR}"))
    };
    there.args(&options).arg("--against").arg(&lines);
    step(&format!("running it {how}"), || run(&mut there))
}

fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("== {what}");
    let begun = Instant::now();
    let done = work().with_context(|| what.to_owned())?;
    eprintln!("== {:.1} s", begun.elapsed().as_secs_f64());
    Ok(done)
}

/// Which part of the corpus runs: the same everywhere.
fn options(args: &Args) -> Vec<&'static str> {
    if args.all {
        return Vec::new();
    }
    SLOW_GUESTS.iter().flat_map(|guest| ["--without", guest]).collect()
}

/// The corpus on this machine, as the tests of the workspace build it.
fn corpus() -> Command {
    let mut command = Command::new(target_dir().join("debug/althing-corpus"));
    command.arg("--root").arg(root());
    command
}

fn record(lines: &Path, options: &[&str]) -> Result<()> {
    run(cargo().args(["build", "--locked", "--package", "althing-corpus"]))?;
    let file = File::create(lines).with_context(|| lines.display().to_string())?;
    run(corpus().arg("run").args(options).stdout(file))
}

fn emulated(binary: &Path) -> Command {
    let mut command = Command::new(EMULATOR);
    // The emulator's own variable for the same.
    if env::var_os("QEMU_LD_PREFIX").is_none() && Path::new(SYSROOT).is_dir() {
        command.args(["-L", SYSROOT]);
    }
    command.arg(binary).arg("--root").arg(root()).arg("run");
    command
}

/// Builds the corpus for the target; gives the binary.
fn build(dir: &Path) -> Result<PathBuf> {
    provide_cross_tools()?;
    let linker = format!("CARGO_TARGET_{}_LINKER", TARGET.to_uppercase().replace('-', "_"));
    let compiler = format!("CC_{}", TARGET.replace('-', "_"));
    let mut cargo = toolchain()?;
    cargo
        .args(["build", "--locked", "--package", "althing-corpus"])
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(dir);
    for variable in [linker, compiler] {
        if env::var_os(&variable).is_none() {
            cargo.env(variable, LINKER);
        }
    }
    run(&mut cargo)?;
    Ok(dir.join(TARGET).join(PROFILE).join("althing-corpus"))
}

/// The cargo that has, or builds, a standard library for the target.
fn toolchain() -> Result<Command> {
    if has_target() {
        return Ok(cargo());
    }
    if works(Command::new("rustup").arg("--version")) {
        eprintln!("adding the target {TARGET} to the toolchain, with rustup");
        // Its failure is not the end: there may be no network to it, but to Debian's archive.
        run(Command::new("rustup").args(["target", "add", TARGET])).ok();
        if has_target() {
            return Ok(cargo());
        }
    }
    let advice = format!("`rustup target add {TARGET}`");
    provide(&RUST_PACKAGES, &advice)?;
    eprintln!("using Debian's {}", RUST_PACKAGES.join(", "));
    // By their full names: a rustup in the path would answer to the short ones.
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo
        .args(["-Z", "build-std=std,panic_abort"])
        .current_dir(root())
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1");
    Ok(cargo)
}

/// Has the toolchain in use a standard library for the target?
fn has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut rustc = Command::new(rustc);
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(root());
    let Ok(output) = rustc.output() else { return false };
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    // The directory may be there without the library.
    fs::read_dir(dir).is_ok_and(|mut files| {
        files.any(|file| {
            file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
        })
    })
}

fn provide_cross_tools() -> Result<()> {
    let is_there = |program: &str| works(Command::new(program).arg("--version"));
    if is_there(LINKER) && is_there(EMULATOR) {
        return Ok(());
    }
    provide(&CROSS_PACKAGES, &format!("put {LINKER} and {EMULATOR} into the path"))
}

/// Packages of Debian, installed unless they are.
fn provide(packages: &[&str], otherwise: &str) -> Result<()> {
    if debian_has(packages) {
        return Ok(());
    }
    let advice = format!("on Debian `apt-get install {}`, else {otherwise}", packages.join(" "));
    let tools = Tools::at(root().join("target/tools"), |text| eprintln!("{text}"));
    Ok(debian_install(&tools, packages, &advice)?)
}

fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}
