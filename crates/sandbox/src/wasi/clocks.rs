//! Clocks that stand still while a guest computes, and pollables that make them jump.
//!
//! Both clocks show the entry's time and what the guest has slept in this call, in microseconds. So
//! the monotonic one does not start at zero: guests that subtract from it do not fall off its end.
//! The next call starts at its own entry's time again.

use super::{Entered, State, broken, handles, interface, price};
use wasmtime::{
    Result, StoreContextMut,
    component::{ComponentType, Linker, Lower, Resource, ResourceType},
};

const NS_PER_US: u64 = 1_000;
const US_PER_S: u64 = 1_000_000;

/// `datetime` of the wall clock.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl Datetime {
    fn of(us: u64) -> Self {
        let rest_us = u32::try_from(us % US_PER_S).unwrap_or_default();
        Self { seconds: us / US_PER_S, nanoseconds: rest_us * 1_000 }
    }
}

/// Becomes ready at a time of the monotonic clock, in nanoseconds. Streams are always ready.
pub(super) struct Pollable {
    ready_ns: u64,
}

impl State {
    fn now_us(&self) -> u64 {
        self.host.context().timestamp_us.saturating_add(self.wasi.slept_us)
    }

    /// The monotonic clock stops at its end, where everything is ready.
    fn now_ns(&self) -> u64 {
        self.now_us().saturating_mul(NS_PER_US)
    }

    /// Sleeps, unless it is that late already.
    fn sleep_until(&mut self, ns: u64) {
        let late_us = ns.div_ceil(NS_PER_US).saturating_sub(self.now_us());
        self.wasi.slept_us = self.wasi.slept_us.saturating_add(late_us);
    }

    pub(super) fn pollable(&mut self, ready_ns: u64) -> Result<Resource<Pollable>> {
        self.wasi.pollables.push(Pollable { ready_ns }).map_err(handles)
    }

    fn ready_ns(&self, pollable: &Resource<Pollable>) -> Result<u64> {
        Ok(self.wasi.pollables.get(pollable).map_err(handles)?.ready_ns)
    }

    /// The indices of the pollables that are ready, after sleeping until the first of them is.
    fn poll(&mut self, pollables: &[Resource<Pollable>]) -> Result<Vec<u32>> {
        let ready: Vec<u64> =
            pollables.iter().map(|pollable| self.ready_ns(pollable)).collect::<Result<_>>()?;
        let Some(first_ns) = ready.iter().min() else {
            return Err(broken("polled an empty list, which would never be ready"));
        };
        self.sleep_until(*first_ns);
        let now_ns = self.now_ns();
        let indices = (0_u32..).zip(ready).filter(|(_, ready_ns)| *ready_ns <= now_ns);
        Ok(indices.map(|(index, _)| index).collect())
    }
}

pub(super) fn define(linker: &mut Linker<State>) -> Result<()> {
    wall(linker)?;
    monotonic(linker)?;
    poll(linker)
}

fn wall(linker: &mut Linker<State>) -> Result<()> {
    let mut clock = interface(linker, "clocks/wall-clock")?;
    clock.func_wrap("now", |store, (): ()| {
        let on = Entered::new(store, "wall-clock.now", price::CLOCK)?;
        Ok((Datetime::of(on.store.data().now_us()),))
    })?;
    clock.func_wrap("resolution", |store, (): ()| {
        Entered::new(store, "wall-clock.resolution", price::CLOCK)?;
        Ok((Datetime::of(1),))
    })
}

fn monotonic(linker: &mut Linker<State>) -> Result<()> {
    let mut clock = interface(linker, "clocks/monotonic-clock")?;
    clock.func_wrap("now", |store, (): ()| {
        let on = Entered::new(store, "monotonic-clock.now", price::CLOCK)?;
        Ok((on.store.data().now_ns(),))
    })?;
    clock.func_wrap("resolution", |store, (): ()| {
        Entered::new(store, "monotonic-clock.resolution", price::CLOCK)?;
        Ok((NS_PER_US,))
    })?;
    clock.func_wrap("subscribe-instant", |store, (when_ns,): (u64,)| {
        let mut on = Entered::new(store, "monotonic-clock.subscribe-instant", price::POLLABLE)?;
        on.tell("when", when_ns);
        Ok((on.store.data_mut().pollable(when_ns)?,))
    })?;
    clock.func_wrap("subscribe-duration", |store, (duration_ns,): (u64,)| {
        let mut on = Entered::new(store, "monotonic-clock.subscribe-duration", price::POLLABLE)?;
        on.tell("when", duration_ns);
        let state = on.store.data_mut();
        Ok((state.pollable(state.now_ns().saturating_add(duration_ns))?,))
    })
}

fn poll(linker: &mut Linker<State>) -> Result<()> {
    type This = (Resource<Pollable>,);
    let mut poll = interface(linker, "io/poll")?;
    let drop = |mut store: StoreContextMut<'_, State>, rep| {
        let pollable = Resource::<Pollable>::new_own(rep);
        store.data_mut().wasi.pollables.delete(pollable).map_err(handles)?;
        Ok(())
    };
    poll.resource("pollable", ResourceType::host::<Pollable>(), drop)?;
    poll.func_wrap("[method]pollable.ready", |store, (this,): This| {
        let on = Entered::new(store, "pollable.ready", price::POLLABLE)?;
        let state = on.store.data();
        Ok((state.ready_ns(&this)? <= state.now_ns(),))
    })?;
    poll.func_wrap("[method]pollable.block", |store, (this,): This| {
        let mut on = Entered::new(store, "pollable.block", price::POLLABLE)?;
        let ready_ns = on.store.data().ready_ns(&this)?;
        on.store.data_mut().sleep_until(ready_ns);
        Ok(())
    })?;
    poll.func_wrap("poll", |store, (pollables,): (Vec<Resource<Pollable>>,)| {
        let mut on = Entered::new(store, "poll.poll", price::POLLABLE)?;
        // No more than there may be handles: the engine counts one for each that is lent.
        on.charge(price::POLLED.saturating_mul(pollables.len() as u64))?;
        Ok((on.store.data_mut().poll(&pollables)?,))
    })
}
