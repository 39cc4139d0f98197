//! Lines in the log that outsiders cause, at a rate that they do not decide.

use std::{
    fmt::Arguments,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Notices {
    /// When the last line was written, and how many were not since.
    said: Mutex<(Option<Instant>, u64)>,
}

impl Notices {
    pub(crate) fn say(&self, what: Arguments<'_>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.0.is_some_and(|at| at.elapsed() < INTERVAL) {
            said.1 += 1;
            return;
        }
        let unsaid = std::mem::replace(&mut *said, (Some(Instant::now()), 0)).1;
        tracing::warn!(unsaid, "{what}");
    }
}
