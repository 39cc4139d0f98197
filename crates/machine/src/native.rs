//! Programs in Rust: no sandbox, the same rules.

use crate::{
    Context, Fault,
    actor::{Actors, At},
    context::{Events, Logs},
    contract::Contracts,
    explain::Trace,
};
use althing_protocol::{Need, Result};
use althing_state::Scope;
use std::{fmt, sync::Arc};

/// A program that is part of the binary. Like every program it must give the same outcome on every
/// node: it reads the scope and the context, nothing else.
pub trait Native: Send + Sync {
    /// What instructions name.
    fn id(&self) -> &'static str;

    /// What the author needs to be granted for this call. Checks the args as well: what this
    /// refuses is not proposed.
    ///
    /// # Errors
    /// `invalid` or `not-found`, naming method or field.
    fn needs(&self, method: &str, args: &[u8]) -> Result<Vec<Need>>;

    /// Runs a call that was admitted. Whatever it wrote is undone when it fails.
    ///
    /// # Errors
    /// An outcome, or a halt of this node.
    fn apply(&self, call: &mut Call<'_>, method: &str, args: &[u8]) -> Result<Vec<u8>, Fault>;
}

/// What a native program works with.
pub struct Call<'a> {
    /// The state, and the writes so far.
    pub scope: &'a mut Scope,
    /// Where, when and on whose authority.
    pub context: &'a Context,
    /// Events emitted so far.
    pub(crate) events: &'a mut Events,
    /// The program that runs.
    pub(crate) program: &'a str,
    /// What runs contracts, for it and in its place.
    pub(crate) guests: Guests<'a>,
}

/// What the code of contracts needs that a native program runs.
pub(crate) struct Guests<'a> {
    pub(crate) contracts: &'a Arc<Contracts>,
    pub(crate) logs: &'a mut Logs,
    pub(crate) nested: &'a mut u32,
    pub(crate) trace: &'a mut Option<Box<Trace>>,
    /// What they used: it becomes the outcome's.
    pub(crate) fuel: &'a mut u64,
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, context, program, .. } = self;
        write!(f, "Call of {program} {{ scope: {scope:?}, context: {context:?} }}")
    }
}

impl Call<'_> {
    /// The actors, as this call finds them.
    pub(crate) fn actors(&mut self) -> Actors<'_> {
        let Context { index, timestamp_us, .. } = *self.context;
        Actors {
            scope: self.scope,
            contracts: self.guests.contracts,
            at: At { index, timestamp_us },
            logs: self.guests.logs,
            fuel: 0,
        }
    }

    /// Emits an event, delivered once the entry is applied.
    ///
    /// # Errors
    /// `invalid` or `exhausted` at a limit.
    pub fn emit(&mut self, topic: &str, data: &[u8]) -> Result<()> {
        self.events.emit(self.program, topic, data)
    }
}
