//! To test natively, with `cargo test`: a realm in memory for contracts, and a [`Stage`] for actors.
//!
//! The realm keeps the rules that a contract can notice: limits of keys and values, queries that cannot
//! write, a failed call that leaves nothing behind, programs that call each other. It does not count
//! fuel or memory, and it grants everything.

mod stage;

pub use stage::{Letter, Sent, Stage};

use crate::{Contract, Migrate, log::Level};
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeMap};

/// Who calls, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Who signs or asks.
    pub author: [u8; 32],
    /// The program that calls; without one it is the author who does.
    pub caller: Option<String>,
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
            caller: None,
            index: 0,
            timestamp_us: 1_700_000_000_000_000,
            seed: [2; 32],
            program: "test".into(),
        }
    }
}

/// A keyspace.
pub type Db = BTreeMap<Vec<u8>, Vec<u8>>;

/// A keyspace, and what the calls on it did.
#[derive(Clone, Debug, Default)]
pub struct Realm {
    /// The keyspace of the program that is tested.
    pub db: Db,
    /// What the next call sees.
    pub context: Context,
    /// Topics and data of all events so far.
    pub events: Vec<(String, Vec<u8>)>,
    /// All lines logged so far.
    pub logs: Vec<(Level, String)>,
    mode: Mode,
    others: BTreeMap<String, Other>,
    /// Programs that wait for the one that runs, the outermost first.
    waiting: Vec<String>,
}

/// What runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Apply,
    Query,
    Migrate,
}

type Entry = fn(&str, &[u8]) -> Result<Vec<u8>, String>;

/// A program that the one under test may call.
#[derive(Clone, Debug)]
struct Other {
    db: Db,
    apply: Entry,
    query: Entry,
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
        self.all_or_nothing(Mode::Apply, || crate::__apply::<C>(method, args.as_bytes())).map(json)
    }

    /// Tells the contract that it takes over from `from_version`.
    ///
    /// # Errors
    /// The text of the contract's error. Then nothing but the logs has changed.
    pub fn migrate<C: Migrate>(&mut self, from_version: &str) -> Result<(), String> {
        self.context.index += 1;
        self.all_or_nothing(Mode::Migrate, || crate::__migrate::<C>(from_version))
    }

    fn all_or_nothing<T>(
        &mut self,
        mode: Mode,
        call: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        let before = (self.db.clone(), self.others.clone(), self.events.clone());
        let output = self.enter(mode, call);
        if output.is_err() {
            (self.db, self.others, self.events) = before;
        }
        output
    }

    /// Makes `C` the program `id`, which the one under test may call: it starts with an empty keyspace.
    pub fn register<C: Contract>(&mut self, id: &str) {
        let (apply, query): (Entry, Entry) = (crate::__apply::<C>, crate::__query::<C>);
        self.others.insert(id.to_owned(), Other { db: Db::new(), apply, query });
    }

    /// The keyspace of a program that was registered.
    ///
    /// # Panics
    /// When it was not.
    pub fn db_of(&mut self, id: &str) -> &mut Db {
        match self.others.get_mut(id) {
            Some(other) => &mut other.db,
            None => panic!("program {id}: register it first"),
        }
    }

    /// Asks a query with JSON args; the answer is JSON too.
    ///
    /// # Errors
    /// The text of the contract's error.
    ///
    /// # Panics
    /// When the output is not JSON.
    pub fn query<C: Contract>(&mut self, method: &str, args: &str) -> Result<Value, String> {
        self.enter(Mode::Query, || crate::__query::<C>(method, args.as_bytes())).map(json)
    }

    /// Runs `call` with this realm as the host of the thread.
    fn enter<T>(&mut self, mode: Mode, call: impl FnOnce() -> T) -> T {
        self.mode = mode;
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
    use super::{CURRENT, Context, Mode, Realm};
    use crate::{
        Error, Kind, Result,
        context::Caller,
        db::{Deleted, Range},
        host::Page,
        log::Level,
    };
    use ed25519_zebra::{Signature, VerificationKey};
    use sha2::Digest;
    use std::mem;

    const KEY_BYTES_MAX: usize = 4 << 10;
    const VALUE_BYTES_MAX: usize = 1 << 20;
    const SCAN_PAIRS_MAX: u32 = 1_000;
    const DELETE_PREFIX_KEYS_MAX: u32 = 10_000;
    const CALL_DEPTH_MAX: usize = 8;

    #[allow(clippy::expect_used)]
    fn with<T>(run: impl FnOnce(&mut Realm) -> T) -> T {
        CURRENT.with_borrow_mut(|current| {
            run(current.as_mut().expect("called through `testing::Realm` or `testing::Stage`"))
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
        if realm.mode == Mode::Query {
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

    pub(crate) fn db_delete_prefix(prefix: &[u8], limit: u32) -> Result<Deleted> {
        with(|realm| {
            check_writes(realm)?;
            check("prefix", prefix, KEY_BYTES_MAX)?;
            let limit = limit.min(DELETE_PREFIX_KEYS_MAX);
            let mut keys = realm.db.keys().filter(|key| key.starts_with(prefix)).cloned();
            let first: Vec<_> = keys.by_ref().take(limit as usize).collect();
            let more = keys.next().is_some();
            for key in &first {
                realm.db.remove(key);
            }
            Ok(Deleted { keys: first.len() as u32, more })
        })
    }

    pub(crate) fn db_scan(range: &Range, limit: u32) -> Result<Page> {
        let Range { prefix, after, before, is_descending } = range;
        check("prefix", prefix, KEY_BYTES_MAX)?;
        let limit = limit.min(SCAN_PAIRS_MAX) as usize;
        with(|realm| {
            let is_inside = |key: &Vec<u8>| {
                key.starts_with(prefix)
                    && after.as_ref().is_none_or(|after| key > after)
                    && before.as_ref().is_none_or(|before| key < before)
            };
            let found = realm.db.iter().filter(|(key, _)| is_inside(key));
            let mut found: Vec<_> = found.map(|(k, v)| (k.clone(), v.clone())).collect();
            if *is_descending {
                found.reverse();
            }
            let more = found.len() > limit;
            found.truncate(limit);
            Ok((found, more))
        })
    }

    /// Runs a registered program in the realm of this thread.
    pub(crate) fn call_program(
        program: &str,
        method: &str,
        args: &[u8],
        is_query: bool,
    ) -> Result<Vec<u8>> {
        let mode = if is_query { Mode::Query } else { Mode::Apply };
        // What the callee may change and a failure gives back, and what is the caller's own.
        let (run, before, own) = with(|realm| {
            check_call(realm, program, mode)?;
            let before = (realm.others.clone(), realm.events.len());
            let Some(other) = realm.others.get_mut(program) else {
                let text = format!("program {program}: not registered in this test realm");
                return Err(Error::of(Kind::NotFound, text));
            };
            let run = if is_query { other.query } else { other.apply };
            let db = mem::replace(&mut realm.db, mem::take(&mut other.db));
            let caller = mem::replace(&mut realm.context.program, program.to_owned());
            let callers_caller = realm.context.caller.replace(caller.clone());
            realm.waiting.push(caller.clone());
            let callers_mode = mem::replace(&mut realm.mode, mode);
            Ok((run, before, (db, caller, callers_caller, callers_mode)))
        })?;
        let output = run(method, args);
        with(|realm| {
            let db;
            (db, realm.context.program, realm.context.caller, realm.mode) = own;
            let callee_db = mem::replace(&mut realm.db, db);
            realm.waiting.pop();
            let (others, events) = before;
            match &output {
                Ok(_) => {
                    if let Some(other) = realm.others.get_mut(program) {
                        other.db = callee_db;
                    }
                }
                Err(_) => {
                    realm.others = others;
                    realm.events.truncate(events);
                }
            }
        });
        output.map_err(|text| Error::of(Kind::GuestFailed, format!("{program}: {text}")))
    }

    fn check_call(realm: &Realm, program: &str, mode: Mode) -> Result<()> {
        if mode == Mode::Apply && realm.mode != Mode::Apply {
            let text = format!("call of {program}: queries and migrations may only query");
            return Err(Error::of(Kind::Denied, text));
        }
        if realm.context.program == program || realm.waiting.iter().any(|id| id == program) {
            let text = format!("program {program}: runs already, and cannot be entered again");
            return Err(Error::of(Kind::Conflict, text));
        }
        if realm.waiting.len() >= CALL_DEPTH_MAX {
            let text = format!("program {program}: {CALL_DEPTH_MAX} calls are nested already");
            return Err(Error::of(Kind::Exhausted, text));
        }
        Ok(())
    }

    pub(crate) fn blake3(data: &[u8]) -> [u8; 32] {
        blake3::hash(data).into()
    }

    pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(data).into()
    }

    pub(crate) fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let (key, signature) = (VerificationKey::try_from(key), Signature::try_from(signature));
        matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(&signature, message).is_ok())
    }

    fn context<T>(read: impl FnOnce(&Context) -> T) -> T {
        with(|realm| read(&realm.context))
    }

    pub(crate) fn caller() -> Caller {
        context(|context| match &context.caller {
            Some(program) => Caller::Program(program.clone()),
            None => Caller::Key(context.author),
        })
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
        if !super::stage::log(text) {
            with(|realm| realm.logs.push((level, text.to_owned())));
        }
    }

    pub(crate) fn send(actor: &str, message: &str) {
        super::stage::send(actor, message);
    }

    /// The test runner reports panics.
    pub(crate) fn enter_contract() {}
}
