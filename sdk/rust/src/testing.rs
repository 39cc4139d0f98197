//! A realm in memory, to test contracts natively with `cargo test`.
//!
//! It keeps the rules that a contract can notice: limits of keys and values, queries that cannot
//! write, a failed call that leaves nothing behind. It does not count fuel or memory.

use crate::{Contract, log::Level};
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeMap};

/// Who calls, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Who signs or asks.
    pub author: [u8; 32],
    /// Index of the entry; each [`Realm::apply`] moves it on by one.
    pub index: u64,
    /// The realm's time.
    pub timestamp_us: u64,
    /// The seed of the instruction.
    pub seed: [u8; 32],
    /// The program's id.
    pub program: String,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            author: [1; 32],
            index: 0,
            timestamp_us: 1_700_000_000_000_000,
            seed: [2; 32],
            program: "test".into(),
        }
    }
}

/// A keyspace, and what the calls on it did.
#[derive(Clone, Debug, Default)]
pub struct Realm {
    /// The keyspace.
    pub db: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What the next call sees.
    pub context: Context,
    /// Topics and data of all events so far.
    pub events: Vec<(String, Vec<u8>)>,
    /// All lines logged so far.
    pub logs: Vec<(Level, String)>,
    read_only: bool,
}

thread_local! {
    /// The realm that the call on this thread runs in.
    static CURRENT: RefCell<Option<Realm>> = const { RefCell::new(None) };
}

impl Realm {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs an instruction with JSON args; its output is JSON too.
    ///
    /// # Errors
    /// The text of the contract's error. Then nothing but the logs has changed.
    ///
    /// # Panics
    /// When the output is not JSON.
    pub fn apply<C: Contract>(&mut self, method: &str, args: &str) -> Result<Value, String> {
        self.context.index += 1;
        let before = (self.db.clone(), self.events.clone());
        let output = self.enter(false, || crate::__apply::<C>(method, args.as_bytes()));
        if output.is_err() {
            (self.db, self.events) = before;
        }
        output.map(json)
    }

    /// Asks a query with JSON args; the answer is JSON too.
    ///
    /// # Errors
    /// The text of the contract's error.
    ///
    /// # Panics
    /// When the output is not JSON.
    pub fn query<C: Contract>(&mut self, method: &str, args: &str) -> Result<Value, String> {
        self.enter(true, || crate::__query::<C>(method, args.as_bytes())).map(json)
    }

    /// Runs `call` with this realm as the host of the thread.
    fn enter<T>(&mut self, read_only: bool, call: impl FnOnce() -> T) -> T {
        self.read_only = read_only;
        CURRENT.with_borrow_mut(|current| {
            assert!(current.is_none(), "a call inside a call");
            *current = Some(std::mem::take(self));
        });
        let output = call();
        CURRENT.with_borrow_mut(|current| *self = current.take().unwrap_or_default());
        output
    }
}

#[allow(clippy::expect_used)]
fn json(output: Vec<u8>) -> Value {
    serde_json::from_slice(&output).expect("the output is JSON")
}

pub(crate) mod host {
    use super::{CURRENT, Context, Realm};
    use crate::{Error, Kind, Result, host::Page, log::Level};
    use std::ops::Bound;

    const KEY_BYTES_MAX: usize = 4 << 10;
    const VALUE_BYTES_MAX: usize = 1 << 20;
    const SCAN_PAIRS_MAX: u32 = 1_000;

    #[allow(clippy::expect_used)]
    fn with<T>(run: impl FnOnce(&mut Realm) -> T) -> T {
        CURRENT.with_borrow_mut(|current| {
            run(current.as_mut().expect("called through `testing::Realm`"))
        })
    }

    fn check(what: &str, bytes: &[u8], max: usize) -> Result<()> {
        if bytes.len() <= max {
            return Ok(());
        }
        let text = format!("{what}: {} bytes, the limit is {max}", bytes.len());
        Err(Error::of(Kind::Invalid, text))
    }

    fn check_key(key: &[u8]) -> Result<()> {
        if key.is_empty() {
            return Err(Error::of(Kind::Invalid, "key: empty; a key has at least one byte"));
        }
        check("key", key, KEY_BYTES_MAX)
    }

    fn check_writes(realm: &Realm) -> Result<()> {
        if realm.read_only {
            return Err(Error::of(Kind::Denied, "a query cannot change anything"));
        }
        Ok(())
    }

    pub(crate) fn db_get(key: &[u8]) -> Result<Option<Vec<u8>>> {
        check_key(key)?;
        Ok(with(|realm| realm.db.get(key).cloned()))
    }

    pub(crate) fn db_put(key: &[u8], value: &[u8]) -> Result<()> {
        with(|realm| {
            check_writes(realm)?;
            check_key(key)?;
            check("value", value, VALUE_BYTES_MAX)?;
            realm.db.insert(key.to_vec(), value.to_vec());
            Ok(())
        })
    }

    pub(crate) fn db_delete(key: &[u8]) -> Result<bool> {
        with(|realm| {
            check_writes(realm)?;
            check_key(key)?;
            Ok(realm.db.remove(key).is_some())
        })
    }

    pub(crate) fn db_scan(prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Page> {
        check("prefix", prefix, KEY_BYTES_MAX)?;
        let limit = limit.min(SCAN_PAIRS_MAX) as usize;
        with(|realm| {
            let start = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let mut found = realm
                .db
                .range::<[u8], _>((start, Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(prefix));
            let pairs = found.by_ref().take(limit).map(|(k, v)| (k.clone(), v.clone())).collect();
            Ok((pairs, found.next().is_some()))
        })
    }

    fn context<T>(read: impl FnOnce(&Context) -> T) -> T {
        with(|realm| read(&realm.context))
    }

    pub(crate) fn author() -> [u8; 32] {
        context(|context| context.author)
    }

    pub(crate) fn index() -> u64 {
        context(|context| context.index)
    }

    pub(crate) fn timestamp_us() -> u64 {
        context(|context| context.timestamp_us)
    }

    pub(crate) fn seed() -> [u8; 32] {
        context(|context| context.seed)
    }

    pub(crate) fn program() -> String {
        context(|context| context.program.clone())
    }

    pub(crate) fn emit(topic: &str, data: &[u8]) -> Result<()> {
        with(|realm| {
            check_writes(realm)?;
            realm.events.push((topic.to_owned(), data.to_vec()));
            Ok(())
        })
    }

    pub(crate) fn log(level: Level, text: &str) {
        with(|realm| realm.logs.push((level, text.to_owned())));
    }

    /// The test runner reports them.
    pub(crate) fn report_panics() {}
}
