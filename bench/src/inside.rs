//! (d) One instruction inside the process: no log, no network, no signature to check.
//!
//! The bare line is what the engine cannot do without: the same component under the same
//! configuration; a store, an instance, the call and the drop of both, with imports that answer
//! from a constant.

use crate::{
    Bench,
    load::timed,
    say,
    table::{Limit, Row, time},
    world::World,
};
use althing_protocol::{Hash, sys, v1};
use althing_sandbox::{
    Call, CallContext, Callee, Caller, Deleted, Engine, EngineOptions, Export, Halt, Host,
    HostError, Image, Level, Order, Page, Range,
};
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use std::{hint::black_box, sync::Arc, time::Duration};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, InstancePre, Linker, Lower, WasmList,
};

const PROGRAM: &str = "counter";
pub(crate) const METHOD: &str = "increment";
pub(crate) const ARGS: &[u8] = br#"{"name":"bench"}"#;
const FUEL: u64 = 50_000_000;
const MEMORY_BYTES: u64 = 64 << 20;
/// Of the bare sequence.
const CALL_MAX: f64 = 1.3;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    say("d: inside the process");
    let rounds = bench.count(50_000, 200);
    let wasm = std::fs::read(bench.guest(PROGRAM)).context("reading the guest counter")?;
    let hash = Hash::of(&wasm);
    let engine = Engine::new(&EngineOptions::default())?;
    let image = engine.load(&hash, &wasm).context("loading the guest counter")?;

    let mut world = World::new(&bench.place("inside"))?;
    world.deploy(PROGRAM, &image)?;
    let puts = world.measure(rounds, |number| {
        let (key, value) = crate::writes::pair(0, number);
        sys::put(key, value)
    })?;
    let calls = world.measure(rounds, |_| v1::Instruction::new(PROGRAM, METHOD, ARGS.to_vec()))?;
    let sandboxed = sandboxed(&image, rounds)?;
    let bare = Bare::new(engine.wasmtime(), &wasm).map_err(engine_error)?.measure(rounds)?;

    bench.table.add(row("sys put in the machine", &puts));
    let (call, limit) = (calls.value_at_quantile(0.5), bare.value_at_quantile(0.5));
    let aim = limit as f64 * CALL_MAX;
    let text = format!("{CALL_MAX} x bare, {}", time(Duration::from_nanos(aim as u64)));
    let within = Duration::from_nanos(sandboxed.value_at_quantile(0.5));
    bench.table.add(
        row("contract call with two db calls in the machine", &calls)
            .goes(format!("{} of it in the sandbox", time(within)))
            .limit(Limit::at_most(text, call as f64, aim)),
    );
    let beside = Limit::beside("bare", sandboxed.value_at_quantile(0.5) as f64, limit as f64);
    bench.table.add(row("the same call in the sandbox", &sandboxed).limit(beside));
    bench.table.add(row("bare: store, instance, call, drop", &bare));
    Ok(())
}

fn row(what: &str, times: &Histogram<u64>) -> Row {
    let at = |quantile| Duration::from_nanos(times.value_at_quantile(quantile));
    Row::new('d', what, time(at(0.5))).times(at(0.5), at(0.99))
}

/// The call as the sandbox does it, over a host that holds one counter.
pub(crate) fn sandboxed(image: &Image, rounds: u64) -> Result<Histogram<u64>> {
    let mut host = Some(OneCounter { value: Arc::from([0; 8]), context: context() });
    let call = Call {
        export: Export::Apply,
        method: METHOD,
        args: ARGS,
        fuel: FUEL,
        memory_bytes_max: MEMORY_BYTES,
        output_bytes_max: althing_protocol::limits::OUTCOME_BYTES_MAX,
        deadline: None,
    };
    timed(rounds, || {
        let (back, finished) = image.call(host.take().context("the host is gone")?, call);
        host = Some(back);
        finished?.output.map(|output| drop(black_box(output))).context("counter")
    })
}

fn context() -> CallContext {
    CallContext {
        caller: Caller::Key([1; 32]),
        author: [1; 32],
        index: 1,
        timestamp_us: 1,
        seed: [2; 32],
        program: PROGRAM.to_owned(),
    }
}

struct OneCounter {
    value: Arc<[u8]>,
    context: CallContext,
}

impl Host for OneCounter {
    fn db_get(&mut self, _: &[u8]) -> Result<Option<Arc<[u8]>>, HostError> {
        Ok(Some(Arc::clone(&self.value)))
    }

    fn db_put(&mut self, _: &[u8], value: Arc<[u8]>) -> Result<(), HostError> {
        self.value = value;
        Ok(())
    }

    fn db_delete(&mut self, _: &[u8]) -> Result<Option<usize>, HostError> {
        unused("db.delete")
    }

    fn db_scan(&mut self, _: Range<'_>, _: Order, _: usize) -> Result<Page, HostError> {
        unused("db.scan")
    }

    fn db_delete_prefix(&mut self, _: &[u8], _: usize) -> Result<Deleted, HostError> {
        unused("db.delete-prefix")
    }

    fn call_program(
        &mut self,
        _: Callee<'_>,
        _: u64,
    ) -> Result<(althing_protocol::Result<Vec<u8>>, u64), HostError> {
        unused("programs.call")
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn emit(&mut self, _: &str, _: &[u8]) -> Result<(), HostError> {
        Ok(())
    }

    fn log(&mut self, _: Level, _: &str) {}
}

/// A counter that asks for this is another one than was to be measured.
fn unused<T>(function: &str) -> Result<T, HostError> {
    Err(Halt::new(format!("{function}: the counter of the bench does not use it")).into())
}

/// The engine alone.
pub(crate) struct Bare(InstancePre<()>);

/// `error` of the world's interface `types`, which the imports name and never return.
#[derive(ComponentType, Lower)]
#[component(record)]
struct WitError {
    kind: WitKind,
    message: String,
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code)]
enum WitKind {
    #[component(name = "invalid")]
    Invalid,
    #[component(name = "not-found")]
    NotFound,
    #[component(name = "denied")]
    Denied,
    #[component(name = "conflict")]
    Conflict,
    #[component(name = "exhausted")]
    Exhausted,
    #[component(name = "contract-violation")]
    ContractViolation,
    #[component(name = "guest-failed")]
    GuestFailed,
    #[component(name = "unavailable")]
    Unavailable,
    #[component(name = "internal")]
    Internal,
}

type Found = Result<Option<Arc<[u8]>>, WitError>;
type Returned = (Result<Vec<u8>, String>,);
type Bytes = WasmList<u8>;

impl Bare {
    pub(crate) fn new(engine: &wasmtime::Engine, wasm: &[u8]) -> wasmtime::Result<Self> {
        let component = Component::new(engine, wasm)?;
        let mut linker = Linker::new(engine);
        let value: Arc<[u8]> = Arc::from([0; 8]);
        let mut db = linker.instance("althing:contract/db@0.1.0")?;
        db.func_wrap("get", move |_, (key,): (Bytes,)| {
            black_box(key);
            Ok((Found::Ok(Some(Arc::clone(&value))),))
        })?;
        db.func_wrap("put", |_, pair: (Bytes, Bytes)| {
            black_box(pair);
            Ok((Result::<(), WitError>::Ok(()),))
        })?;
        // What else it may import it does not call here.
        linker.define_unknown_imports_as_traps(&component)?;
        Ok(Self(linker.instantiate_pre(&component)?))
    }

    pub(crate) fn measure(&self, rounds: u64) -> Result<Histogram<u64>> {
        let apply = self.0.component().get_export_index(None, "apply").context("export apply")?;
        timed(rounds, || {
            let output = self.call(&apply).map_err(engine_error)?.map_err(anyhow::Error::msg)?;
            black_box(output);
            Ok(())
        })
    }

    fn call(&self, apply: &ComponentExportIndex) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let mut store = wasmtime::Store::new(self.0.engine(), ());
        // The code looks at the clock of queries, and a store begins at its end.
        store.set_epoch_deadline(u64::MAX / 2);
        // The engine counts fuel, and a store begins with none.
        store.set_fuel(FUEL)?;
        let instance = self.0.instantiate(&mut store)?;
        let apply = instance.get_typed_func::<(&str, &[u8]), Returned>(&mut store, apply)?;
        let (returned,) = apply.call(&mut store, (METHOD, ARGS))?;
        Ok(returned)
    }
}

pub(crate) fn engine_error(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("the bare engine: {error:#}")
}
