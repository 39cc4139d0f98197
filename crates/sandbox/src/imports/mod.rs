//! The functions that contracts and actors may import: a file for each interface.
//!
//! Each one refuses to run during instantiation, charges its base, then checks lengths, charges for
//! the bytes, and only then copies. What a guest may handle it gets as an `error` record; what it
//! may not stops the call.

mod actor;
mod context;
mod crypto;
mod db;
mod entered;
mod error;
mod events;
mod log;
mod programs;

pub(crate) use entered::Entered;
pub(crate) use error::shorten;

use crate::state::State;
use wasmtime::{
    Result,
    component::{Linker, WasmList},
};

/// A function's name, and its type as [`signature`](crate::signature) writes it.
pub(crate) type Function = (&'static str, &'static str);

/// An interface that guests may import, with its functions.
pub(crate) type Interface = (&'static str, &'static [Function]);

/// The interfaces that an actor may import.
pub(crate) const ACTOR: &[Interface] =
    &[("althing:actor/types@0.1.0", &[]), (actor::NAME, actor::FUNCTIONS)];

/// The interfaces that a contract may import.
pub(crate) const CONTRACT: &[Interface] = &[
    ("althing:contract/types@0.1.0", &[]),
    (db::NAME, db::FUNCTIONS),
    (context::NAME, context::FUNCTIONS),
    (events::NAME, events::FUNCTIONS),
    (log::NAME, log::FUNCTIONS),
    (crypto::NAME, crypto::FUNCTIONS),
    (programs::NAME, programs::FUNCTIONS),
];

/// Everything in [`CONTRACT`] and [`ACTOR`]: what a guest may not import was refused before.
pub(crate) fn define(linker: &mut Linker<State>) -> Result<()> {
    linker.instance("althing:contract/types@0.1.0")?;
    db::define(&mut linker.instance(db::NAME)?)?;
    context::define(&mut linker.instance(context::NAME)?)?;
    events::define(&mut linker.instance(events::NAME)?)?;
    log::define(&mut linker.instance(log::NAME)?)?;
    crypto::define(&mut linker.instance(crypto::NAME)?)?;
    programs::define(&mut linker.instance(programs::NAME)?)?;
    linker.instance("althing:actor/types@0.1.0")?;
    actor::define(&mut linker.instance(actor::NAME)?)
}

type Bytes = WasmList<u8>;
