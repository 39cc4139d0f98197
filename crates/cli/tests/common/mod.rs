//! A user with a home of their own, and the node they run.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};
use tempfile::TempDir;

/// A user: data, configuration and keys lie in a temporary directory.
pub(crate) struct User {
    home: TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl User {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// A path in the user's home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_althing"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ALTHING_")) {
            command.env_remove(name);
        }
        command
            .args(args)
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("ALTHING_DATA", self.path("data"))
            .envs(toolchains())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// Runs a command with something on stdin.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    }

    /// Runs a command that must succeed; what it prints to people, without the last line end.
    pub(crate) fn says(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.out.trim_end_matches('\n').to_owned()
    }

    /// Runs a command that must succeed with `--json`; the one document it prints.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.says(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
    }

    /// Runs a command that must fail; its exit code, and the kind and message it gives with `--json`.
    pub(crate) fn fails(&self, args: &[&str]) -> (i32, String, String) {
        let ran = self.run(&[args, &["--json"]].concat());
        let document: Value =
            serde_json::from_str(&ran.err).unwrap_or_else(|e| panic!("{args:?}: {e}: {ran:?}"));
        let text = |field: &str| document["error"][field].as_str().unwrap().to_owned();
        (ran.code, text("kind"), text("message"))
    }

    /// Runs a command whose stdout nobody reads.
    pub(crate) fn run_unheard(&self, args: &[&str]) -> Ran {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Ran::from(self.command(args).stdout(writer).output().unwrap())
    }

    /// Starts a command that prints a JSON document a line until it is interrupted.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let args = [args, &["--json"]].concat();
        let mut child = self.command(&args).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }

    /// Starts the node, and waits until it has said where it is.
    pub(crate) fn up(&self) -> Running {
        self.up_with(&[]).0
    }

    /// Starts the node with more flags; also what it said.
    pub(crate) fn up_with(&self, args: &[&str]) -> (Running, Value) {
        let mut node = self.start(&[&["up", "--listen", "127.0.0.1:0"], args].concat());
        let said = node.line();
        assert!(said["address"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{said}");
        (node, said)
    }

    /// Deploys a guest that `cargo xtask guests` built.
    pub(crate) fn deploy(&self, guest: &str) {
        let (component, manifest) = package(guest);
        let (component, manifest) = (component.to_str().unwrap(), manifest.to_str().unwrap());
        let deployed = self.json(&["deploy", component, "--manifest", manifest]);
        assert_eq!(deployed["state"], "activated");
        let again = self.json(&["deploy", component, "--manifest", manifest]);
        assert_eq!(again["state"], "unchanged");
    }

    /// Makes a file in the home with what is above it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Where the toolchains of who runs the tests are: another home would hide them. Tools that builds
/// install are shared with `cargo xtask guests`.
fn toolchains() -> Vec<(&'static str, PathBuf)> {
    let home = std::env::home_dir().unwrap();
    let of = |name, dir| std::env::var_os(name).map_or_else(|| home.join(dir), PathBuf::from);
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    let mut found = vec![("ALTHING_TOOLS", tools)];
    for (name, dir) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let dir = of(name, dir);
        found.extend(dir.exists().then_some((name, dir)));
    }
    found
}

/// Component and manifest of a guest.
pub(crate) fn package(guest: &str) -> (PathBuf, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let component = root.join("target/guests").join(format!("{guest}.wasm"));
    assert!(component.exists(), "{} is missing: cargo xtask guests", component.display());
    (component, root.join("guests").join(guest).join("althing.toml"))
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A command that runs until it is interrupted.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// The next line it prints.
    pub(crate) fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended: {:?}", self.child.wait());
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until it ends by itself, which must be well.
    #[allow(dead_code)]
    pub(crate) fn end(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Interrupts it like a terminal does, and waits for its end.
    pub(crate) fn interrupt(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing to do when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
