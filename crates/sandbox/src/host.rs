//! What the machine offers a guest during a call.

use althing_protocol::Error;
use std::{any::Any, fmt, sync::Arc};
use wasmtime::component::{ComponentType, Lift, Lower};

/// The machine's side of a call. The sandbox checks lengths, the phase and the fuel before it comes
/// here; totals of a call (bytes written, events) are the host's to limit.
///
/// What a guest of its kind cannot import, a host need not have.
pub trait Host: Any + Send {
    /// The value of `key` in the program's keyspace.
    ///
    /// # Errors
    /// [`HostError`].
    fn db_get(&mut self, _key: &[u8]) -> Result<Option<Arc<[u8]>>, HostError> {
        not_offered()
    }

    /// Writes `key`.
    ///
    /// # Errors
    /// [`HostError`].
    fn db_put(&mut self, _key: &[u8], _value: Arc<[u8]>) -> Result<(), HostError> {
        not_offered()
    }

    /// Deletes `key`. Gives the length of the value that was there.
    ///
    /// # Errors
    /// [`HostError`].
    fn db_delete(&mut self, _key: &[u8]) -> Result<Option<usize>, HostError> {
        not_offered()
    }

    /// Pairs of `range`, in order: at most `limit`, and at most
    /// [`SCAN_BYTES_MAX`](althing_protocol::limits::SCAN_BYTES_MAX) bytes.
    ///
    /// # Errors
    /// [`HostError`].
    fn db_scan(
        &mut self,
        _range: Range<'_>,
        _order: Order,
        _limit: usize,
    ) -> Result<Page, HostError> {
        not_offered()
    }

    /// Deletes the first keys that start with `prefix`: at most `limit`, and no more than a page of a
    /// scan has. At least one, if there is one and `limit` is not 0.
    ///
    /// # Errors
    /// [`HostError`].
    fn db_delete_prefix(&mut self, _prefix: &[u8], _limit: usize) -> Result<Deleted, HostError> {
        not_offered()
    }

    /// Calls another program, which may use `fuel` at most. Gives what it returned, or why it failed,
    /// and the fuel that it cost.
    ///
    /// # Errors
    /// [`HostError`], when it was not called at all.
    fn call_program(
        &mut self,
        _callee: Callee<'_>,
        _fuel: u64,
    ) -> Result<(Result<Vec<u8>, Error>, u64), HostError> {
        not_offered()
    }

    /// Who calls, and when.
    fn context(&self) -> &CallContext;

    /// Emits an event.
    ///
    /// # Errors
    /// [`HostError`].
    fn emit(&mut self, _topic: &str, _data: &[u8]) -> Result<(), HostError> {
        not_offered()
    }

    /// Keeps a line for people. Bounded by the sandbox; cannot fail, and has no effect on the call.
    fn log(&mut self, level: Level, text: &str);

    /// Whether each host function is to be [observed](Self::observe). Asked once a call; it has no
    /// effect on what the call does or costs.
    fn observes(&self) -> bool {
        false
    }

    /// A host function has ended.
    fn observe(&mut self, _: Observed) {}
}

/// What a guest asked of the host: for people who look into a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The function: `db.get`.
    pub function: &'static str,
    /// Its arguments, long ones cut.
    pub args: Vec<(&'static str, String)>,
    /// What it gave, long results cut. Empty when it has none.
    pub result: String,
    /// What it cost, and what the program cost that it called.
    pub fuel: u64,
}

impl Observed {
    pub(crate) fn of(function: &'static str) -> Self {
        Self { function, ..Self::default() }
    }
}

/// A call of another program.
#[derive(Clone, Copy, Debug)]
pub struct Callee<'a> {
    /// The program.
    pub program: &'a str,
    /// Its method.
    pub method: &'a str,
    /// The arguments.
    pub args: &'a [u8],
    /// Whether its `query` is asked, rather than its `apply` run.
    pub is_query: bool,
}

/// Keys of a scan: those that start with `prefix`, between two others.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// What they start with.
    pub prefix: &'a [u8],
    /// The key that they come after.
    pub after: Option<&'a [u8]>,
    /// The key that they come before.
    pub before: Option<&'a [u8]>,
}

/// The direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum Order {
    /// From the least key on.
    #[component(name = "ascending")]
    Ascending,
    /// From the greatest key back.
    #[component(name = "descending")]
    Descending,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ascending => "ascending",
            Self::Descending => "descending",
        })
    }
}

/// What was deleted under a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Keys.
    pub keys: usize,
    /// Bytes of these keys and their values.
    pub bytes: usize,
    /// There are more.
    pub more: bool,
}

/// Who calls a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Who signed the instruction, or asks.
    Key([u8; 32]),
    /// Another program.
    Program(String),
}

/// Who calls, and when: the same on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// Who calls the program.
    pub caller: Caller,
    /// Who signed the instruction, or asks.
    pub author: [u8; 32],
    /// Index of the entry; in a query, of the last one applied.
    pub index: u64,
    /// The realm's time, in microseconds since the Unix epoch.
    pub timestamp_us: u64,
    /// Seed of this instruction.
    pub seed: [u8; 32],
    /// The program that is called.
    pub program: String,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Pair {
    /// The key, without its keyspace.
    pub key: Vec<u8>,
    /// The value.
    pub value: Arc<[u8]>,
}

/// Part of an ordered scan.
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Page {
    /// Pairs in the order of the scan.
    pub pairs: Vec<Pair>,
    /// There are more after the last one.
    pub more: bool,
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum Level {
    /// For who looks for a defect.
    #[component(name = "debug")]
    Debug,
    /// What happened.
    #[component(name = "info")]
    Info,
    /// Something is odd.
    #[component(name = "warn")]
    Warn,
    /// Something failed.
    #[component(name = "error")]
    Error,
}

/// Why the host did not do what a guest asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HostError {
    /// The guest sees this and may handle it.
    #[error(transparent)]
    Refused(#[from] Error),
    /// The guest sees nothing: its call ends here, without an outcome.
    #[error(transparent)]
    Halt(#[from] Halt),
}

/// The node cannot go on with this call, through no fault of the guest. Never an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt(String);

impl Halt {
    /// A halt for `reason`.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Halt {}

/// What a guest of this kind cannot import was asked of its host.
fn not_offered<T>() -> Result<T, HostError> {
    Err(Halt::new("a guest reached a host function that its kind is not offered: a defect").into())
}

/// Nobody calls, at no time.
pub(crate) const NOBODY: &CallContext = &CallContext {
    caller: Caller::Key([0; 32]),
    author: [0; 32],
    index: 0,
    timestamp_us: 0,
    seed: [0; 32],
    program: String::new(),
};

/// The host of an instance that is only started. Imports trap then, so nothing of it is reached.
pub(crate) struct NoHost;

impl Host for NoHost {
    fn context(&self) -> &CallContext {
        NOBODY
    }

    fn log(&mut self, _: Level, _: &str) {}
}
