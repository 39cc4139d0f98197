//! (i) Contracts: what a call costs in each language, beside the native program doing the same, and
//! how long an image takes until it runs.
//!
//! All of it on one core inside the process: no log, no network, no signature to check.

use crate::{
    Bench,
    inside::{ARGS, Bare, METHOD, engine_error, sandboxed},
    load::histogram,
    say,
    table::{Limit, Row, mebibytes, rate, thousands, time},
    world::World,
};
use althing_protocol::{Hash, sys, v1};
use althing_sandbox::{Engine, EngineOptions, Image};
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The same counter in three languages, with how many calls are measured at full size.
const COUNTERS: [(&str, &str, u64); 3] = [
    ("counter", "Rust", 50_000),
    ("counter-js", "JavaScript", 5_000),
    ("counter-python", "Python", 5_000),
];
const FRESH_MAX: Duration = Duration::from_micros(15);
const TRANSFERS_MIN: f64 = 30_000.0;
const PYTHON_MIN: f64 = 500.0;
const CACHED_START_MAX: Duration = Duration::from_millis(10);
/// Accounts that take part in transfers.
const ACCOUNTS: u64 = 1_000;
/// Starts from the cache that are measured, of which the median counts.
const STARTS: u64 = 15;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    say("i: contracts");
    let mut world = World::new(&bench.place("contracts"))?;
    let engine = Engine::new(&EngineOptions::default())?;
    let mut rows = Vec::new();
    for (guest, language, rounds) in COUNTERS {
        let guest = Guest::load(bench, guest, language)?;
        world.deploy(guest.name, &guest.image)?;
        let rounds = bench.count(rounds, 50);
        rows.push(guest.calls(&mut world, rounds)?);
        if language == "Rust" {
            rows.extend(fresh(&engine, &guest, rounds)?);
        }
        rows.extend(guest.starts('i', language));
    }
    rows.extend(native(&mut world, bench.count(50_000, 200))?);
    rows.extend(transfers(bench, &mut world)?);
    rows.into_iter().for_each(|row| bench.table.add(row));
    Ok(())
}

/// A component, and how long it took to become an image.
pub(crate) struct Guest {
    name: &'static str,
    language: &'static str,
    wasm: Vec<u8>,
    image: Image,
    /// Checked, metered, compiled and started once.
    deployed_in: Duration,
    /// The same out of the cache on disk, by a process that has just begun.
    cached_in: Histogram<u64>,
}

impl Guest {
    pub(crate) fn load(bench: &Bench, name: &'static str, language: &'static str) -> Result<Self> {
        say(format_args!("   {name}"));
        let path = bench.guest(name);
        let wasm = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let hash = Hash::of(&wasm);
        let cache_dir = Some(bench.place(&format!("cache-{name}")));
        let options = EngineOptions { cache_dir, ..EngineOptions::default() };
        let load = || -> Result<(Image, Duration)> {
            let engine = Engine::new(&options)?;
            let begun = Instant::now();
            let image = engine.load(&hash, &wasm).with_context(|| format!("loading {name}"))?;
            Ok((image, begun.elapsed()))
        };
        let (image, deployed_in) = load()?;
        let mut cached_in = histogram()?;
        for _ in 0..STARTS {
            cached_in.saturating_record(load()?.1.as_nanos() as u64);
        }
        Ok(Self { name, language, wasm, image, deployed_in, cached_in })
    }

    fn calls(&self, world: &mut World, rounds: u64) -> Result<Row> {
        let increment = |_| v1::Instruction::new(self.name, METHOD, ARGS.to_vec());
        let (_, outcome) = world.outcome(increment(0))?;
        let times = world.measure(rounds, increment)?;
        let per_second = 1e9 / times.mean();
        let limit = (self.language == "Python")
            .then(|| Limit::at_least(rate(PYTHON_MIN), per_second, PYTHON_MIN));
        let fuel = format!("fuel {}", thousands(outcome.fuel));
        Ok(row(&format!("counter call, {}", self.language), &times, &fuel).limit(limit))
    }

    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// How long it takes until it runs; `who` it is, for the table.
    pub(crate) fn starts(&self, letter: char, who: &str) -> [Row; 2] {
        let what = |how: &str| format!("{how}, {who}");
        let size = mebibytes(self.wasm.len() as u64);
        let cached = Duration::from_nanos(self.cached_in.value_at_quantile(0.5));
        let worst = Duration::from_nanos(self.cached_in.value_at_quantile(0.99));
        let (measured, max) = (cached.as_secs_f64(), CACHED_START_MAX.as_secs_f64());
        [
            Row::new(letter, what("deploy: check, meter, compile"), time(self.deployed_in))
                .goes(format!("component of {size}")),
            Row::new(letter, what("start from the cache"), time(cached))
                .times(cached, worst)
                .limit(Limit::at_most(time(CACHED_START_MAX), measured, max)),
        ]
    }
}

/// A fresh instance for each call, without the machine around it; and the bare engine.
fn fresh(engine: &Engine, guest: &Guest, rounds: u64) -> Result<[Row; 2]> {
    let image = engine.load(&Hash::of(&guest.wasm), &guest.wasm)?;
    let ours = sandboxed(&image, rounds)?;
    let bare = Bare::new(engine.wasmtime(), &guest.wasm).map_err(engine_error)?.measure(rounds)?;
    let median = Duration::from_nanos(ours.value_at_quantile(0.5));
    let limit = Limit::at_most(time(FRESH_MAX), median.as_secs_f64(), FRESH_MAX.as_secs_f64());
    Ok([
        row("fresh instance, call, drop, Rust", &ours, "").limit(limit),
        row("the same, bare engine", &bare, "component as built, not metered"),
    ])
}

/// What `sys` takes for the same reads and writes.
fn native(world: &mut World, rounds: u64) -> Result<[Row; 2]> {
    world.apply(sys::put(b"/bench/counter", 0_u64.to_le_bytes()))?;
    let swaps = world.measure(rounds, |number| {
        let value = |number: u64| number.to_le_bytes().to_vec();
        sys::compare_and_swap(&v1::CompareAndSwap {
            key: b"/bench/counter".to_vec(),
            expected: Some(v1::compare_and_swap::Expected::Value(value(number))),
            new_value: value(number + 1),
        })
    })?;
    let key = |account: u64| format!("/bench/balance/{account:04}").into_bytes();
    let get = |key| v1::Op { op: Some(v1::op::Op::Get(v1::Get { key })) };
    let put = |key, value: u64| {
        let value = value.to_le_bytes().to_vec();
        v1::Op { op: Some(v1::op::Op::Put(v1::Put { key, value })) }
    };
    let txns = world.measure(rounds, |number| {
        let (from, to) = pair(number);
        let reads = [key(from), key(to), b"/bench/paused".to_vec(), b"/bench/frozen".to_vec()];
        let writes = [put(key(from), number), put(key(to), number)];
        let success = reads.into_iter().map(get).chain(writes).collect();
        sys::txn(&v1::Txn { success, ..v1::Txn::default() })
    })?;
    Ok([
        row("the same in sys: compare and swap", &swaps, "native"),
        row("a transfer's 4 reads and 2 writes in sys: txn", &txns, "native"),
    ])
}

/// Transfers from one account to many.
fn transfers(bench: &Bench, world: &mut World) -> Result<[Row; 1]> {
    let token = Guest::load(bench, "token", "Rust")?;
    world.deploy(token.name, &token.image)?;
    let call = |method: &str, args: Value| {
        v1::Instruction::new("token", method, args.to_string().into_bytes())
    };
    let init = json!({ "name": "bench", "symbol": "B", "supply": "1000000000" });
    world.apply(call("init", init))?;
    let transfer = |number: u64| {
        let to = format!("key:{:064x}", number % ACCOUNTS + 1);
        call("transfer", json!({ "to": to, "amount": "1" }))
    };
    let (_, outcome) = world.outcome(transfer(0))?;
    let times = world.measure(bench.count(50_000, 200), transfer)?;
    let per_second = 1e9 / times.mean();
    let limit = Limit::at_least(rate(TRANSFERS_MIN), per_second, TRANSFERS_MIN);
    let fuel = format!("fuel {}", thousands(outcome.fuel));
    Ok([row("token transfer, 4 reads and 2 writes, Rust", &times, &fuel).limit(limit)])
}

/// Two accounts of a transfer, never the same.
fn pair(number: u64) -> (u64, u64) {
    let from = number % ACCOUNTS;
    (from, (from + 1 + number / ACCOUNTS % (ACCOUNTS - 1)) % ACCOUNTS)
}

/// Median, rate and spread.
fn row(what: &str, times: &Histogram<u64>, goes: &str) -> Row {
    let at = |quantile| Duration::from_nanos(times.value_at_quantile(quantile));
    let spread = format!("8 of 10 take {} to {}; {goes}", time(at(0.1)), time(at(0.9)));
    Row::new('i', what, rate(1e9 / times.mean()))
        .times(at(0.5), at(0.99))
        .goes(spread.trim_end_matches("; ").to_owned())
}
