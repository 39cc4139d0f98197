//! Guests in text form, and a host in memory.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use althing_protocol::{Error, Hash};
use althing_sandbox::{
    Call, CallContext, Engine, EngineOptions, Export, Finished, Halt, Host, HostError, Image,
    Level, Page, Pair,
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
    /// What became of that.
    pub nested_result: Option<Result<Finished, Halt>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            db: BTreeMap::new(),
            events: Vec::new(),
            logs: Vec::new(),
            context: CallContext {
                author: [7; 32],
                index: 42,
                timestamp_us: 1_700_000_000_000_000,
                seed: [9; 32],
                program: "guest".into(),
            },
            failure: None,
            nested: None,
            nested_result: None,
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
            self.nested_result = Some(image.call(Self::default(), apply(b"")).1);
        }
        Ok(self.db.get(key).cloned())
    }

    fn db_put(&mut self, key: &[u8], value: Arc<[u8]>) -> Result<(), HostError> {
        self.fail()?;
        self.db.insert(key.to_vec(), value);
        Ok(())
    }

    fn db_delete(&mut self, key: &[u8]) -> Result<bool, HostError> {
        self.fail()?;
        Ok(self.db.remove(key).is_some())
    }

    fn db_scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, HostError> {
        self.fail()?;
        let mut found = self.db.iter().filter(|(key, _)| {
            key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after)
        });
        let pairs = found.by_ref().take(limit);
        let pairs = pairs.map(|(key, value)| Pair { key: key.clone(), value: value.clone() });
        Ok(Page { pairs: pairs.collect(), more: found.next().is_some() })
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
}

/// The world `contract`, as `wit/contract` says.
pub fn world() -> (wit_parser::Resolve, wit_parser::WorldId) {
    let mut resolve = wit_parser::Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/contract");
    let (package, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[package], Some("contract")).unwrap();
    (resolve, world)
}

/// A component of the world `contract` around the core module `module`.
pub fn component(module: &str) -> Vec<u8> {
    let mut wasm = wat::parse_str(module).unwrap();
    let (resolve, world) = world();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut wasm, &resolve, world, encoding).unwrap();
    wit_component::ComponentEncoder::default()
        .module(&wasm)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
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
  (import "althing:contract/db@0.1.0" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32)))
  (import "althing:contract/context@0.1.0" "author" (func $author (param i32)))
  (import "althing:contract/context@0.1.0" "index" (func $index (result i64)))
  (import "althing:contract/context@0.1.0" "timestamp-us" (func $timestamp (result i64)))
  (import "althing:contract/context@0.1.0" "seed" (func $seed (param i32)))
  (import "althing:contract/context@0.1.0" "program" (func $program (param i32)))
  (import "althing:contract/events@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))
  (import "althing:contract/log@0.1.0" "log" (func $log (param i32 i32 i32)))
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
    }
}

/// A call of `query`.
pub fn query(args: &[u8]) -> Call<'_> {
    Call { export: Export::Query, ..apply(args) }
}

/// Calls with a new host.
pub fn run(image: &Image, call: Call<'_>) -> (Memory, Finished) {
    let (host, finished) = image.call(Memory::default(), call);
    (host, finished.unwrap())
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
