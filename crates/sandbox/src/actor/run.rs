//! A run of an actor's functions.

use super::{ActorHost, ActorLimits, Next, Turn};
use crate::{
    Halt,
    fault::Stop,
    fuel,
    image::{self, ActorExports, Linked},
    state::State,
    wasi,
};
use althing_protocol::{Error, json, limits::ACTOR_STATE_BYTES_MAX};
use std::mem;
use wasmtime::{
    Store, Trap,
    component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower},
};

/// Instances one after the other. Fuel, log and sends are those of the whole run.
pub(super) struct Run<'a> {
    image: &'a Linked,
    exports: &'a ActorExports,
    actor: &'a str,
    limits: &'a ActorLimits,
    fuel_left: u64,
    host: ActorHost,
    log_bytes: usize,
    logs_dropped: u32,
}

/// Why a run has no next state.
pub(super) enum End {
    /// An outcome, which costs what was used so far.
    Refused(Error),
    /// An outcome which costs all fuel: a function did not return.
    Stopped(Error),
    /// No outcome.
    Halted(Halt),
}

impl<'a> Run<'a> {
    pub(super) fn new(
        image: &'a Linked,
        exports: &'a ActorExports,
        actor: &'a str,
        limits: &'a ActorLimits,
    ) -> Self {
        Self {
            image,
            exports,
            actor,
            limits,
            fuel_left: limits.fuel,
            host: ActorHost::default(),
            log_bytes: 0,
            logs_dropped: 0,
        }
    }

    pub(super) fn exports(&self) -> &'a ActorExports {
        self.exports
    }

    /// Does `work` in a fresh instance.
    pub(super) fn fresh<T>(
        &mut self,
        work: impl FnOnce(&mut Started<'_>) -> Result<T, End>,
    ) -> Result<T, End> {
        let start = fuel::INSTANCE + self.image.nested_start_fuel;
        let Some(fuel) = self.fuel_left.checked_sub(start) else {
            return Err(self.not_started(Trap::OutOfFuel.into()));
        };
        let mut state =
            State::new(Box::new(mem::take(&mut self.host)), self.limits.memory_bytes_max);
        (state.log_bytes, state.logs_dropped) = (self.log_bytes, self.logs_dropped);
        let mut store = self.image.store(state, self.limits.deadline.as_ref());
        let instance = match self.image.instantiate(&mut store, fuel) {
            Ok(instance) => instance,
            Err(stop) => {
                self.host = mem::take(store.data_mut().actor());
                return Err(self.not_started(stop));
            }
        };
        let (exports, limits) = (self.exports, self.limits);
        let mut started = Started {
            store,
            instance,
            exports,
            limits,
            actor: self.actor,
            before: Logged::default(),
        };
        let ended = work(&mut started);
        self.fuel_left = started.store.get_fuel().unwrap_or(0);
        let state = started.store.data_mut();
        (self.log_bytes, self.logs_dropped) = (state.log_bytes, state.logs_dropped);
        self.host = mem::take(state.actor());
        ended
    }

    fn not_started(&self, stop: Stop) -> End {
        stopped(self.actor, "its program", "", self.limits, stop)
    }

    /// What to tell of it.
    pub(super) fn finish(self, ended: Result<Vec<u8>, End>) -> Result<Turn, Halt> {
        let used = self.limits.fuel.saturating_sub(self.fuel_left);
        let (result, fuel_used) = match ended {
            Ok(state) => (Ok(Next { state, sends: self.host.sends }), used),
            Err(End::Refused(error)) => (Err(error), used),
            Err(End::Stopped(error)) => (Err(error), self.limits.fuel),
            Err(End::Halted(halt)) => return Err(halt),
        };
        Ok(Turn { result, fuel_used, logs: self.host.logs, logs_dropped: self.logs_dropped })
    }
}

/// How a run ends that `stop` ended in the function `name`, which `said` something last.
fn stopped(actor: &str, name: &str, said: &str, limits: &ActorLimits, stop: Stop) -> End {
    match (stop, &limits.deadline) {
        (Stop::Guest(kind, text), _) => {
            End::Stopped(Error::new(kind, format!("{actor}: {name} {text}{said}")))
        }
        (Stop::Late, Some(deadline)) => {
            End::Refused(Error::exhausted(format!("{actor}: {name} {}", deadline.passed())))
        }
        (Stop::Late, None) => {
            End::Halted(Halt::new("an actor without a deadline ran into one: a defect"))
        }
        (Stop::Node(halt), _) => End::Halted(halt),
    }
}

/// How much a run had logged when a function of it was called.
#[derive(Clone, Copy, Default)]
struct Logged {
    lines: usize,
    dropped: u32,
}

/// A started instance, with what fuel is left.
pub(super) struct Started<'a> {
    store: Store<State>,
    instance: Instance,
    exports: &'a ActorExports,
    limits: &'a ActorLimits,
    actor: &'a str,
    /// The log before the function that runs, or ran last.
    before: Logged,
}

impl Started<'_> {
    pub(super) fn init(&mut self) -> Result<Vec<u8>, End> {
        let state: String = self.call("init", &self.exports.init, (), 0)?;
        self.json("init", "state", &state)
    }

    /// Asks the message contract.
    pub(super) fn takes_message(&mut self, message: &[u8], state: &[u8]) -> Result<(), End> {
        let (message, state) = (self.text("message", message)?, self.text("state", state)?);
        let (function, bytes) = (&self.exports.message_contract, message.len() + state.len());
        let takes = self.call("message-contract", function, (message, state), bytes)?;
        self.unless_refused(takes, "message contract refused the message")
    }

    /// Asks the state contract about a state, and says `which` it is.
    pub(super) fn takes_state(&mut self, state: &[u8], which: &str) -> Result<(), End> {
        let state = self.text("state", state)?;
        let function = &self.exports.state_contract;
        let takes = self.call("state-contract", function, (state,), state.len())?;
        self.unless_refused(takes, &format!("state contract refused the state{which}"))
    }

    pub(super) fn handle(&mut self, message: &[u8], state: &[u8]) -> Result<Vec<u8>, End> {
        let (message, state) = (self.text("message", message)?, self.text("state", state)?);
        let (function, bytes) = (&self.exports.handle, message.len() + state.len());
        self.store.data_mut().may_change = true;
        let next: Result<String, End> = self.call("handle", function, (message, state), bytes);
        self.store.data_mut().may_change = false;
        self.json("handle", "state", &next?)
    }

    pub(super) fn migrate(
        &mut self,
        migrate: &ComponentExportIndex,
        state: &[u8],
        from_version: &str,
    ) -> Result<Vec<u8>, End> {
        let state = self.text("state", state)?;
        let bytes = state.len() + from_version.len();
        let next: String = self.call("migrate", migrate, (state, from_version), bytes)?;
        self.json("migrate", "state", &next)
    }

    pub(super) fn describe(&mut self, describe: &ComponentExportIndex) -> Result<Vec<u8>, End> {
        let description: String = self.call("describe", describe, (), 0)?;
        self.json("describe", "description", &description)
    }

    /// Calls `function`, which gets so many `bytes`.
    fn call<P, R>(
        &mut self,
        name: &'static str,
        function: &ComponentExportIndex,
        params: P,
        bytes: usize,
    ) -> Result<R, End>
    where
        P: ComponentNamedList + Lower,
        R: 'static,
        (R,): ComponentNamedList + Lift,
    {
        self.before = self.logged();
        let called = self
            .charge(fuel::COPY_PER_BYTE, bytes)
            .and_then(|()| image::call(&mut self.store, &self.instance, function, params));
        // A line without an end is a line of this function.
        wasi::flush(self.store.data_mut());
        called.map_err(|stop| self.stopped(name, stop))
    }

    fn charge(&mut self, price: u64, bytes: usize) -> Result<(), Stop> {
        let node = |error| Stop::new(&error, false);
        let left = self.store.get_fuel().map_err(node)?;
        let left = left.saturating_sub(price.saturating_mul(bytes as u64));
        self.store.set_fuel(left).map_err(node)?;
        if left == 0 { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
    }

    /// The canonical form of what the function `name` returned.
    fn json(&mut self, name: &str, what: &str, text: &str) -> Result<Vec<u8>, End> {
        let failed = |text| End::Refused(Error::guest_failed(text));
        let what = format!("{}: the {what} that `{name}` returned", self.actor);
        let check = |len: usize| match len {
            len if len <= ACTOR_STATE_BYTES_MAX => Ok(()),
            len => Err(failed(format!(
                "{what}: {len} bytes, the limit is {ACTOR_STATE_BYTES_MAX}; keep less in it"
            ))),
        };
        check(text.len())?;
        self.charge(fuel::JSON_PER_BYTE, text.len()).map_err(|stop| self.stopped(name, stop))?;
        let canonical = json::canonical(&what, text.as_bytes()).map_err(|e| failed(e.message))?;
        check(canonical.len())?;
        Ok(canonical)
    }

    fn text<'t>(&self, what: &str, json: &'t [u8]) -> Result<&'t str, End> {
        str::from_utf8(json).map_err(|_| {
            let text = format!("{}: the {what} is no JSON: not UTF-8", self.actor);
            End::Refused(Error::invalid(text))
        })
    }

    fn unless_refused(&mut self, takes: bool, refusal: &str) -> Result<(), End> {
        if takes {
            return Ok(());
        }
        let why = match self.said() {
            Some(line) => format!(": {line}"),
            None => ", and logged no reason".to_owned(),
        };
        let text = format!("{}: {refusal}{why}", self.actor);
        Err(End::Refused(Error::contract_violation(text)))
    }

    fn stopped(&mut self, name: &str, stop: Stop) -> End {
        let said = self.said().map(|line| format!("; it logged: {line}")).unwrap_or_default();
        stopped(self.actor, name, &said, self.limits, stop)
    }

    fn logged(&mut self) -> Logged {
        let state = self.store.data_mut();
        Logged { lines: state.actor().logs.len(), dropped: state.logs_dropped }
    }

    /// The last line that this function logged.
    fn said(&mut self) -> Option<String> {
        let (before, now) = (self.before, self.logged());
        if now.dropped > before.dropped {
            return Some("(a line that its log had no room for)".to_owned());
        }
        let logs = &self.store.data_mut().actor().logs;
        logs[before.lines..].last().cloned()
    }
}
