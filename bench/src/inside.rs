//! (d) One instruction inside the process: no log, no network, no signature to check.
//!
//! The bare line is what the engine cannot do without: the same component under the same
//! configuration; a store, an instance, the call and the drop of both, with imports that answer
//! from a constant.

use crate::{
    Bench,
    load::histogram,
    raw::key,
    say,
    table::{Limit, Row, time},
};
use althing_machine::{EntryAt, Halt, Images, Machine, genesis_writes};
use althing_protocol::{
    Batch, FORMAT, Hash, PublicKey, RealmId, SEMANTICS, SecretKey, realm_id, sign, sys, v1,
};
use althing_sandbox::{
    Call, CallContext, Engine, EngineOptions, Export, Host, HostError, Image, Level,
};
use althing_state::{Applied, Flusher, Store, Tip};
use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use prost::Message as _;
use std::{
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, InstancePre, Linker, Lower, WasmList,
};

const PROGRAM: &str = "counter";
const METHOD: &str = "increment";
const ARGS: &[u8] = br#"{"name":"bench"}"#;
const FUEL: u64 = 50_000_000;
const MEMORY_BYTES: u64 = 64 << 20;
/// Instructions after which the state is flushed, out of the measured time.
const FLUSH_INTERVAL: u64 = 10_000;
/// Of the bare sequence.
const CALL_MAX: f64 = 1.3;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    say("d: inside the process");
    let rounds = bench.count(50_000, 200);
    let wasm = std::fs::read(bench.guest(PROGRAM)).context("reading the guest counter")?;
    let hash = Hash::of(&wasm);
    let engine = Engine::new(&EngineOptions::default())?;
    let image = engine.load(&hash, &wasm).context("loading the guest counter")?;

    let mut world = World::new(&bench.place("inside"), &image)?;
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

/// Times each of `rounds`, after a tenth more to warm up.
fn timed(rounds: u64, mut round: impl FnMut() -> Result<()>) -> Result<Histogram<u64>> {
    let mut times = histogram()?;
    for at in 0..rounds + rounds / 10 {
        let begun = Instant::now();
        round()?;
        if at >= rounds / 10 {
            times.saturating_record(begun.elapsed().as_nanos() as u64);
        }
    }
    Ok(times)
}

/// A machine over a state on disk, with one author in a session.
struct World {
    machine: Machine,
    realm: RealmId,
    author: SecretKey,
    tip: Tip,
    flusher: Flusher,
    session: u64,
    sequence: u64,
    _store: Store,
}

impl World {
    fn new(dir: &Path, image: &Image) -> Result<Self> {
        let author = key(0);
        let genesis = v1::Genesis {
            format: FORMAT,
            name: "bench".to_owned(),
            founder: author.public().0.to_vec(),
            semantics: SEMANTICS,
            ..v1::Genesis::default()
        };
        let genesis = genesis.encode_to_vec();
        let writes = genesis_writes(&genesis, &[])?;
        let store = Store::create(dir, &genesis, writes)?;
        let realm = realm_id(&genesis);
        let machine = Machine::new(realm, Arc::new(OneImage(Arc::new(image.clone()))), Vec::new());
        let (tip, flusher) = (store.tip(), store.flusher());
        let mut world =
            Self { machine, realm, author, tip, flusher, session: 0, sequence: 1, _store: store };
        let (_, opened) = world.apply(sys::session_open("bench"))?;
        let opened = v1::SessionOpened::decode(opened.as_slice()).context("opening a session")?;
        (world.session, world.sequence) = (opened.session, 1);
        let image = image.hash().0.to_vec();
        let program = PROGRAM.to_owned();
        world.apply(sys::stage(&v1::Stage {
            program: program.clone(),
            image: image.clone(),
            manifest: Some(v1::Manifest::default()),
        }))?;
        world.apply(sys::activate(&v1::Activate { program, image }))?;
        Ok(world)
    }

    fn measure(
        &mut self,
        rounds: u64,
        work: impl Fn(u64) -> v1::Instruction,
    ) -> Result<Histogram<u64>> {
        let mut times = histogram()?;
        for number in 0..rounds + rounds / 10 {
            let (took, _) = self.apply(work(number))?;
            if number >= rounds / 10 {
                times.saturating_record(took.as_nanos() as u64);
            }
        }
        Ok(times)
    }

    /// Runs one entry as a realm does. How long the machine took for it, and its output.
    fn apply(&mut self, instruction: v1::Instruction) -> Result<(Duration, Vec<u8>)> {
        let batch = Batch {
            realm: self.realm,
            author: PublicKey(self.author.public().0),
            session: self.session,
            sequence: self.sequence,
            instructions: vec![instruction],
        };
        self.sequence += 1;
        let signed = v1::Signed { envelope: Some(sign(&self.author, batch)) };
        let applied = self.tip.applied().clone();
        let index = applied.index + 1;
        let entry = v1::Entry {
            timestamp_us: index,
            seed: vec![7; 16],
            kind: Some(v1::entry::Kind::Signed(signed)),
        };
        let view = self.tip.view();
        let begun = Instant::now();
        let ran = self.machine.apply(view, EntryAt { index, entry: &entry, is_verified: true })?;
        let took = begun.elapsed();
        let outcome = ran.result.outcomes.first().and_then(|outcome| outcome.result.clone());
        let output = match outcome.context("an entry without an outcome")? {
            v1::outcome::Result::Output(output) => output,
            v1::outcome::Result::Failure(failure) => bail!("refused: {}", failure.message),
        };
        self.tip.merge(ran.writes);
        self.tip.record(index, ran.result.encode_to_vec());
        self.tip.set_applied(Applied { index, timestamp_us: ran.timestamp_us, ..applied });
        self.tip.publish();
        if index.is_multiple_of(FLUSH_INTERVAL) {
            ensure!(self.tip.freeze(), "the state has nothing to flush");
            self.flusher.flush()?;
        }
        Ok((took, output))
    }
}

struct OneImage(Arc<Image>);

impl Images for OneImage {
    fn image(&self, hash: &Hash) -> Result<althing_protocol::Result<Arc<Image>>, Halt> {
        match *hash == self.0.hash() {
            true => Ok(Ok(Arc::clone(&self.0))),
            false => Err(Halt::new(format!("image {hash}: not the one of the bench"))),
        }
    }
}

/// The call as the sandbox does it, over a host that holds one counter.
fn sandboxed(image: &Image, rounds: u64) -> Result<Histogram<u64>> {
    let mut host = Some(OneCounter { value: Arc::from([0; 8]), context: context() });
    let call = Call {
        export: Export::Apply,
        method: METHOD,
        args: ARGS,
        fuel: FUEL,
        memory_bytes_max: MEMORY_BYTES,
        output_bytes_max: althing_protocol::limits::OUTCOME_BYTES_MAX,
    };
    timed(rounds, || {
        let (back, finished) = image.call(host.take().context("the host is gone")?, call);
        host = Some(back);
        finished?.output.map(|output| drop(black_box(output))).context("counter")
    })
}

fn context() -> CallContext {
    CallContext {
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

    fn db_delete(&mut self, _: &[u8]) -> Result<bool, HostError> {
        Ok(false)
    }

    fn db_scan(
        &mut self,
        _: &[u8],
        _: Option<&[u8]>,
        _: usize,
    ) -> Result<althing_sandbox::Page, HostError> {
        Ok(althing_sandbox::Page::default())
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn emit(&mut self, _: &str, _: &[u8]) -> Result<(), HostError> {
        Ok(())
    }

    fn log(&mut self, _: Level, _: &str) {}
}

/// The engine alone.
struct Bare(InstancePre<()>);

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
    fn new(engine: &wasmtime::Engine, wasm: &[u8]) -> wasmtime::Result<Self> {
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

    fn measure(&self, rounds: u64) -> Result<Histogram<u64>> {
        let apply = self.0.component().get_export_index(None, "apply").context("export apply")?;
        timed(rounds, || {
            let output = self.call(&apply).map_err(engine_error)?.map_err(anyhow::Error::msg)?;
            black_box(output);
            Ok(())
        })
    }

    fn call(&self, apply: &ComponentExportIndex) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let mut store = wasmtime::Store::new(self.0.engine(), ());
        // The engine counts fuel, and a store begins with none.
        store.set_fuel(FUEL)?;
        let instance = self.0.instantiate(&mut store)?;
        let apply = instance.get_typed_func::<(&str, &[u8]), Returned>(&mut store, apply)?;
        let (returned,) = apply.call(&mut store, (METHOD, ARGS))?;
        Ok(returned)
    }
}

fn engine_error(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("the bare engine: {error:#}")
}
