//! Tools that builds need: from the system's packages, or in a directory of their own.

use crate::{
    command::{run, works},
    manifest::file_error,
    rust::Toolchain,
};
use althing_protocol::{Error, Result};
use etcetera::BaseStrategy as _;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// Names a directory for tools that is used instead of the user's.
const VARIABLE: &str = "ALTHING_TOOLS";

/// What builds need besides the sources, and whom to tell what is being done.
pub struct Tools {
    dir: PathBuf,
    locked: bool,
    tell: Box<dyn Fn(&str) + Send + Sync>,
    toolchain: OnceLock<Toolchain>,
}

impl Tools {
    /// Those in the directory `dir`, which is made when the first is installed. `tell` gets a line
    /// before each step that takes long.
    pub fn at(dir: PathBuf, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { dir, locked: false, tell: Box::new(tell), toolchain: OnceLock::new() }
    }

    /// Those of the user: in `$ALTHING_TOOLS`, else in the user's cache directory.
    ///
    /// # Errors
    /// `invalid` when the user has no home.
    pub fn of_user(tell: impl Fn(&str) + Send + Sync + 'static) -> Result<Self> {
        let dir = match env::var_os(VARIABLE) {
            Some(dir) => PathBuf::from(dir),
            None => etcetera::choose_base_strategy()
                .map_err(|e| {
                    Error::invalid(format!(
                        "tools: this user has no home ({e}); set {VARIABLE} to a directory"
                    ))
                })?
                .cache_dir()
                .join("althing/tools"),
        };
        Ok(Self::at(dir, tell))
    }

    /// The same, but the versions of libraries are those of the lock files: anything else is an
    /// error.
    #[must_use]
    pub fn locked(mut self) -> Self {
        self.locked = true;
        self
    }

    /// Where tools are installed.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether lock files must not change.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    /// Says what is being done.
    pub(crate) fn tell(&self, text: &str) {
        (self.tell)(text);
    }

    /// Who compiles Rust for wasm32; looked for once.
    pub(crate) fn toolchain(&self) -> Result<&Toolchain> {
        if let Some(toolchain) = self.toolchain.get() {
            return Ok(toolchain);
        }
        let found = Toolchain::find(self)?;
        Ok(self.toolchain.get_or_init(|| found))
    }

    /// The directory `name` of these tools, made by `install` when it is not there. What is there is
    /// complete: it is made under another name first. Two that install at once do it one after the
    /// other.
    pub(crate) fn provide(
        &self,
        name: &str,
        install: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        let done = dir.join(".complete");
        if done.is_file() {
            return Ok(dir);
        }
        fs::create_dir_all(&self.dir).map_err(|e| file_error(&self.dir, &e))?;
        let lock = self.dir.join(format!("{name}.lock"));
        let held = fs::File::create(&lock).map_err(|e| file_error(&lock, &e))?;
        held.lock().map_err(|e| file_error(&lock, &e))?;
        if done.is_file() {
            return Ok(dir);
        }
        // A rest of an installation that was cut short. Not renamed into place at the end, because
        // environments of Python hold their own path.
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(|e| file_error(&dir, &e))?;
        }
        install(&dir)?;
        fs::write(&done, "").map_err(|e| file_error(&done, &e))?;
        Ok(dir)
    }
}

/// Whether all of these packages of Debian are installed.
pub fn debian_has(packages: &[&str]) -> bool {
    packages.iter().all(|package| {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat", "${db:Status-Status}", package]);
        let output = query.stderr(Stdio::null()).output();
        output.is_ok_and(|output| output.stdout == b"installed")
    })
}

/// Installs packages of Debian, where that is possible. `advice` says what a user can do otherwise.
///
/// # Errors
/// `unavailable`, with the advice.
pub fn debian_install(tools: &Tools, packages: &[&str], advice: &str) -> Result<()> {
    if !works(Command::new("apt-get").arg("--version")) || !is_root() {
        return Err(Error::unavailable(advice));
    }
    tools.tell(&format!("installing {} with apt-get", packages.join(", ")));
    // A fresh machine has no list of packages, and an old list names files that are gone.
    run(apt_get().arg("update"), advice)?;
    let mut install = apt_get();
    install.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    run(&mut install, advice)
}

fn apt_get() -> Command {
    let mut apt_get = Command::new("apt-get");
    apt_get.arg("--quiet=2").env("DEBIAN_FRONTEND", "noninteractive");
    apt_get
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// A virtual environment of Python with exactly these packages (`NAME==VERSION`), in the directory
/// `name` of the tools. Gives its directory of programs.
pub(crate) fn venv(tools: &Tools, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let dir = tools.provide(name, |dir| {
        const ADVICE: &str = "install Python 3.11 or newer with its module venv (on Debian: \
                              `apt-get install python3 python3-venv`)";
        let make = || {
            let mut make = Command::new("python3");
            make.args(["-m", "venv"]).arg(dir);
            make
        };
        tools.tell(&format!("installing {} with pip", packages.join(", ")));
        if !works(&mut make()) {
            debian_install(tools, &["python3", "python3-venv"], ADVICE)?;
            run(make().arg("--clear"), ADVICE)?;
        }
        let mut pip = Command::new(dir.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
        run(&mut pip, "is the Python package index reachable?")
    })?;
    Ok(dir.join("bin"))
}

/// A directory of the tools with these packages of npm (`NAME@VERSION`) and what they need. Gives
/// its `node_modules`.
pub(crate) fn npm(tools: &Tools, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let dir = tools.provide(name, |dir| {
        const ADVICE: &str = "install Node.js 20 or newer with npm (on Debian: `apt-get install \
                              nodejs npm`)";
        if !works(Command::new("npm").arg("--version")) {
            debian_install(tools, &["nodejs", "npm"], ADVICE)?;
        }
        tools.tell(&format!("installing {} with npm", packages.join(", ")));
        fs::create_dir_all(dir).map_err(|e| file_error(dir, &e))?;
        let manifest = dir.join("package.json");
        fs::write(&manifest, "{\"private\": true}\n").map_err(|e| file_error(&manifest, &e))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--save-exact", "--no-audit", "--no-fund", "--loglevel=error"]);
        npm.args(packages).current_dir(dir);
        run(&mut npm, "is the registry of npm reachable?")
    })?;
    Ok(dir.join("node_modules"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_tool_is_installed_once_and_again_only_when_it_was_cut_short() {
        let dir = tempfile::tempdir().unwrap();
        let tools = Tools::at(dir.path().join("tools"), |_| {});
        let runs = AtomicU32::new(0);
        let install = |dir: &Path| {
            runs.fetch_add(1, Ordering::Relaxed);
            assert!(!dir.exists());
            fs::create_dir(dir).unwrap();
            Ok(())
        };
        let cut_short = tools.provide("one", |dir| {
            install(dir)?;
            Err(Error::unavailable("no network"))
        });
        assert!(cut_short.is_err());
        for _ in 0..2 {
            assert!(tools.provide("one", install).unwrap().ends_with("tools/one"));
        }
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }
}
