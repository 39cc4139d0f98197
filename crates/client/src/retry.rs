//! When to try again, and for how long.

use althing_protocol::{Error, Kind, Result};
use std::time::Duration;
use tokio::time::Instant;

/// When to try again: after a wait that doubles, with jitter, or longer if the node says so.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The first wait.
    pub wait_first: Duration,
    /// The longest wait, unless the node asks for more.
    pub wait_max: Duration,
    /// From the first try on; then the last error is the answer.
    pub total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            wait_first: Duration::from_millis(20),
            wait_max: Duration::from_secs(2),
            total: Duration::from_secs(30),
        }
    }
}

/// Whether the same envelope, or the same question, may get another answer later.
pub(crate) fn is_passing(error: &Error) -> bool {
    error.kind == Kind::Unavailable || was_not_begun(error)
}

/// Whether the node said that it did nothing and that later it may.
pub(crate) fn was_not_begun(error: &Error) -> bool {
    error.kind == Kind::Exhausted && error.retry_after_ms.is_some()
}

/// The waits between tries.
pub(crate) struct Backoff {
    policy: RetryPolicy,
    wait: Duration,
}

impl Backoff {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self { policy, wait: policy.wait_first }
    }

    pub(crate) fn reset(&mut self) {
        self.wait = self.policy.wait_first;
    }

    /// How long to wait after `error`. Many clients that failed together do not come back together.
    pub(crate) fn next(&mut self, error: &Error) -> Duration {
        let jittered = self.wait.mul_f64(rand::random_range(0.5..=1.0));
        self.wait = (self.wait * 2).min(self.policy.wait_max);
        jittered.max(Duration::from_millis(error.retry_after_ms.unwrap_or(0)))
    }
}

/// Whether the node decided against it: it did nothing, and will do nothing.
pub(crate) fn is_refusal(error: &Error) -> bool {
    !matches!(error.kind, Kind::Unavailable | Kind::Internal)
}

/// The answer to the last try, and what the tries before say about it.
pub(crate) struct Tried<T> {
    pub(crate) answer: Result<T>,
    /// Whether every try was refused.
    pub(crate) is_refused: bool,
}

/// Tries until it works, fails in a way that `again` does not accept, or time is up.
pub(crate) async fn retry<T, F: Future<Output = Result<T>>>(
    policy: RetryPolicy,
    again: fn(&Error) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Tried<T> {
    let deadline = Instant::now() + policy.total;
    let mut backoff = Backoff::new(policy);
    let mut is_refused = true;
    loop {
        let error = match attempt().await {
            Ok(answer) => return Tried { answer: Ok(answer), is_refused: false },
            Err(error) => error,
        };
        is_refused &= is_refusal(&error);
        let until = Instant::now() + backoff.next(&error);
        if !again(&error) || until > deadline {
            return Tried { answer: Err(error), is_refused };
        }
        tokio::time::sleep_until(until).await;
    }
}
