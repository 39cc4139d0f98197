//! What stops a node, and what is only an instruction's own fault.

use althing_protocol::Error;
use althing_state::StateError;

/// Why this node cannot go on. Other nodes may well be able to, so it is never an outcome.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Halt(String);

impl Halt {
    /// Names the thing, the reason and the remedy.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<StateError> for Halt {
    fn from(error: StateError) -> Self {
        Self(format!("state: {error}"))
    }
}

impl From<althing_sandbox::Halt> for Halt {
    fn from(halt: althing_sandbox::Halt) -> Self {
        Self(format!("sandbox: {halt}"))
    }
}

/// Either of the two: what running an instruction can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An outcome: the same on every node.
    #[error(transparent)]
    Outcome(#[from] Error),
    /// This node's trouble.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl From<StateError> for Fault {
    fn from(error: StateError) -> Self {
        Self::Halt(error.into())
    }
}

impl From<althing_sandbox::Halt> for Fault {
    fn from(halt: althing_sandbox::Halt) -> Self {
        Self::Halt(halt.into())
    }
}

impl Fault {
    /// Splits a result: the outcome stays, a halt goes up.
    pub(crate) fn outcome<T>(result: Result<T, Self>) -> Result<Result<T, Error>, Halt> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(Self::Outcome(error)) => Ok(Err(error)),
            Err(Self::Halt(halt)) => Err(halt),
        }
    }
}
