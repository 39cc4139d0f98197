//! Guests in text form, and a host in memory.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]
// Tests may use threads; the machine, whose tests share this, may not.
#![allow(clippy::disallowed_types)]

pub mod actor;
pub mod wasi;

use althing_protocol::{Error, Hash};
use althing_sandbox::{
    Call, CallContext, Callee, Caller, Deleted, Engine, EngineOptions, Export, Finished, Halt,
    Host, HostError, Image, Level, Observed, Order, Page, Pair, Range, limits,
};
use std::{collections::BTreeMap, path::Path, sync::Arc, sync::OnceLock};

/// Fuel of a call, unless a test says otherwise.
pub const FUEL: u64 = 50_000_000;
/// Memory of a call, unless a test says otherwise.
pub const MEMORY: u64 = 16 << 20;

/// A host whose keyspace is a map.
pub struct Memory {
    pub db: BTreeMap<Vec<u8>, Arc<[u8]>>,
    pub events: Vec<(String, Vec<u8>)>,
    pub logs: Vec<(Level, String)>,
    pub context: CallContext,
    /// What every access to the keyspace gives instead.
    pub failure: Option<HostError>,
    /// Is called by the first read.
    pub nested: Option<Image>,
    /// How often that one calls it again, each inside the last.
    pub nested_depth: u32,
    /// What became of that.
    pub nested_result: Option<Result<Finished, Halt>>,
    /// Calls of other programs, and the fuel they might use.
    pub called: Vec<(Vec<u8>, u64)>,
    /// What such a call gives, and costs; without it, what was asked.
    pub callee: Option<(Result<Vec<u8>, Error>, u64)>,
    /// What it observed, if it is to.
    pub observed: Option<Vec<Observed>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            db: BTreeMap::new(),
            events: Vec::new(),
            logs: Vec::new(),
            context: CallContext {
                caller: Caller::Key([7; 32]),
                author: [7; 32],
                index: 42,
                timestamp_us: 1_700_000_000_000_000,
                seed: [9; 32],
                program: "guest".into(),
            },
            failure: None,
            nested: None,
            nested_depth: 0,
            nested_result: None,
            called: Vec::new(),
            callee: None,
            observed: None,
        }
    }
}

impl Memory {
    fn fail(&self) -> Result<(), HostError> {
        self.failure.clone().map_or(Ok(()), Err)
    }
}

impl Host for Memory {
    fn db_get(&mut self, key: &[u8]) -> Result<Option<Arc<[u8]>>, HostError> {
        self.fail()?;
        if let Some(image) = self.nested.take() {
            let again = self.nested_depth.checked_sub(1);
            let inner = Self {
                nested: again.map(|_| image.clone()),
                nested_depth: again.unwrap_or(0),
                ..Self::default()
            };
            let (inner, result) = image.call(inner, apply(b""));
            self.nested_result = Some(inner.nested_result.unwrap_or(result));
        }
        Ok(self.db.get(key).cloned())
    }

    fn db_put(&mut self, key: &[u8], value: Arc<[u8]>) -> Result<(), HostError> {
        self.fail()?;
        self.db.insert(key.to_vec(), value);
        Ok(())
    }

    fn db_delete(&mut self, key: &[u8]) -> Result<Option<usize>, HostError> {
        self.fail()?;
        Ok(self.db.remove(key).map(|value| value.len()))
    }

    fn db_scan(&mut self, range: Range<'_>, order: Order, limit: usize) -> Result<Page, HostError> {
        self.fail()?;
        let mut found: Vec<_> = self
            .db
            .iter()
            .filter(|(key, _)| {
                key.starts_with(range.prefix)
                    && range.after.is_none_or(|after| key.as_slice() > after)
                    && range.before.is_none_or(|before| key.as_slice() < before)
            })
            .map(|(key, value)| Pair { key: key.clone(), value: value.clone() })
            .collect();
        if order == Order::Descending {
            found.reverse();
        }
        let more = found.len() > limit;
        found.truncate(limit);
        Ok(Page { pairs: found, more })
    }

    fn db_delete_prefix(&mut self, prefix: &[u8], limit: usize) -> Result<Deleted, HostError> {
        let range = Range { prefix, after: None, before: None };
        let page = self.db_scan(range, Order::Ascending, limit)?;
        let bytes = page.pairs.iter().map(|pair| pair.key.len() + pair.value.len()).sum();
        for pair in &page.pairs {
            self.db.remove(&pair.key);
        }
        Ok(Deleted { keys: page.pairs.len(), bytes, more: page.more })
    }

    fn call_program(
        &mut self,
        callee: Callee<'_>,
        fuel: u64,
    ) -> Result<(Result<Vec<u8>, Error>, u64), HostError> {
        self.fail()?;
        let called = [callee.program, callee.method, if callee.is_query { "?" } else { "!" }];
        let output = [called.concat().as_bytes(), callee.args].concat();
        self.called.push((output.clone(), fuel));
        self.callee.clone().map_or(Ok((Ok(output), 1_000)), Ok)
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn emit(&mut self, topic: &str, data: &[u8]) -> Result<(), HostError> {
        self.events.push((topic.into(), data.into()));
        Ok(())
    }

    fn log(&mut self, level: Level, text: &str) {
        self.logs.push((level, text.into()));
    }

    fn observes(&self) -> bool {
        self.observed.is_some()
    }

    fn observe(&mut self, observed: Observed) {
        self.observed.as_mut().unwrap().push(observed);
    }
}

/// A world, as `wit/contract` or `wit/actor` says.
pub fn world(name: &str) -> (wit_parser::Resolve, wit_parser::WorldId) {
    let mut resolve = wit_parser::Resolve::default();
    let folder = if name.ends_with("actor") { "actor" } else { "contract" };
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(folder);
    let (package, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[package], Some(name)).unwrap();
    (resolve, world)
}

/// A component of the world `contract` around the core module `module`.
pub fn component(module: &str) -> Vec<u8> {
    component_of("contract", module)
}

/// A contract with the optional export `migrate`, which does `body`. `$from` and `$len` are the
/// version it is told.
pub fn migrating(items: &str, body: &str) -> Vec<u8> {
    let migrate = format!(
        r#"{items} (func (export "althing:contract/migration@0.1.0#migrate")
             (param $from i32) (param $len i32) (result i32) {body})"#
    );
    component_of("migrating-contract", &module(&migrate, "unreachable"))
}

/// A component of `world` around the core module `module`.
pub fn component_of(world: &str, module: &str) -> Vec<u8> {
    wrapped(world, wat::parse_str(module).unwrap()).unwrap()
}

/// A component of `world` around the binary core module `wasm`, if it can be one.
pub fn wrapped(world: &str, mut wasm: Vec<u8>) -> Option<Vec<u8>> {
    let (resolve, world) = self::world(world);
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut wasm, &resolve, world, encoding).ok()?;
    let encoder = wit_component::ComponentEncoder::default().module(&wasm).ok()?;
    encoder.validate(true).encode().inspect_err(|error| eprintln!("{error:#}")).ok()
}

/// A module that does `body` in `apply` and `query` alike, and has `items` besides.
///
/// `$args` and `$len` are its arguments. It returns `(call $ok ptr len)` or `(call $err ptr len)`.
/// Addresses below 1,024 are its own, `$ret` takes what imports return.
pub fn module(items: &str, body: &str) -> String {
    format!(
        r#"(module
  (import "althing:contract/db@0.1.0" "get" (func $get (param i32 i32 i32)))
  (import "althing:contract/db@0.1.0" "put" (func $put (param i32 i32 i32 i32 i32)))
  (import "althing:contract/db@0.1.0" "delete" (func $delete (param i32 i32 i32)))
  (import "althing:contract/db@0.1.0" "scan" (func $scan
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "althing:contract/db@0.1.0" "delete-prefix"
    (func $delete-prefix (param i32 i32 i32 i32)))
  (import "althing:contract/context@0.1.0" "caller" (func $caller (param i32)))
  (import "althing:contract/context@0.1.0" "author" (func $author (param i32)))
  (import "althing:contract/context@0.1.0" "index" (func $index (result i64)))
  (import "althing:contract/context@0.1.0" "timestamp-us" (func $timestamp (result i64)))
  (import "althing:contract/context@0.1.0" "seed" (func $seed (param i32)))
  (import "althing:contract/context@0.1.0" "program" (func $program (param i32)))
  (import "althing:contract/events@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))
  (import "althing:contract/log@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "althing:contract/crypto@0.1.0" "hash" (func $hash (param i32 i32 i32 i32)))
  (import "althing:contract/crypto@0.1.0" "verify-signature"
    (func $verify (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "althing:contract/programs@0.1.0" "call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32)))
  (import "althing:contract/programs@0.1.0" "query"
    (func $ask (param i32 i32 i32 i32 i32 i32 i32)))
  (memory (export "memory") 4)
  (global $ret i32 (i32.const 64))
  (global $heap (mut i32) (i32.const 131072))
  (func $grow (param $end i32)
    (if (i32.gt_u (local.get $end) (i32.shl (memory.size) (i32.const 16)))
      (then
        (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u
              (i32.sub (local.get $end) (i32.shl (memory.size) (i32.const 16)))
              (i32.const 16)))))
          (then unreachable)))))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (call $grow (global.get $heap))
    (local.get $at))
  (func $return (param i32 i32 i32) (result i32)
    (i32.store8 (i32.const 16) (local.get 0))
    (i32.store (i32.const 20) (local.get 1))
    (i32.store (i32.const 24) (local.get 2))
    (i32.const 16))
  (func $ok (param i32 i32) (result i32)
    (call $return (i32.const 0) (local.get 0) (local.get 1)))
  (func $err (param i32 i32) (result i32)
    (call $return (i32.const 1) (local.get 0) (local.get 1)))
  ;; Returns the message of the error that an import left at $ret, else the word at 1,024.
  (func $told (param $size i32) (result i32)
    (if (result i32) (i32.load8_u (global.get $ret))
      (then (call $err (i32.load offset=8 (global.get $ret)) (i32.load offset=12 (global.get $ret))))
      (else (call $ok (i32.const 1024) (local.get $size)))))
  {items}
  (func $run (param $args i32) (param $len i32) (result i32)
    {body})
  (func (export "apply") (param i32 i32 i32 i32) (result i32)
    (call $run (local.get 2) (local.get 3)))
  (func (export "query") (param i32 i32 i32 i32) (result i32)
    (call $run (local.get 2) (local.get 3))))"#
    )
}

/// An engine that the tests of a file share.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(&EngineOptions::default()).unwrap())
}

/// The image of [`module`].
pub fn image(items: &str, body: &str) -> Image {
    load(engine(), &component(&module(items, body)))
}

pub fn load(engine: &Engine, component: &[u8]) -> Image {
    engine.load(&Hash::of(component), component).unwrap()
}

/// A call of `apply`.
pub fn apply(args: &[u8]) -> Call<'_> {
    Call {
        export: Export::Apply,
        method: "run",
        args,
        fuel: FUEL,
        memory_bytes_max: MEMORY,
        output_bytes_max: 64 << 10,
        deadline: None,
    }
}

/// A call of `query`.
pub fn query(args: &[u8]) -> Call<'_> {
    Call { export: Export::Query, ..apply(args) }
}

/// A call of `migrate`.
pub fn migrate(from_version: &str) -> Call<'_> {
    Call { export: Export::Migrate, method: from_version, ..apply(b"") }
}

/// Calls with a new host.
pub fn run(image: &Image, call: Call<'_>) -> (Memory, Finished) {
    let (host, finished) = on_stack(|| image.call(Memory::default(), call));
    (host, finished.unwrap())
}

/// Does `work` on a thread with the stack that a guest may need.
pub fn on_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let thread = std::thread::Builder::new().stack_size(limits::THREAD_STACK_BYTES);
    std::thread::scope(|scope| thread.spawn_scoped(scope, work).unwrap().join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Calls and gives the error.
pub fn fails(image: &Image, call: Call<'_>) -> (Error, u64) {
    let (_, finished) = run(image, call);
    (finished.output.unwrap_err(), finished.fuel_used)
}

/// Calls with a host that fails as `failure` says.
pub fn halts(image: &Image, call: Call<'_>, failure: HostError) -> Result<Finished, Halt> {
    let host = Memory { failure: Some(failure), ..Memory::default() };
    image.call(host, call).1
}
