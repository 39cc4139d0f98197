//! A replica that remembers what it was given, and forgets what it had not saved.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use althing_log::{Alone, Committed, Halt, Log, LogConfig, Position, Replica, SnapshotFile};
use althing_protocol::Error;
use bytes::Bytes;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A membership without members: in the suite, unlike in a log, entries come before any membership.
const NOBODY: &[u8] = &[0x78, 0];

#[derive(Clone, Debug, Default)]
pub struct State {
    pub position: Position,
    pub entries: Vec<(u64, Bytes)>,
}

#[derive(Debug, Default)]
struct Inner {
    now: State,
    saved: State,
    halt_at: Option<u64>,
    lenient: bool,
    /// What was shown before it was decided.
    shown: Vec<(u64, Bytes)>,
    /// Snapshots that were written, until the toy is gone.
    files: Vec<tempfile::TempPath>,
}

#[derive(Debug, Default)]
pub struct Toy(Mutex<Inner>);

impl Toy {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn of(state: State) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner { now: state.clone(), saved: state, ..Inner::default() })))
    }

    /// One for the engine's suite, which leaves gaps: its snapshot first saves the state.
    pub fn lenient() -> Self {
        Self(Mutex::new(Inner { lenient: true, ..Inner::default() }))
    }

    pub fn now(&self) -> State {
        self.0.lock().unwrap().now.clone()
    }

    pub fn save(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.saved = inner.now.clone();
    }

    /// What is there after a crash.
    pub fn crashed(&self) -> Arc<Self> {
        Self::of(self.0.lock().unwrap().saved.clone())
    }

    pub fn halt_at(&self, index: u64) {
        self.0.lock().unwrap().halt_at = Some(index);
    }

    /// What was appended, decided or not.
    pub fn shown(&self) -> Vec<(u64, Bytes)> {
        self.0.lock().unwrap().shown.clone()
    }

    /// What was applied, without indexes.
    pub fn commands(&self) -> Vec<Bytes> {
        self.now().entries.into_iter().map(|(_, bytes)| bytes).collect()
    }
}

impl Replica for Toy {
    type Response = u64;

    fn applied(&self) -> Position {
        self.0.lock().unwrap().now.position.clone()
    }

    async fn apply(&self, entries: Vec<Committed>) -> Result<Vec<u64>, Halt> {
        let mut inner = self.0.lock().unwrap();
        let (mut responses, lenient) = (Vec::new(), inner.lenient);
        for entry in entries {
            if inner.halt_at == Some(entry.index) {
                return Err(Halt(format!("entry {} does not agree with me", entry.index)));
            }
            let position = &mut inner.now.position;
            // Each entry once, in order: whatever the log does.
            let next =
                if position.membership.is_empty() { entry.index } else { position.index + 1 };
            assert!(lenient || entry.index == next, "{} is not {next}", entry.index);
            (position.index, position.term, position.node) = (entry.index, entry.term, entry.node);
            if let Some(membership) = entry.membership {
                position.membership = membership;
            } else if lenient && position.membership.is_empty() {
                position.membership = NOBODY.to_vec();
            }
            if let Some(bytes) = entry.bytes {
                inner.now.entries.push((entry.index, bytes));
                responses.push(entry.index);
            }
        }
        Ok(responses)
    }

    async fn snapshot(&self) -> Result<SnapshotFile, Halt> {
        let mut inner = self.0.lock().unwrap();
        if inner.lenient {
            inner.saved = inner.now.clone();
        }
        Ok(SnapshotFile { position: inner.saved.position.clone(), path: None })
    }

    fn appended(&self, index: u64, bytes: &Bytes) {
        self.0.lock().unwrap().shown.push((index, bytes.clone()));
    }

    /// One line for each entry.
    async fn snapshot_file(&self) -> Result<SnapshotFile, Error> {
        let mut inner = self.0.lock().unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for (index, bytes) in &inner.saved.entries {
            writeln!(file, "{index} {}", std::str::from_utf8(bytes).unwrap()).unwrap();
        }
        let path = file.into_temp_path();
        let given = path.to_path_buf();
        inner.files.push(path);
        Ok(SnapshotFile { position: inner.saved.position.clone(), path: Some(given) })
    }

    async fn install(&self, snapshot: SnapshotFile) -> Result<(), Halt> {
        let text = snapshot.path.map(|path| std::fs::read_to_string(path).unwrap());
        let parse = |line: &str| {
            let (index, bytes) = line.split_once(' ').unwrap();
            (index.parse().unwrap(), Bytes::from(bytes.to_owned()))
        };
        let entries = text.unwrap_or_default().lines().map(parse).collect();
        let mut inner = self.0.lock().unwrap();
        inner.now = State { position: snapshot.position, entries };
        inner.saved = inner.now.clone();
        Ok(())
    }
}

/// Begins the log of a node that has no peers.
pub async fn create(config: LogConfig, toy: Arc<Toy>) -> Result<Log<Toy>, Error> {
    Log::create(config, toy, Alone).await
}

/// Opens the log of a node that has no peers.
pub async fn open(config: LogConfig, toy: Arc<Toy>) -> Result<Log<Toy>, Error> {
    Log::open(config, toy, Alone).await
}

/// Begins the log of a node that has no peers behind the state of the toy.
pub async fn restore(config: LogConfig, toy: Arc<Toy>) -> Result<Log<Toy>, Error> {
    Log::restore(config, toy, Alone).await
}

/// The membership whose only voter is `node`.
pub async fn alone(node: u64) -> Vec<u8> {
    let (dir, toy) = (tempfile::tempdir().unwrap(), Toy::new());
    let log = create(LogConfig::new(dir.path(), node), toy.clone()).await.unwrap();
    log.shutdown().await.unwrap();
    toy.now().position.membership
}

pub fn config(dir: &Path) -> LogConfig {
    LogConfig { segment_bytes_max: 64 << 10, entries_keep: 10, ..LogConfig::new(dir, 1) }
}

pub fn command(i: usize) -> Bytes {
    Bytes::from(format!("command {i}"))
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The segments, oldest first.
pub fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let names = std::fs::read_dir(dir.join("wal")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> =
        names.filter(|path| path.extension().is_some_and(|e| e == "wal")).collect();
    names.sort();
    names
}
