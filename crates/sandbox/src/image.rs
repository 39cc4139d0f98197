//! A component, compiled and linked, and its instances.

use crate::{
    Deadline, Halt, Kind, LoadError,
    deadline::{BEYOND_REACH, Queries},
    fault::Stop,
    host::NoHost,
    interfaces, limits,
    state::{Phase, State},
};
use althing_protocol::{Error, Hash, Kind as ErrorKind, limits::GUEST_MEMORY_BYTES_MAX};
use std::sync::Arc;
use wasmtime::{
    Store, Trap,
    component::{
        Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower,
    },
};

/// A component, compiled and linked.
#[derive(Clone)]
pub struct Image(Arc<Linked>);

/// What an [`Image`] shares between its clones.
pub(crate) struct Linked {
    pub(crate) hash: Hash,
    pub(crate) pre: InstancePre<State>,
    pub(crate) exports: Exports,
    pub(crate) memory_bytes_min: u64,
    pub(crate) instantiation_fuel: u64,
    pub(crate) nested_start_fuel: u64,
    pub(crate) queries: Arc<Queries>,
}

/// The functions to call, by the kind of the component.
pub(crate) enum Exports {
    Contract {
        apply: ComponentExportIndex,
        query: ComponentExportIndex,
        migrate: Option<ComponentExportIndex>,
    },
    Actor(ActorExports),
}

/// Those of an actor.
pub(crate) struct ActorExports {
    pub(crate) init: ComponentExportIndex,
    pub(crate) handle: ComponentExportIndex,
    pub(crate) message_contract: ComponentExportIndex,
    pub(crate) state_contract: ComponentExportIndex,
    pub(crate) migrate: Option<ComponentExportIndex>,
    pub(crate) describe: Option<ComponentExportIndex>,
}

impl Exports {
    /// Those of a component that was [inspected](crate::inspect()); none when it was not.
    pub(crate) fn of(component: &Component) -> Option<Self> {
        let export = |name: &str| component.get_export_index(None, name);
        let optional = |interface, function: &str| {
            component.get_export_index(Some(&export(interface)?), function)
        };
        if let (Some(apply), Some(query)) = (export("apply"), export("query")) {
            let migrate = optional(interfaces::MIGRATION, "migrate");
            return Some(Self::Contract { apply, query, migrate });
        }
        Some(Self::Actor(ActorExports {
            init: export("init")?,
            handle: export("handle")?,
            message_contract: export("message-contract")?,
            state_contract: export("state-contract")?,
            migrate: optional(interfaces::ACTOR_MIGRATION, "migrate"),
            describe: optional(interfaces::ACTOR_DESCRIPTION, "describe"),
        }))
    }
}

impl Image {
    pub(crate) fn new(linked: Linked) -> Self {
        Self(Arc::new(linked))
    }

    pub(crate) fn linked(&self) -> &Linked {
        &self.0
    }

    /// The hash of the component.
    pub fn hash(&self) -> Hash {
        self.0.hash
    }

    /// What it is: which functions there are to call.
    pub fn kind(&self) -> Kind {
        match self.0.exports {
            Exports::Contract { .. } => Kind::Contract,
            Exports::Actor(_) => Kind::Actor,
        }
    }

    /// Linear memory that an instance starts with.
    pub fn memory_bytes_min(&self) -> u64 {
        self.0.memory_bytes_min
    }

    /// Whether it has the export `migrate`.
    pub fn has_migration(&self) -> bool {
        match &self.0.exports {
            Exports::Contract { migrate, .. } => migrate.is_some(),
            Exports::Actor(exports) => exports.migrate.is_some(),
        }
    }

    /// What starting an instance costs a program that calls this one, on top of the call itself.
    pub fn nested_start_fuel(&self) -> u64 {
        self.0.nested_start_fuel
    }
}

impl Linked {
    /// A store for one instance; with a deadline, that of a query.
    pub(crate) fn store(&self, state: State, deadline: Option<&Deadline>) -> Store<State> {
        let mut store = Store::new(self.pre.engine(), state);
        store.set_epoch_deadline(deadline.map_or(BEYOND_REACH, Deadline::ticks));
        store
    }

    /// Starts the instance of `store`, whose functions may use `fuel` then.
    pub(crate) fn instantiate(
        &self,
        store: &mut Store<State>,
        fuel: u64,
    ) -> Result<Instance, Stop> {
        let (min, max) = (self.memory_bytes_min, store.data().memory_bytes_max);
        if min > max {
            let text = format!(
                "needs {min} bytes of memory to start, and may have {max}; raise memory_bytes_max \
                 in its manifest"
            );
            return Err(Stop::Guest(ErrorKind::Exhausted, text));
        }
        let not_ran = |error| Stop::new(&error, false);
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits::TRANSFER_BYTES_MAX);
        store.set_max_component_handles(limits::HANDLES_MAX);
        store.set_fuel(self.instantiation_fuel).map_err(not_ran)?;
        let instance = self.pre.instantiate(&mut *store).map_err(|error| {
            let ran = store.get_fuel().is_ok_and(|left| left < self.instantiation_fuel);
            Stop::new(&error, ran)
        })?;
        store.data_mut().phase = Phase::Running;
        store.set_fuel(fuel).map_err(not_ran)?;
        Ok(instance)
    }

    /// Starts an instance and drops it: one that cannot start is refused before anyone calls it.
    pub(crate) fn try_start(&self) -> Result<(), LoadError> {
        let state = State::new(Box::new(NoHost), GUEST_MEMORY_BYTES_MAX);
        match self.instantiate(&mut self.store(state, None), 0) {
            Ok(_) => Ok(()),
            Err(Stop::Node(halt)) => Err(halt.into()),
            Err(Stop::Late) => Err(Halt::new("starting an image has no deadline: a defect").into()),
            Err(Stop::Guest(_, text)) => {
                let hash = self.hash;
                Err(Error::invalid(format!("image {hash}: does not start: it {text}")).into())
            }
        }
    }
}

/// Calls a function of `instance` with the fuel that its store has.
pub(crate) fn call<P, R>(
    store: &mut Store<State>,
    instance: &Instance,
    function: &ComponentExportIndex,
    params: P,
) -> Result<R, Stop>
where
    P: ComponentNamedList + Lower,
    R: 'static,
    (R,): ComponentNamedList + Lift,
{
    let function = instance
        .get_typed_func::<P, (R,)>(&mut *store, function)
        .map_err(|error| Stop::new(&error, false))?;
    let (returned,) =
        function.call(&mut *store, params).map_err(|error| store.data().stop(&error))?;
    // The engine looks at the fuel where functions start and loops repeat, so a guest may return
    // having used more than it had.
    match store.get_fuel() {
        Ok(0) => Err(Trap::OutOfFuel.into()),
        _ => Ok(returned),
    }
}
