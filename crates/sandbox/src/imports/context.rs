//! Who is calling, when and where.

use super::{Entered, Function};
use crate::{
    fuel,
    host::{CallContext, Caller},
    state::State,
};
use wasmtime::{
    Result, StoreContextMut,
    component::{ComponentType, LinkerInstance, Lower},
};

pub(super) const NAME: &str = "althing:contract/context@0.1.0";

pub(super) const FUNCTIONS: &[Function] = &[
    ("caller", "func() -> variant { key(list<u8>), program(string) }"),
    ("author", "func() -> list<u8>"),
    ("index", "func() -> u64"),
    ("timestamp-us", "func() -> u64"),
    ("seed", "func() -> list<u8>"),
    ("program", "func() -> string"),
];

/// `subject` of the world.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum WitSubject {
    #[component(name = "key")]
    Key(Vec<u8>),
    #[component(name = "program")]
    Program(String),
}

impl From<&Caller> for WitSubject {
    fn from(caller: &Caller) -> Self {
        match caller {
            Caller::Key(key) => Self::Key(key.to_vec()),
            Caller::Program(program) => Self::Program(program.clone()),
        }
    }
}

type Store<'a> = StoreContextMut<'a, State>;

pub(super) fn define(context: &mut LinkerInstance<'_, State>) -> Result<()> {
    fn read<T>(
        store: Store<'_>,
        name: &'static str,
        read: impl FnOnce(&CallContext) -> T,
    ) -> Result<(T,)> {
        let on = Entered::new(store, name, fuel::CONTEXT)?;
        Ok((read(on.store.data().host.context()),))
    }
    context.func_wrap("caller", |store: Store<'_>, (): ()| {
        read(store, "context.caller", |context| WitSubject::from(&context.caller))
    })?;
    context.func_wrap("author", |store: Store<'_>, (): ()| {
        read(store, "context.author", |context| context.author.to_vec())
    })?;
    context.func_wrap("index", |store: Store<'_>, (): ()| {
        read(store, "context.index", |context| context.index)
    })?;
    context.func_wrap("timestamp-us", |store: Store<'_>, (): ()| {
        read(store, "context.timestamp-us", |context| context.timestamp_us)
    })?;
    context.func_wrap("seed", |store: Store<'_>, (): ()| {
        read(store, "context.seed", |context| context.seed.to_vec())
    })?;
    context.func_wrap("program", |store: Store<'_>, (): ()| {
        read(store, "context.program", |context| context.program.clone())
    })
}
