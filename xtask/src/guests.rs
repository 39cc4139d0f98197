//! Builds the guests: `guests/NAME` becomes a package, the component `target/guests/NAME.wasm` and its
//! manifest `target/guests/NAME.toml`.
//!
//! A guest needs the standard library for wasm32-unknown-unknown. The first of these that works is
//! taken:
//!
//! 1. the user's own toolchain, when it has the target;
//! 2. the same after `rustup target add`, when there is rustup;
//! 3. Debian's packages, which bring the library as source: it is built along with the guests.

use anyhow::{Context, Result, bail, ensure};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];

/// A guest that was built.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// The component.
    pub(crate) component: PathBuf,
}

/// Builds all guests. Cargo skips what has not changed, and a component is only written when it is
/// another one.
pub(crate) fn build() -> Result<Vec<Guest>> {
    let root = root();
    let out = root.join("target/guests");
    compile(&root, &out.join("build"))?;
    let mut guests = Vec::new();
    for name in names(&root.join("guests"))? {
        let module = out.join("build").join(TARGET).join("release").join(format!("{name}.wasm"));
        let module = fs::read(&module).with_context(|| format!("reading {}", module.display()))?;
        let component = out.join(format!("{name}.wasm"));
        write_if_changed(&component, &component_of(&name, &module)?)?;
        let manifest = root.join("guests").join(&name).join("althing.toml");
        let manifest =
            fs::read(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
        write_if_changed(&component.with_extension("toml"), &manifest)?;
        guests.push(Guest { component });
    }
    Ok(guests)
}

/// The checkout that this was built from.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// The directories in `guests` that hold a package.
fn names(guests: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(guests).with_context(|| format!("reading {}", guests.display()))? {
        let entry = entry?;
        if entry.path().join("althing.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ensure!(!names.is_empty(), "{} holds no guest", guests.display());
    names.sort();
    Ok(names)
}

/// Compiles the guests' workspace to core modules.
fn compile(root: &Path, target_dir: &Path) -> Result<()> {
    let toolchain = Toolchain::find()?;
    let mut cargo = toolchain.cargo();
    cargo
        .args(["build", "--release", "--quiet", "--locked", "--target", TARGET])
        .arg("--manifest-path")
        .arg(root.join("guests/Cargo.toml"))
        .arg("--target-dir")
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root));
    run(&mut cargo)
}

/// Keeps paths of this machine out of panic messages, so that a guest has the same hash wherever it
/// is built with the same toolchain.
fn flags(root: &Path) -> String {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut flags = vec![format!("--remap-path-prefix={}=althing", root.display())];
    if let Some(cargo_home) = cargo_home {
        flags.push(format!("--remap-path-prefix={}=cargo", cargo_home.display()));
    }
    flags.join("\u{1f}")
}

fn component_of(name: &str, module: &[u8]) -> Result<Vec<u8>> {
    wit_component::ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .with_context(|| format!("making a component of {name}"))
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let new = path.with_extension("new");
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("writing {}", path.display()))
}

/// Who compiles for wasm32.
enum Toolchain {
    /// The one in use, which has the target.
    Own,
    /// Debian's, with the standard library as source.
    Debian,
}

impl Toolchain {
    fn find() -> Result<Self> {
        if has_target() {
            return Ok(Self::Own);
        }
        if works(Command::new("rustup").arg("--version")) {
            eprintln!("guests: adding the target {TARGET} to the toolchain, with rustup");
            // Its failure is not the end: there may be no network to it, but to Debian's archive.
            run(Command::new("rustup").args(["target", "add", TARGET])).ok();
            if has_target() {
                return Ok(Self::Own);
            }
        }
        if !debian_is_complete() {
            install_debian()?;
        }
        eprintln!("guests: using Debian's {}", DEBIAN_PACKAGES.join(", "));
        Ok(Self::Debian)
    }

    fn cargo(&self) -> Command {
        match self {
            Self::Own => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
            Self::Debian => {
                // By their full names: a rustup in the path would answer to the short ones.
                let mut cargo = Command::new("/usr/bin/cargo");
                cargo
                    .args(["-Z", "build-std=std,panic_abort"])
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19");
                cargo
            }
        }
    }
}

/// Has the toolchain in use a standard library for the target?
fn has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    output.is_ok_and(|output| {
        let dir = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        // The directory may be there without the library.
        fs::read_dir(dir).is_ok_and(|mut files| {
            files.any(|file| {
                file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
            })
        })
    })
}

fn debian_is_complete() -> bool {
    let installed = |package: &&str| {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat", "${db:Status-Status}", *package]);
        query.output().is_ok_and(|output| output.stdout == b"installed")
    };
    DEBIAN_PACKAGES.iter().all(installed)
}

fn install_debian() -> Result<()> {
    let advice = format!(
        "the guests need a standard library for {TARGET}: `rustup target add {TARGET}`, or on \
         Debian `apt-get install {}`",
        DEBIAN_PACKAGES.join(" ")
    );
    if !works(Command::new("apt-get").arg("--version")) || !is_root() {
        bail!("{advice}");
    }
    eprintln!("guests: installing {} with apt-get", DEBIAN_PACKAGES.join(", "));
    // A fresh machine has no list of packages, and an old list names files that are gone.
    run(apt_get().arg("update")).context(advice.clone())?;
    let mut install = apt_get();
    install.args(["install", "--yes", "--no-install-recommends"]).args(DEBIAN_PACKAGES);
    run(&mut install).context(advice)
}

fn apt_get() -> Command {
    let mut apt_get = Command::new("apt-get");
    apt_get.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    apt_get
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn works(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("starting {shown}"))?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}
