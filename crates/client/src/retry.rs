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

/// Tries until it works, fails in a way that `again` does not accept, or time is up. Also says how
/// often it tried.
pub(crate) async fn retry<T, F: Future<Output = Result<T>>>(
    policy: RetryPolicy,
    again: fn(&Error) -> bool,
    mut attempt: impl FnMut() -> F,
) -> (u32, Result<T>) {
    let deadline = Instant::now() + policy.total;
    let mut backoff = Backoff::new(policy);
    for tries in 1.. {
        let error = match attempt().await {
            Err(error) if again(&error) => error,
            answer => return (tries, answer),
        };
        let until = Instant::now() + backoff.next(&error);
        if until > deadline {
            return (tries, Err(error));
        }
        tokio::time::sleep_until(until).await;
    }
    unreachable!("tries end with the deadline")
}
