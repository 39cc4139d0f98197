//! What the store of an instance knows about who runs in it, and lets its memory grow.

use crate::{
    Halt, Host,
    fault::{Broken, Stop},
    limits, meter,
    wasi::Wasi,
};
use wasmtime::{ResourceLimiter, Trap};

/// Is the guest being set up, or does it run?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Running,
}

/// What a store knows.
pub(crate) struct State {
    pub(crate) host: Box<dyn Host>,
    /// Whether the function that runs may change anything: write, emit, send.
    pub(crate) may_change: bool,
    pub(crate) phase: Phase,
    pub(crate) is_observed: bool,
    pub(crate) log_bytes: usize,
    pub(crate) logs_dropped: u32,
    pub(crate) wasi: Wasi,
    pub(crate) memory_bytes_max: u64,
    /// What all its memories have.
    memory_bytes: u64,
    /// Whether they were to have more than they may.
    memory_refused: bool,
}

impl State {
    /// Of an instance that is to start.
    pub(crate) fn new(host: Box<dyn Host>, memory_bytes_max: u64) -> Self {
        Self {
            is_observed: host.observes(),
            host,
            may_change: false,
            phase: Phase::Starting,
            log_bytes: 0,
            logs_dropped: 0,
            wasi: Wasi::default(),
            memory_bytes_max,
            memory_bytes: 0,
            memory_refused: false,
        }
    }

    /// How a function stopped that `error` ended. Most guests abort when they get no
    /// memory, and say no word; whether this one did is not known.
    pub(crate) fn stop(&self, error: &wasmtime::Error) -> Stop {
        match (Stop::new(error, true), error.downcast_ref()) {
            (Stop::Guest(kind, text), Some(Trap::UnreachableCodeReached))
                if self.memory_refused =>
            {
                let max = self.memory_bytes_max;
                let text = format!(
                    "{text}; it was refused more memory than its {max} bytes before that: keep less in \
                     it, or raise memory_bytes_max in its manifest"
                );
                Stop::Guest(kind, text)
            }
            (stop, _) => stop,
        }
    }
}

impl ResourceLimiter for State {
    /// `maximum` is the memory's own: the pool's is at least `memory_bytes_max`. To deny growth here
    /// is what a guest can handle, and the same on every node.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let declared = maximum.is_none_or(|maximum| desired <= maximum);
        let bytes = self.memory_bytes.saturating_add(desired.saturating_sub(current) as u64);
        let grows = declared && bytes <= self.memory_bytes_max;
        match grows {
            true => self.memory_bytes = bytes,
            false => self.memory_refused |= declared,
        }
        Ok(grows)
    }

    /// Growth that was allowed and failed: the host has no memory.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Halt::new(format!("no memory for a guest: {error:#}"))))
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if meter::is_overflow(desired, maximum) {
            return Err(wasmtime::Error::new(Broken::Depth));
        }
        let declared = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(declared && desired <= limits::TABLE_ELEMENTS_MAX)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Halt::new(format!("no memory for a guest's table: {error:#}"))))
    }
}
