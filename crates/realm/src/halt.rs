//! Why a realm stopped, if it did.

use althing_protocol::{Error, Result};
use std::sync::{Arc, OnceLock};

/// Set once, by whoever finds that this node cannot go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<OnceLock<String>>);

impl Stop {
    /// Stops the realm. The first reason stays: all others are consequences.
    pub(crate) fn set(&self, reason: impl Into<String>) {
        let reason = reason.into();
        tracing::error!(%reason, "the realm stops");
        let _ = self.0.set(reason);
    }

    /// The same, where somebody wished it.
    pub(crate) fn end(&self, reason: impl Into<String>) {
        let reason = reason.into();
        tracing::info!(%reason, "the realm ends here");
        let _ = self.0.set(reason);
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// # Errors
    /// `unavailable`, when the realm stopped.
    pub(crate) fn check(&self) -> Result<()> {
        self.reason().map_or(Ok(()), |reason| Err(stopped(reason)))
    }
}

pub(crate) fn stopped(reason: &str) -> Error {
    Error::unavailable(format!(
        "the realm stopped on this node: {reason}; mend the cause, then restart the node"
    ))
}

/// A failure of this node while it reads, as its caller sees it.
pub(crate) fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal(error.to_string())
}
