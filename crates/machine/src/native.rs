//! Programs in Rust: no sandbox, the same rules.

use crate::{Context, Fault, context::Events};
use althing_protocol::{Need, Result};
use althing_state::Scope;

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
#[derive(Debug)]
pub struct Call<'a> {
    /// The state, and the writes so far.
    pub scope: &'a mut Scope,
    /// Where, when and on whose authority.
    pub context: &'a Context,
    /// Events emitted so far.
    pub(crate) events: &'a mut Events,
    /// The program that runs.
    pub(crate) program: &'a str,
}

impl Call<'_> {
    /// Emits an event, delivered once the entry is applied.
    ///
    /// # Errors
    /// `invalid` or `exhausted` at a limit.
    pub fn emit(&mut self, topic: &str, data: &[u8]) -> Result<()> {
        self.events.emit(self.program, topic, data)
    }
}
