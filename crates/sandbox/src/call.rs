//! Calling an image: a fresh instance, its limits, and what became of it.

use crate::{
    Deadline, Halt, Host, LoadError,
    deadline::{BEYOND_REACH, Queries},
    fault::{Broken, Stop},
    host::NoHost,
    limits, meter,
    wasi::{self, Wasi},
};
use althing_protocol::{Error, Hash, Kind, limits::GUEST_MEMORY_BYTES_MAX};
use std::{any::Any, sync::Arc};
use wasmtime::{
    ResourceLimiter, Store, Trap,
    component::{ComponentExportIndex, Instance, InstancePre},
};

/// A function of the world `contract`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// Runs an instruction.
    Apply,
    /// Answers a question; cannot write.
    Query,
    /// Takes over from another version; only an image that
    /// [has a migration](Image::has_migration) can be asked to.
    Migrate,
}

/// What to call, and its limits.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which function.
    pub export: Export,
    /// Its first argument: the method, or the version to migrate from.
    pub method: &'a str,
    /// Its second argument, if it has one.
    pub args: &'a [u8],
    /// Fuel it may use: a call that uses all of it has failed.
    pub fuel: u64,
    /// Linear memory it may have.
    pub memory_bytes_max: u64,
    /// Bytes it may return.
    pub output_bytes_max: usize,
    /// When it must have ended: none for what is replicated, which fuel alone may stop.
    pub deadline: Option<Deadline>,
}

impl Call<'_> {
    /// What errors name.
    fn shown(&self) -> &str {
        match self.export {
            Export::Apply | Export::Query => self.method,
            Export::Migrate => "migrate",
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What it returned, or why it failed. The same on every node.
    pub output: Result<Vec<u8>, Error>,
    /// Fuel it cost: all it was given, when it did not return by itself. The same on every node.
    pub fuel_used: u64,
    /// Lines of the log that did not fit.
    pub logs_dropped: u32,
}

/// A component, compiled and linked.
#[derive(Clone)]
pub struct Image(Arc<Linked>);

/// What an [`Image`] shares between its clones.
pub(crate) struct Linked {
    pub(crate) hash: Hash,
    pub(crate) pre: InstancePre<State>,
    pub(crate) apply: ComponentExportIndex,
    pub(crate) query: ComponentExportIndex,
    pub(crate) migrate: Option<ComponentExportIndex>,
    pub(crate) memory_bytes_min: u64,
    pub(crate) instantiation_fuel: u64,
    pub(crate) nested_start_fuel: u64,
    pub(crate) queries: Arc<Queries>,
}

/// Is the guest being set up, or does it run?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Running,
}

/// What a store knows about its call.
pub(crate) struct State {
    pub(crate) host: Box<dyn Host>,
    pub(crate) export: Export,
    pub(crate) phase: Phase,
    pub(crate) is_observed: bool,
    pub(crate) log_bytes: usize,
    pub(crate) logs_dropped: u32,
    pub(crate) wasi: Wasi,
    memory_bytes_max: u64,
    /// What all its memories have.
    memory_bytes: u64,
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
        if grows {
            self.memory_bytes = bytes;
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

impl Image {
    pub(crate) fn new(linked: Linked) -> Self {
        Self(Arc::new(linked))
    }

    /// The hash of the component.
    pub fn hash(&self) -> Hash {
        self.0.hash
    }

    /// Linear memory that an instance starts with.
    pub fn memory_bytes_min(&self) -> u64 {
        self.0.memory_bytes_min
    }

    /// Whether it has the export `migrate`.
    pub fn has_migration(&self) -> bool {
        self.0.migrate.is_some()
    }

    /// What starting an instance costs a program that calls this one, on top of the call itself.
    pub fn nested_start_fuel(&self) -> u64 {
        self.0.nested_start_fuel
    }

    /// Calls a fresh instance, and gives the host back.
    ///
    /// Runs on the calling thread, which needs [`STACK_BYTES_MAX`](crate::limits::STACK_BYTES_MAX)
    /// of stack for the guest, and as much as the host uses.
    ///
    /// # Errors
    /// A [`Halt`] when the node cannot run it; what the guest does wrong is in [`Finished`].
    pub fn call<H: Host>(&self, host: H, call: Call<'_>) -> (H, Result<Finished, Halt>) {
        assert!(call.output_bytes_max <= limits::TRANSFER_BYTES_MAX);
        // Held for longer than the store, whose instance is in the slot.
        let slot = match call.deadline.map(|deadline| self.0.queries.enter(&deadline)).transpose() {
            Ok(slot) => slot,
            Err(full) => {
                let finished = Finished { output: Err(full), fuel_used: 0, logs_dropped: 0 };
                return (host, Ok(finished));
            }
        };
        let state = State {
            is_observed: host.observes(),
            host: Box::new(host),
            export: call.export,
            phase: Phase::Starting,
            log_bytes: 0,
            logs_dropped: 0,
            wasi: Wasi::default(),
            memory_bytes_max: call.memory_bytes_max,
            memory_bytes: 0,
        };
        let mut store = Store::new(self.0.pre.engine(), state);
        store.set_epoch_deadline(slot.as_ref().map_or(BEYOND_REACH, |slot| slot.ticks));
        let ran = self.run(&mut store, call);
        let fuel_left = store.get_fuel().unwrap_or(0);
        let mut state = store.into_data();
        wasi::flush(&mut state);
        let finished = finish(ran, &state, call, fuel_left);
        let host: Box<dyn Any> = state.host;
        match host.downcast::<H>() {
            Ok(host) => (*host, finished),
            Err(_) => unreachable!("the host is the one that was put in"),
        }
    }

    /// What the guest returned, or how it stopped.
    fn run(
        &self,
        store: &mut Store<State>,
        call: Call<'_>,
    ) -> Result<Result<Vec<u8>, String>, Stop> {
        if self.0.memory_bytes_min > call.memory_bytes_max {
            let text = format!(
                "needs {} bytes of memory to start, and may have {}; raise memory_bytes_max in its \
                 manifest",
                self.0.memory_bytes_min, call.memory_bytes_max
            );
            return Err(Stop::Guest(Kind::Exhausted, text));
        }
        let instance = self.instantiate(store)?;
        let not_ran = |error| Stop::new(&error, false);
        let export = match call.export {
            Export::Apply => &self.0.apply,
            Export::Query => &self.0.query,
            Export::Migrate => return self.migrate(store, instance, call),
        };
        let function = instance
            .get_typed_func::<(&str, &[u8]), (Result<Vec<u8>, String>,)>(&mut *store, export)
            .map_err(not_ran)?;
        store.data_mut().phase = Phase::Running;
        store.set_fuel(call.fuel).map_err(not_ran)?;
        let (returned,) = function
            .call(&mut *store, (call.method, call.args))
            .map_err(|error| Stop::new(&error, true))?;
        Ok(returned)
    }

    fn migrate(
        &self,
        store: &mut Store<State>,
        instance: Instance,
        call: Call<'_>,
    ) -> Result<Result<Vec<u8>, String>, Stop> {
        let Some(export) = &self.0.migrate else {
            return Err(Stop::Node(Halt::new("an image without a migration was to migrate")));
        };
        let not_ran = |error| Stop::new(&error, false);
        let function = instance
            .get_typed_func::<(&str,), (Result<(), String>,)>(&mut *store, export)
            .map_err(not_ran)?;
        store.data_mut().phase = Phase::Running;
        store.set_fuel(call.fuel).map_err(not_ran)?;
        let (returned,) =
            function.call(&mut *store, (call.method,)).map_err(|error| Stop::new(&error, true))?;
        Ok(returned.map(|()| Vec::new()))
    }

    fn instantiate(&self, store: &mut Store<State>) -> Result<Instance, Stop> {
        let fuel = self.0.instantiation_fuel;
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits::TRANSFER_BYTES_MAX);
        store.set_max_component_handles(limits::HANDLES_MAX);
        store.set_fuel(fuel).map_err(|error| Stop::new(&error, false))?;
        self.0.pre.instantiate(&mut *store).map_err(|error| {
            let ran = store.get_fuel().is_ok_and(|left| left < fuel);
            Stop::new(&error, ran)
        })
    }

    /// Starts an instance and drops it: one that cannot start is refused before anyone calls it.
    pub(crate) fn try_start(&self) -> Result<(), LoadError> {
        let state = State {
            is_observed: false,
            host: Box::new(NoHost),
            export: Export::Query,
            phase: Phase::Starting,
            log_bytes: 0,
            logs_dropped: 0,
            wasi: Wasi::default(),
            memory_bytes_max: GUEST_MEMORY_BYTES_MAX,
            memory_bytes: 0,
        };
        let mut store = Store::new(self.0.pre.engine(), state);
        store.set_epoch_deadline(BEYOND_REACH);
        match self.instantiate(&mut store) {
            Ok(_) => Ok(()),
            Err(Stop::Node(halt)) => Err(halt.into()),
            Err(Stop::Late) => Err(Halt::new("starting an image has no deadline: a defect").into()),
            Err(Stop::Guest(_, text)) => {
                let hash = self.0.hash;
                Err(Error::invalid(format!("image {hash}: does not start: it {text}")).into())
            }
        }
    }
}

/// The end of a call that ran as far as `ran`.
fn finish(
    ran: Result<Result<Vec<u8>, String>, Stop>,
    state: &State,
    call: Call<'_>,
    fuel_left: u64,
) -> Result<Finished, Halt> {
    let program = &state.host.context().program;
    let failed = |kind, text: &str| Err(Error::new(kind, format!("{program}: {text}")));
    let used = call.fuel.saturating_sub(fuel_left);
    let ran = match ran {
        // The engine looks at the fuel where functions start and loops repeat, so a guest may return
        // having used more than it had.
        Ok(_) if fuel_left == 0 => Err(Trap::OutOfFuel.into()),
        ran => ran,
    };
    let (output, fuel_used) = match ran {
        Ok(Ok(output)) if output.len() <= call.output_bytes_max => (Ok(output), used),
        Ok(Ok(output)) => {
            let text = format!(
                "output of {}: {} bytes, the limit is {}; return less, or a page of it",
                call.shown(),
                output.len(),
                call.output_bytes_max
            );
            (failed(Kind::GuestFailed, &text), used)
        }
        Ok(Err(text)) => (failed(Kind::GuestFailed, &text), used),
        Err(Stop::Guest(kind, text)) => {
            (failed(kind, &format!("{} {text}", call.shown())), call.fuel)
        }
        Err(Stop::Late) => match &call.deadline {
            Some(deadline) => {
                let text = format!("{} {}", call.shown(), deadline.passed());
                (failed(Kind::Exhausted, &text), used)
            }
            None => return Err(Halt::new("a call without a deadline ran into one: a defect")),
        },
        Err(Stop::Node(halt)) => return Err(halt),
    };
    Ok(Finished { output, fuel_used, logs_dropped: state.logs_dropped })
}
