//! One machine of a realm: a home, a loopback address of its own, and the process that runs there.
//!
//! The address stays the same when the process is started again, and no other process of this system
//! can take a port of it by chance: connections begin at 127.0.0.1.

use crate::common::User;
use althing_client::{Client, Endpoint, Options, RetryPolicy};
use althing_operations::Freshness;
use althing_protocol::SecretKey;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) const HTTP_PORT: u16 = 3000;
const PEERS_PORT: u16 = 3001;
/// For anything that must come to pass.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of a node's log that a failed test shows.
const LOG_LINES: usize = 40;

/// Waits until `holds`, which must come to pass.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}: did not come to pass");
        tokio::time::sleep(LOOK).await;
    }
}

/// For questions whether something has happened: no second try, no long wait.
fn impatient() -> Options {
    let none = RetryPolicy { total: Duration::ZERO, ..RetryPolicy::default() };
    let (connect_timeout, answer_timeout) = (Duration::from_secs(1), Duration::from_secs(2));
    Options { connect_timeout, answer_timeout, retry: none }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    None,
    Running,
    /// It gets no time.
    Stopped,
}

pub(crate) struct Machine {
    pub(crate) user: User,
    pub(crate) address: Ipv4Addr,
    /// Of the configuration, beside where it listens.
    settings: Vec<String>,
    /// Where other machines reach it.
    peers: SocketAddr,
    /// What runs the node's program, when that is not done at once.
    launcher: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    process: Process,
    watcher: Option<Client>,
    /// Not in the home: that may be a disk which gets full.
    logs: TempDir,
}

impl Machine {
    pub(crate) fn new(settings: &[&str]) -> Self {
        let address = free_address();
        Self {
            user: User::new(),
            address,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            peers: (address, PEERS_PORT).into(),
            launcher: Vec::new(),
            environment: Vec::new(),
            child: None,
            process: Process::None,
            watcher: None,
            logs: tempfile::tempdir().unwrap(),
        }
    }

    /// Has its node run by `launcher`, where other machines reach it at `peers`.
    pub(crate) fn elsewhere(mut self, launcher: Vec<String>, peers: Ipv4Addr) -> Self {
        self.launcher = launcher;
        self.peers = (peers, PEERS_PORT).into();
        self
    }

    /// From its next start on.
    pub(crate) fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// From its next start on, in the environment of its node.
    pub(crate) fn set_variable(&mut self, name: &str, value: &Path) {
        self.environment.push((name.to_owned(), value.to_str().unwrap().to_owned()));
    }

    /// The node's data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.user.path("data")
    }

    /// Whether its node runs and gets time.
    pub(crate) fn runs(&self) -> bool {
        self.process == Process::Running
    }

    /// Starts the node, and waits until it answers.
    pub(crate) async fn start(&mut self) {
        self.begin(&["up"]);
        self.until_it_answers().await;
    }

    /// Makes it a member of the token's realm, and waits until it answers.
    pub(crate) async fn join(&mut self, token: &str) {
        self.begin(&["join", token]);
        self.until_it_answers().await;
    }

    /// Starts the node, which must end by itself; what it said.
    pub(crate) async fn refuses_to_start(&mut self) -> String {
        self.begin(&["up"]);
        self.fails().await;
        self.log()
    }

    /// Waits until its node ends by itself, and not well.
    pub(crate) async fn fails(&mut self) {
        let child = self.child.as_mut().unwrap();
        let mut ended = None;
        until("the node ends", async || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        (self.child, self.process) = (None, Process::None);
        assert!(!ended.unwrap().success(), "{}", self.log());
    }

    fn begin(&mut self, args: &[&str]) {
        assert_eq!(self.process, Process::None, "it runs");
        let mut node = self.user.command(args);
        node.args(["--listen", &format!("{}:{HTTP_PORT}", self.address)]);
        node.args(["--peers", &self.peers.to_string()]);
        for setting in &self.settings {
            node.args(["--set", setting]);
        }
        let mut node = launched(&self.launcher, node);
        node.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        self.child = Some(node.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        self.process = Process::Running;
    }

    async fn until_it_answers(&mut self) {
        let begun = Instant::now();
        while self.status().await.is_none() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the node of {} ended: {ended:?}", self.address);
            assert!(begun.elapsed() < PATIENCE, "the node of {} does not answer", self.address);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// As `althing status --json` has it; none when the node does not answer, or not this caller.
    pub(crate) async fn status(&mut self) -> Option<Value> {
        if !self.runs() {
            return None;
        }
        if self.watcher.is_none() {
            let endpoint = Endpoint::discover(&self.data()).ok()?;
            self.watcher = Client::connect_with(&endpoint, None, impatient()).await.ok();
        }
        let watcher = self.watcher.as_ref()?;
        watcher.call("query:realm.status.v1", json!({}), Freshness::Local).await.ok()
    }

    /// A connection that tries for as long as the options say.
    pub(crate) async fn client(&self, key: &SecretKey, options: Options) -> Client {
        let endpoint = Endpoint::discover(&self.data()).unwrap();
        Client::connect_with(&endpoint, Some(key.clone()), options).await.unwrap()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        self.process = Process::None;
        self.child.take().unwrap().wait().unwrap()
    }

    /// SIGKILL: the process gets no chance to tidy up.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.ended().signal(), Some(Signal::KILL.as_raw()), "it ended before");
    }

    /// SIGTERM, as whoever supervises it would; it ends well.
    pub(crate) fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let ended = self.ended();
        assert!(ended.success(), "{ended}: {}", self.log());
    }

    /// SIGSTOP: it stands still, and its connections stay open.
    pub(crate) fn pause(&mut self) {
        self.signal(Signal::STOP);
        self.process = Process::Stopped;
    }

    pub(crate) fn resume(&mut self) {
        self.process = Process::Running;
        self.signal(Signal::CONT);
    }

    fn log_path(&self) -> PathBuf {
        self.logs.path().join("node.log")
    }

    /// The last that its node said, through all starts.
    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Nothing to do when it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("\nthe node of {} said last:\n{}", self.address, self.log());
        }
    }
}

/// The same command, run by another.
fn launched(launcher: &[String], command: Command) -> Command {
    let Some((program, args)) = launcher.split_first() else { return command };
    let mut launched = Command::new(program);
    launched.args(args).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => launched.env(name, value),
            None => launched.env_remove(name),
        };
    }
    launched
}

/// Another one for each machine of this process; those of other processes have another middle.
fn free_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(last < 255, "more machines than addresses");
    // 127.0.0.x is what everybody else uses.
    Ipv4Addr::new(127, high | 0x80, low, last)
}
