//! How long a query may take, and how many may run.
//!
//! A call without a [`Deadline`] belongs to the apply thread: only fuel stops it, so that it ends
//! the same everywhere. Its epoch deadline lies beyond reach, and slots of the pool are kept free
//! for it. A call with one is a query of this node alone: time may stop it, and so may a lack of
//! slots.

use crate::limits::RESERVED_INSTANCES;
use althing_protocol::Error;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// How exactly a deadline is kept.
const TICK: Duration = Duration::from_millis(10);
/// Ticks that never pass: a thousand million years of them. Half of the range, since the engine
/// adds its current epoch.
pub(crate) const BEYOND_REACH: u64 = u64::MAX / 2;

/// When a query must have ended, with all that it calls.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    after_ms: u64,
}

impl Deadline {
    /// So many milliseconds from now.
    pub fn after_ms(after_ms: u64) -> Self {
        // A time so far off that the clock has no number for it is never reached either.
        const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
        let after = Duration::from_millis(after_ms).min(FOREVER);
        Self { at: Instant::now() + after, after_ms }
    }

    /// Why a call stopped that ran into it.
    pub(crate) fn passed(&self) -> String {
        format!(
            "ran for longer than {} ms; ask for less at once, or raise sandbox.query_deadline_ms \
             of this node",
            self.after_ms
        )
    }

    /// Until then, counted in ticks from one that may come at any moment.
    pub(crate) fn ticks(&self) -> u64 {
        let left = self.at.saturating_duration_since(Instant::now());
        let ticks = left.as_nanos().div_ceil(TICK.as_nanos());
        u64::try_from(ticks).unwrap_or(BEYOND_REACH).min(BEYOND_REACH - 1) + 1
    }
}

/// The queries that run in an engine: counted, and timed while there are any.
pub(crate) struct Queries {
    slots_max: u32,
    shared: Arc<Shared>,
    ticker: Mutex<Option<Thread>>,
    engine: wasmtime::Engine,
}

#[derive(Default)]
struct Shared {
    running: AtomicU32,
    is_closed: AtomicBool,
}

impl Queries {
    /// For an engine with `instances` slots.
    pub(crate) fn new(engine: wasmtime::Engine, instances: u32) -> Self {
        let slots_max = instances.saturating_sub(RESERVED_INSTANCES);
        Self { slots_max, shared: Arc::default(), ticker: Mutex::default(), engine }
    }

    /// Instances that queries may have at once.
    pub(crate) fn slots_max(&self) -> u32 {
        self.slots_max
    }

    /// Takes a slot, until the guard is dropped.
    ///
    /// # Errors
    /// `exhausted` when none is left.
    pub(crate) fn enter(&self) -> Result<Running<'_>, Error> {
        let taken = self.shared.running.fetch_add(1, Ordering::SeqCst);
        // From here on the count goes down again, whatever happens.
        let running = Running { queries: self };
        if taken >= self.slots_max {
            return Err(Error::exhausted(format!(
                "queries: {} guests run for them already, no more are allowed at once; ask again \
                 a little later, or raise sandbox.instances_max of this node",
                self.slots_max
            ))
            .retry_after_ms(100));
        }
        self.wake()?;
        Ok(running)
    }

    /// The ticker ticks while queries run, and is made by the first.
    fn wake(&self) -> Result<(), Error> {
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ticker) = &*ticker {
            ticker.unpark();
            return Ok(());
        }
        let (engine, shared) = (self.engine.clone(), Arc::clone(&self.shared));
        let made = thread::Builder::new()
            .name("althing-ticker".into())
            .stack_size(256 << 10)
            .spawn(move || shared.tick(&engine))
            .map_err(|error| Error::unavailable(format!("thread althing-ticker: {error}")))?;
        *ticker = Some(made.thread().clone());
        Ok(())
    }
}

impl Shared {
    fn tick(&self, engine: &wasmtime::Engine) {
        while !self.is_closed.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) == 0 {
                // Whoever counts itself in unparks afterwards, so none is missed.
                thread::park();
                continue;
            }
            thread::sleep(TICK);
            engine.increment_epoch();
        }
    }
}

/// A query that runs.
pub(crate) struct Running<'a> {
    queries: &'a Queries,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.queries.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Queries {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        if let Some(ticker) = &*self.ticker.lock().unwrap_or_else(PoisonError::into_inner) {
            ticker.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;
    use wasmtime::{Config, Engine, Instance, Module, Store, Trap};

    const TICKS: u64 = 3;

    /// Runs a loop until the epoch is `TICKS` further, or `time` is over: which was it?
    fn ticks_within(engine: &Engine, time: Duration) -> bool {
        let wasm = wat::parse_str(r#"(module (func (export "run") (loop (br 0))))"#).unwrap();
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(TICKS);
        let instance = Instance::new(&mut store, &Module::new(engine, wasm).unwrap(), &[]);
        store.set_fuel(u64::MAX).unwrap();
        let run = instance.unwrap().get_typed_func::<(), ()>(&mut store, "run").unwrap();
        let begun = Instant::now();
        while begun.elapsed() < time {
            store.set_fuel(1_000_000).unwrap();
            match *run.call(&mut store, ()).unwrap_err().downcast_ref::<Trap>().unwrap() {
                Trap::Interrupt => return true,
                trap => assert_eq!(trap, Trap::OutOfFuel),
            }
        }
        false
    }

    fn engine() -> Engine {
        let mut config = Config::new();
        config.epoch_interruption(true).consume_fuel(true);
        Engine::new(&config).unwrap()
    }

    #[test]
    fn the_epoch_passes_only_while_queries_run() {
        let engine = engine();
        let queries = Queries::new(engine.clone(), RESERVED_INSTANCES + 2);
        let short = 10 * TICK * u32::try_from(TICKS).unwrap();
        assert!(!ticks_within(&engine, short), "there was no query yet");
        for _ in 0..2 {
            let first = queries.enter().unwrap();
            let second = queries.enter().unwrap();
            drop(first);
            assert!(ticks_within(&engine, Duration::from_secs(60)), "one is left");
            drop(second);
            assert!(!ticks_within(&engine, short), "both have ended");
        }
    }

    #[test]
    fn slots_are_counted_and_come_back() {
        let queries = Queries::new(engine(), RESERVED_INSTANCES + 1);
        for _ in 0..3 {
            let _one = queries.enter().unwrap();
            assert_eq!(queries.enter().map(|_| ()).unwrap_err().kind, Kind::Exhausted);
        }
    }

    #[test]
    fn ticks_cover_the_time_and_any_time_is_allowed() {
        assert_eq!(Deadline::after_ms(0).ticks(), 1);
        assert!((100..=102).contains(&Deadline::after_ms(1_000).ticks()));
        let far = Deadline::after_ms(u64::MAX).ticks();
        assert!(far > 1_000_000_000 && far <= BEYOND_REACH);
    }
}
