//! Contracts and actors in Rust. Which of them it is, and for which world, is what their macro exports.
//!
//! They need the standard library for wasm32-unknown-unknown. The first of these that works is taken:
//!
//! 1. the user's own toolchain, when it has the target;
//! 2. the same after `rustup target add`, when there is rustup;
//! 3. Debian's packages, which bring the library as source: it is built along with the contract.

use crate::{
    Project, Tools,
    command::{run, works},
    install::{debian_has, debian_install},
    manifest::file_error,
    prepare::prepared,
    project::write_if_changed,
};
use althing_protocol::{Error, Result};
use serde::Deserialize;
use std::{
    env, fs,
    io::{IsTerminal as _, stderr},
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];

/// Builds the component of `project`.
pub(crate) fn build(project: &Project, tools: &Tools, component: &Path) -> Result<()> {
    let target_dir = target_dir(component.parent().unwrap_or(component));
    let mut cargo = tools.toolchain()?.cargo();
    cargo
        .args(["build", "--release", "--lib", "--target", TARGET])
        // Who watches sees how far it is; who does not, sees what went wrong.
        .args((!stderr().is_terminal()).then_some("--quiet"))
        .args(tools.is_locked().then_some("--locked"))
        .arg("--target-dir")
        .arg(&target_dir)
        .current_dir(project.dir())
        .env("CARGO_ENCODED_RUSTFLAGS", flags(project));
    run(&mut cargo, "mend what the compiler shows above")?;
    let name = library(project)?;
    let module = target_dir.join(TARGET).join("release").join(format!("{name}.wasm"));
    let module = fs::read(&module).map_err(|e| {
        let error = file_error(&module, &e).message;
        Error::invalid(format!(
            "{error}; Cargo.toml wants `[lib] crate-type = [\"cdylib\", \"rlib\"]`"
        ))
    })?;
    let module = prepared(project.name(), module)?;
    write_if_changed(component, &component_of(project.name(), &module)?)
}

/// What runs the tests of `project`, natively.
pub(crate) fn tests(project: &Project, tools: &Tools, out: &Path) -> Result<Command> {
    let mut cargo = native_cargo(tools)?;
    cargo
        .args(["test", "--quiet"])
        .args(tools.is_locked().then_some("--locked"))
        .arg("--target-dir")
        .arg(target_dir(out))
        .current_dir(project.dir());
    Ok(cargo)
}

/// Where cargo works, for a package that goes to `out`.
fn target_dir(out: &Path) -> PathBuf {
    out.join("cargo")
}

/// Stack of a guest in linear memory. A call gets fresh memory, and little of it is made faster than the
/// 1 MiB that is the linker's own choice. JSON of 64 levels has to be read and checked on it.
const STACK_BYTES: u32 = 256 << 10;

/// Keeps paths of this machine out of panic messages, so that a guest has the same hash wherever
/// it is built with the same toolchain.
fn flags(project: &Project) -> String {
    let home = env::var_os("HOME").map(PathBuf::from);
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".cargo")));
    let mut flags = vec![
        format!("-Clink-arg=-zstack-size={STACK_BYTES}"),
        format!("--remap-path-prefix={}=althing", project.root().display()),
    ];
    if let Some(cargo_home) = cargo_home {
        flags.push(format!("--remap-path-prefix={}=cargo", cargo_home.display()));
    }
    flags.join("\u{1f}")
}

/// The name of the library that the package makes.
fn library(project: &Project) -> Result<String> {
    #[derive(Deserialize)]
    struct Cargo {
        package: Package,
        lib: Option<Lib>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
    }
    #[derive(Deserialize)]
    struct Lib {
        name: Option<String>,
    }
    let path = project.dir().join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|e| file_error(&path, &e))?;
    let cargo: Cargo = toml::from_str(&text)
        .map_err(|e| Error::invalid(format!("{}: is no package: {e}", path.display())))?;
    let own = cargo.lib.and_then(|lib| lib.name);
    Ok(own.unwrap_or_else(|| cargo.package.name.replace('-', "_")))
}

fn component_of(name: &str, module: &[u8]) -> Result<Vec<u8>> {
    wit_component::ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|e| {
            Error::invalid(format!(
                "{name}: no component can be made of it: {e:#}; does it say `contract!(...)`, \
                 or `actor!(...)`?"
            ))
        })
}

/// Who compiles for wasm32.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Toolchain {
    /// The one in use, which has the target.
    Own,
    /// Debian's, with the standard library as source.
    Debian,
}

impl Toolchain {
    pub(crate) fn find(tools: &Tools) -> Result<Self> {
        if has_target() {
            return Ok(Self::Own);
        }
        if works(Command::new("rustup").arg("--version")) {
            tools.tell(&format!("adding the target {TARGET} to the toolchain, with rustup"));
            // Its failure is not the end: there may be no network to it, but to Debian's archive.
            if works(Command::new("rustup").args(["target", "add", TARGET])) && has_target() {
                return Ok(Self::Own);
            }
        }
        if !debian_has(&DEBIAN_PACKAGES) {
            let advice = format!(
                "guests in Rust need a standard library for {TARGET}: `rustup target add \
                 {TARGET}`, or on Debian `apt-get install {}`",
                DEBIAN_PACKAGES.join(" ")
            );
            debian_install(tools, &DEBIAN_PACKAGES, &advice)?;
        }
        tools.tell(&format!("using Debian's {}", DEBIAN_PACKAGES.join(", ")));
        Ok(Self::Debian)
    }

    fn cargo(self) -> Command {
        match self {
            Self::Own => Command::new(own_cargo()),
            Self::Debian => {
                let mut cargo = debian_cargo();
                cargo
                    .args(["-Z", "build-std=std,panic_abort"])
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19");
                cargo
            }
        }
    }
}

/// The one that runs this, else the first in the path.
fn own_cargo() -> std::ffi::OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn debian_cargo() -> Command {
    // By their full names: a rustup in the path would answer to the short ones.
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.env_remove("RUSTUP_TOOLCHAIN").env("RUSTC", "/usr/bin/rustc");
    cargo
}

/// What compiles for this machine: any toolchain does.
fn native_cargo(tools: &Tools) -> Result<Command> {
    if works(Command::new(own_cargo()).arg("--version")) {
        return Ok(Command::new(own_cargo()));
    }
    tools.toolchain().map(|_| debian_cargo())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_library_has_the_name_that_cargo_gives_it() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("althing.toml", "name = \"x\"");
        fs::create_dir_all(dir.path().join("vendor/sdk/rust")).unwrap();
        fs::create_dir_all(dir.path().join("vendor/wit/contract")).unwrap();
        for (text, name) in [
            ("[package]\nname = \"my-book\"", Ok("my_book")),
            ("[package]\nname = \"x\"\n[lib]\nname = \"contract\"", Ok("contract")),
            ("[package]\nname = \"x\"\n[lib]\ncrate-type = []", Ok("x")),
            ("[workspace]", Err("is no package")),
        ] {
            write("Cargo.toml", text);
            let found = library(&Project::open(dir.path()).unwrap());
            match name {
                Ok(name) => assert_eq!(found.unwrap(), name),
                Err(words) => assert!(found.unwrap_err().message.contains(words), "{text}"),
            }
        }
    }

    #[test]
    fn a_module_that_is_no_contract_is_told_what_it_lacks() {
        let empty = b"\0asm\x01\0\0\0";
        assert!(component_of("x", &empty[..7]).unwrap_err().message.contains("contract!"));
    }
}
