//! What can be chosen about a node: one TOML file, then the environment, then flags.

use althing_protocol::{Error, Result, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The file a fresh data directory gets: every key, its default, and what it does.
pub(crate) const DEFAULT_FILE: &str = include_str!("host.toml");

/// A section with its defaults: the struct is the section, a field is a key.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

// Behind the macro, which it uses.
mod peers;

pub use peers::{Listen, Peers};

section! {
    /// `[http]`: the one listener, for HTTP and gRPC.
    Http {
        /// Where it listens; loopback only.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)),
        /// Connections held open at once.
        connections_max: usize = 1_024,
        /// How long a client may take for the head of a request.
        head_timeout_ms: u64 = 10_000,
        /// How long a client may take for the body of a request.
        body_timeout_ms: u64 = 30_000,
        /// How long a stop waits for requests under way.
        shutdown_timeout_ms: u64 = 5_000,
    }
}

section! {
    /// `[node]`: this machine.
    Machine {
        /// What the node says of itself beside what it finds out.
        labels: BTreeMap<String, String> = BTreeMap::new(),
    }
}

section! {
    /// `[data]`: the state on disk.
    Data {
        /// Free bytes of the disk below which writes are refused.
        disk_low_water_bytes: u64 = 256 << 20,
        /// Pages of the state kept in memory.
        cache_bytes: usize = 16 << 20,
        /// What is applied becomes durable in the state after this long without a write.
        flush_idle_ms: u64 = 5_000,
    }
}

section! {
    /// `[limits]`: admission.
    Limits {
        /// Instructions and queries per second, an author and token.
        rate_per_second: u32 = 200_000,
        /// Instructions and queries at once, an author and token.
        burst: u32 = 200_000,
        /// Requests being worked on at once.
        requests_max: usize = 4_096,
        /// Streams open at once.
        streams_max: usize = 256,
        /// Envelopes waiting for the log.
        queue_max: usize = 4_096,
        /// Envelopes of one submitting stream under way at once.
        stream_window: usize = 64,
    }
}

section! {
    /// `[sandbox]`: guests.
    Sandbox {
        /// What runs the code of guests.
        backend: Backend = Backend::Native,
        /// How their memory is reserved.
        reservation: Reservation = Reservation::Auto,
        /// Instances of guests at a time; one more query waits.
        instances_max: u32 = 64,
        /// How long a query of a guest may take.
        query_deadline_ms: u64 = 5_000,
    }
}

/// `sandbox.backend`: what runs the code of guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// This processor's own code.
    Native,
    /// Code of a portable interpreter.
    Portable,
}

/// `sandbox.reservation`: address space for the memory of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reservation {
    /// The first of the others that this system has the address space for.
    Auto,
    /// 4 GiB each, in slots.
    Full,
    /// What a guest may have, in 16 slots at most.
    Small,
    /// What a guest may have, asked for at each call.
    OnDemand,
}

section! {
    /// `[log]`: the log on disk.
    Log {
        /// How long a flush waits for more entries to join it.
        flush_wait_us: u64 = 50,
        /// Entries kept behind the last one.
        keep_entries: u64 = 1_000_000,
        /// Bytes of the log kept at most, where that is fewer entries.
        keep_bytes: u64 = 1_073_741_824,
    }
}

section! {
    /// All sections of `host.toml`.
    Settings {
        /// `[http]`
        http: Http = Http::default(),
        /// `[peers]`
        peers: Peers = Peers::default(),
        /// `[node]`
        node: Machine = Machine::default(),
        /// `[data]`
        data: Data = Data::default(),
        /// `[limits]`
        limits: Limits = Limits::default(),
        /// `[sandbox]`
        sandbox: Sandbox = Sandbox::default(),
        /// `[log]`
        log: Log = Log::default(),
    }
}

/// What a node starts with: where its data lies, and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The data directory.
    pub dir: PathBuf,
    /// What file, environment and flags say.
    pub settings: Settings,
}

/// What stands above the file. The command line fills it in.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The file to read instead of `DATA/config/host.toml`; it must exist.
    pub file: Option<PathBuf>,
    /// The environment: variables that start with `ALTHING_`. Those that name no section are left
    /// alone, they are the command line's.
    pub environment: Vec<(String, String)>,
    /// Flags, as `section.key` and a value; above the environment.
    pub flags: Vec<(String, String)>,
}

impl Overrides {
    /// Nothing but this process's environment.
    pub fn from_environment() -> Self {
        Self { environment: std::env::vars().collect(), ..Self::default() }
    }
}

impl Config {
    /// Reads the configuration of the data directory `dir`.
    ///
    /// # Errors
    /// `not-found` when a file that was named is not there; `invalid`, naming file and line,
    /// variable or flag, for anything in it that is not understood or not allowed.
    pub fn load(dir: impl Into<PathBuf>, overrides: &Overrides) -> Result<Self> {
        let dir = dir.into();
        let (path, required) = match &overrides.file {
            Some(file) => (file.clone(), true),
            None => (crate::data_dir::config_file(&dir), false),
        };
        let text = read(&path, required)?;
        let settings = overrides.apply(&path, &text)?;
        settings.check()?;
        Ok(Self { dir, settings })
    }
}

fn read(path: &Path, required: bool) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
            Ok(String::new())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::not_found(
            format!("configuration {}: there is no such file; correct --config", path.display()),
        )),
        Err(error) => Err(Error::unavailable(format!("configuration {}: {error}", path.display()))),
    }
}

impl Overrides {
    fn apply(&self, path: &Path, text: &str) -> Result<Settings> {
        let refused = |error: toml::de::Error| {
            Error::invalid(format!("configuration {}: {error}", path.display()))
        };
        // Typed first: its errors name the line.
        toml::from_str::<Settings>(text).map_err(refused)?;
        let mut table: toml::Table = toml::from_str(text).map_err(refused)?;
        let known = known_keys()?;
        for (name, value) in &self.environment {
            if let Some(key) = key_of_variable(&known, name)? {
                set(&mut table, &key, value, &format!("variable {name}"))?;
            }
        }
        for (name, value) in &self.flags {
            let key = known.iter().find(|key| key.dotted() == *name).ok_or_else(|| {
                let all: Vec<String> = known.iter().map(Key::dotted).collect();
                Error::invalid(format!("setting {name}: not known; known are {}", all.join(", ")))
            })?;
            set(&mut table, key, value, &format!("setting {name}"))?;
        }
        // Each override was checked when it was set.
        Settings::deserialize(table).map_err(refused)
    }
}

#[derive(Clone, Debug)]
struct Key {
    section: String,
    name: String,
}

impl Key {
    fn dotted(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    fn variable(&self) -> String {
        format!("ALTHING_{}_{}", self.section, self.name).to_uppercase()
    }
}

/// Every key there is, as the defaults have them.
fn known_keys() -> Result<Vec<Key>> {
    let defaults = toml::Table::try_from(Settings::default())
        .map_err(|error| Error::internal(format!("default settings: {error}")))?;
    let mut keys = Vec::new();
    for (section, value) in &defaults {
        let names = value.as_table().into_iter().flat_map(toml::Table::keys);
        keys.extend(names.map(|name| Key { section: section.clone(), name: name.clone() }));
    }
    Ok(keys)
}

fn key_of_variable(known: &[Key], variable: &str) -> Result<Option<Key>> {
    if let Some(key) = known.iter().find(|key| key.variable() == variable) {
        return Ok(Some(key.clone()));
    }
    let prefix = |key: &Key| format!("ALTHING_{}_", key.section.to_uppercase());
    let section: Vec<String> =
        known.iter().filter(|key| variable.starts_with(&prefix(key))).map(Key::variable).collect();
    if section.is_empty() {
        return Ok(None);
    }
    Err(Error::invalid(format!("variable {variable}: not known; known are {}", section.join(", "))))
}

/// Sets one key, and checks that its section still reads.
fn set(table: &mut toml::Table, key: &Key, value: &str, origin: &str) -> Result<()> {
    let section = table
        .entry(key.section.clone())
        .or_insert_with(|| toml::Table::new().into())
        .as_table_mut();
    let section = section
        .ok_or_else(|| Error::invalid(format!("{origin}: {} is no section", key.section)))?;
    section.insert(key.name.clone(), value_of(value));
    Settings::deserialize(table.clone())
        .map(|_| ())
        .map_err(|error| Error::invalid(format!("{origin}: {error}")))
}

impl Settings {
    /// Checks what types alone do not say.
    pub(crate) fn check(&self) -> Result<()> {
        let listen = self.http.listen;
        if !listen.ip().is_loopback() {
            return Err(Error::invalid(format!(
                "http.listen {listen}: is not a loopback address, and callers are served on their own \
                 machine only, as long as their connections are not encrypted: use 127.0.0.1 or \
                 [::1]; for other nodes there is peers.listen"
            )));
        }
        if (self.limits.burst as usize) < limits::BATCH_PAYLOADS_MAX {
            return Err(Error::invalid(format!(
                "limits.burst {}: below one full batch; use {} or more",
                self.limits.burst,
                limits::BATCH_PAYLOADS_MAX
            )));
        }
        self.peers.address()?;
        crate::labels::check(&self.node.labels)?;
        let positive = [
            ("http.connections_max", self.http.connections_max),
            ("limits.rate_per_second", self.limits.rate_per_second as usize),
            ("limits.requests_max", self.limits.requests_max),
            ("limits.streams_max", self.limits.streams_max),
            ("limits.queue_max", self.limits.queue_max),
            ("limits.stream_window", self.limits.stream_window),
            ("sandbox.query_deadline_ms", self.sandbox.query_deadline_ms as usize),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(Error::invalid(format!("{name}: is 0; use 1 or more"))),
            None => Ok(()),
        }
    }
}

/// The file that a fresh data directory gets, with `set` said in it: `section.key` and a value.
///
/// # Errors
/// `invalid` for a key that is not known, or a value that it does not take.
pub(crate) fn file_with(set: &[(String, String)]) -> Result<String> {
    let overrides = Overrides { flags: set.to_vec(), ..Overrides::default() };
    overrides.apply(Path::new("host.toml"), DEFAULT_FILE)?.check()?;
    let mut section = String::new();
    let mut text = String::new();
    for line in DEFAULT_FILE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        }
        let key = line.strip_prefix("# ").and_then(|line| line.split_once(" = "));
        let dotted = key.map(|(key, _)| format!("{section}.{key}"));
        match set.iter().rfind(|(name, _)| dotted.as_ref() == Some(name)) {
            Some((name, value)) => {
                let key = name.rsplit('.').next().unwrap_or_default();
                text.push_str(&format!("{key} = {}\n", value_of(value)));
            }
            None => text.extend([line, "\n"]),
        }
    }
    Ok(text)
}

/// What is no TOML value is a text: `127.0.0.1:3000` needs no quotes in an environment.
fn value_of(text: &str) -> toml::Value {
    toml::from_str::<toml::Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests;
