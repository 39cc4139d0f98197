//! Why the log stopped for good.

use althing_protocol::Error;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use openraft::{RaftMetrics, RaftTypeConfig};
use std::fmt::Display;
use std::sync::{Arc, OnceLock};

/// For a log that cannot be opened as it is.
pub(crate) const REMEDY: &str = "restore the node from a snapshot or a backup; where other members \
                                 have the realm, `althing repair` says how it comes back";

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

/// Follows the engine until it ends. One that fails leaves the last of what it said to be seen, as if
/// it went on: a leader would lead for ever.
pub(crate) async fn follow<C: RaftTypeConfig>(
    mut metrics: WatchReceiverOf<C, RaftMetrics<C>>,
    fault: Fault,
) {
    let ended = loop {
        let ended = metrics.borrow_watched().running_state.clone().err();
        if ended.is_some() {
            break ended;
        }
        if metrics.changed().await.is_err() {
            break metrics.borrow_watched().running_state.clone().err();
        }
    };
    match ended {
        Some(Fatal::Stopped) => {}
        Some(fatal) => fault.set(format_args!("the consensus engine failed: {fatal}")),
        None => fault.set("the consensus engine panicked"),
    }
}
