//! When a peer that could not be reached is dialled again.

use crate::limits;
use althing_protocol::Error;
use std::time::{Duration, Instant};

/// After each failure twice as long, and never quite as long as somebody else's.
#[derive(Default)]
pub(crate) struct Backoff {
    failures: u32,
    last: Option<(Instant, Error)>,
}

impl Backoff {
    pub(crate) fn fail(&mut self, now: Instant, error: Error) {
        let doubled = limits::BACKOFF_MIN.saturating_mul(1 << self.failures.min(16));
        let jitter = rand::random_range(0.5..1.0);
        let wait = Duration::mul_f64(doubled.min(limits::BACKOFF_MAX), jitter);
        self.failures += 1;
        self.last = Some((now + wait, error));
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The time before which nobody dials, and why.
    pub(crate) fn until(&self, now: Instant) -> Option<(Instant, &Error)> {
        self.last.as_ref().filter(|(at, _)| *at > now).map(|(at, error)| (*at, error))
    }

    /// Why dialling failed last.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.last.as_ref().map(|(_, error)| error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_start_anew() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert!(backoff.until(now).is_none());
        for failure in 0..40u32 {
            backoff.fail(now, Error::unavailable("gone"));
            let wait = backoff.until(now).unwrap().0 - now;
            let most = limits::BACKOFF_MIN * (1 << failure.min(10));
            let most = most.min(limits::BACKOFF_MAX);
            assert!(wait >= most / 2 && wait <= most, "{failure}: {wait:?}");
        }
        assert!(backoff.until(now + limits::BACKOFF_MAX).is_none());
        backoff.reset();
        assert!(backoff.until(now).is_none() && backoff.failure().is_none());
    }
}
