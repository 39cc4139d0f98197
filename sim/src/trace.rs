//! What happened, in order: to be read when a seed fails, and hashed to compare two runs.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Simulated time, who, and what.
    pub text: String,
    /// Whether it happens all the time: messages, entries, answers.
    pub is_detail: bool,
}

#[derive(Debug, Default)]
struct Inner {
    hasher: blake3::Hasher,
    lines: Option<Vec<Line>>,
    now: Duration,
}

/// Clones are the same trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Arc<Mutex<Inner>>);

impl Trace {
    /// One that keeps its lines; else it is a hash alone.
    pub(crate) fn keeping(lines: bool) -> Self {
        let trace = Self::default();
        trace.lock().lines = lines.then(Vec::new);
        trace
    }

    pub(crate) fn set_time(&self, now: Duration) {
        self.lock().now = now;
    }

    /// Simulated time, of all machines alike.
    pub(crate) fn now(&self) -> Duration {
        self.lock().now
    }

    pub(crate) fn note(&self, who: impl Display, what: impl Display) {
        self.add(false, who, what);
    }

    pub(crate) fn detail(&self, who: impl Display, what: impl Display) {
        self.add(true, who, what);
    }

    fn add(&self, is_detail: bool, who: impl Display, what: impl Display) {
        let mut inner = self.lock();
        let text = format!("{:>9.3} {who:<8} {what}", inner.now.as_secs_f64());
        inner.hasher.update(text.as_bytes()).update(b"\n");
        if let Some(lines) = &mut inner.lines {
            lines.push(Line { text, is_detail });
        }
    }

    pub(crate) fn hash(&self) -> String {
        self.lock().hasher.finalize().to_hex()[..16].to_owned()
    }

    pub(crate) fn take_lines(&self) -> Vec<Line> {
        self.lock().lines.take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
