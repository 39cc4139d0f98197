//! Why the log stopped for good.

use althing_protocol::Error;
use std::fmt::Display;
use std::sync::{Arc, OnceLock};

/// Set once, by the first failure; everything after it is a consequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault(Arc<OnceLock<String>>);

impl Fault {
    /// Records the reason, unless there already is one.
    pub(crate) fn set(&self, reason: impl Display) {
        if self.0.set(reason.to_string()).is_ok() {
            tracing::error!(%reason, "the log stopped: nothing more is written or applied");
        }
    }

    pub(crate) fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// What a caller is told when the engine is gone: the first failure, or else `consequence`.
    pub(crate) fn error(&self, consequence: impl Display) -> Error {
        match self.get() {
            Some(reason) => Error::unavailable(format!(
                "the log stopped: {reason}; mend the cause, then restart the node"
            )),
            None => Error::unavailable(format!(
                "the log is not running: {consequence}; restart the node"
            )),
        }
    }
}
