//! Calling a contract: a fresh instance, its limits, and what became of it.

use crate::{
    Deadline, Halt, Host, Image,
    fault::Stop,
    image::{self, Exports, Linked},
    limits,
    state::State,
    wasi,
};
use althing_protocol::{Error, Kind};
use std::any::Any;
use wasmtime::Store;

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

impl Image {
    /// Calls a fresh instance of a contract, and gives the host back.
    ///
    /// Runs on the calling thread, which needs [`STACK_BYTES_MAX`](crate::limits::STACK_BYTES_MAX)
    /// of stack for the guest, and as much as the host uses.
    ///
    /// # Errors
    /// A [`Halt`] when the node cannot run it; what the guest does wrong is in [`Finished`].
    pub fn call<H: Host>(&self, host: H, call: Call<'_>) -> (H, Result<Finished, Halt>) {
        assert!(call.output_bytes_max <= limits::TRANSFER_BYTES_MAX);
        let linked = self.linked();
        // Held for longer than the store, whose instance is in the slot.
        let _slot = match call.deadline.map(|_| linked.queries.enter()).transpose() {
            Ok(slot) => slot,
            Err(full) => {
                let finished = Finished { output: Err(full), fuel_used: 0, logs_dropped: 0 };
                return (host, Ok(finished));
            }
        };
        let mut state = State::new(Box::new(host), call.memory_bytes_max);
        state.may_change = call.export != Export::Query;
        let mut store = linked.store(state, call.deadline.as_ref());
        let ran = run(linked, &mut store, call);
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
}

/// What the guest returned, or how it stopped.
fn run(
    linked: &Linked,
    store: &mut Store<State>,
    call: Call<'_>,
) -> Result<Result<Vec<u8>, String>, Stop> {
    let Exports::Contract { apply, query, migrate } = &linked.exports else {
        return Err(Stop::Node(Halt::new("an actor was called like a contract: a defect")));
    };
    let function = match (call.export, migrate) {
        (Export::Apply, _) => apply,
        (Export::Query, _) => query,
        (Export::Migrate, Some(migrate)) => {
            let instance = linked.instantiate(store, call.fuel)?;
            let returned: Result<(), String> =
                image::call(store, &instance, migrate, (call.method,))?;
            return Ok(returned.map(|()| Vec::new()));
        }
        (Export::Migrate, None) => {
            return Err(Stop::Node(Halt::new("an image without a migration was to migrate")));
        }
    };
    let instance = linked.instantiate(store, call.fuel)?;
    image::call(store, &instance, function, (call.method, call.args))
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
