//! A rate per author, for a bounded number of authors.

use althing_protocol::{Error, PublicKey, Result};
use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::StateStore,
};
use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Authors remembered at once.
const AUTHORS_MAX: usize = 4_096;

/// A rate per author: `per_second` in the long run, `burst` at once.
///
/// Remembers a bounded number of authors. One author more forgets the one that is closest to a
/// full burst, so the most that forgetting gives away is a burst.
pub struct RateLimit<C: Clock = DefaultClock> {
    limiter: RateLimiter<PublicKey, Authors, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    burst: NonZeroU32,
}

impl RateLimit {
    /// A limit on the machine's monotonic clock.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::with_clock(per_second, burst, DefaultClock::default())
    }
}

impl<C: Clock + Clone> RateLimit<C> {
    /// A limit on `clock`.
    pub fn with_clock(per_second: NonZeroU32, burst: NonZeroU32, clock: C) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        let limiter = RateLimiter::new(quota, Authors::default(), clock.clone());
        Self { limiter, clock, burst }
    }

    /// Takes `cost` of `author`'s rate, all or nothing. Cost 0 is free; a cost above the burst
    /// takes a whole burst, else it would never pass.
    ///
    /// # Errors
    /// `exhausted`, with the time after which it will pass if the author sends nothing else.
    pub fn check(&self, author: &PublicKey, cost: u32) -> Result<()> {
        let Some(cost) = NonZeroU32::new(cost.min(self.burst.get())) else { return Ok(()) };
        let refused = match self.limiter.check_key_n(author, cost) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(refused)) => Some(refused),
            Err(_) => None,
        };
        let wait = refused.map_or(Duration::from_secs(1), |refused: NotUntil<C::Instant>| {
            refused.wait_time_from(self.clock.now())
        });
        let wait_ms = u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX).max(1);
        Err(Error::exhausted(format!(
            "rate of author {author}: used up; try again in {wait_ms} ms, or raise the rate in \
             the node's configuration"
        ))
        .retry_after_ms(wait_ms))
    }

    /// Authors remembered now.
    pub fn authors(&self) -> usize {
        self.limiter.len()
    }
}

/// When each author would have its whole burst again.
#[derive(Default)]
struct Authors(Mutex<HashMap<PublicKey, Nanos>>);

impl StateStore for Authors {
    type Key = PublicKey;

    fn measure_and_replace<T, F, E>(&self, author: &PublicKey, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // A value is whole at all times, so a panic elsewhere leaves nothing half done.
        let mut authors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (verdict, full_at) = f(authors.get(author).copied())?;
        if authors.len() >= AUTHORS_MAX && !authors.contains_key(author) {
            let freshest = authors.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| *key);
            freshest.and_then(|key| authors.remove(&key));
        }
        authors.insert(*author, full_at);
        Ok(verdict)
    }
}

impl governor::state::keyed::ShrinkableKeyedStateStore<PublicKey> for Authors {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, full_at| *full_at > drop_below);
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;
    use governor::clock::FakeRelativeClock;

    fn limit(per_second: u32, burst: u32) -> (RateLimit<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let [per_second, burst] = [per_second, burst].map(|n| NonZeroU32::new(n).unwrap());
        (RateLimit::with_clock(per_second, burst, clock.clone()), clock)
    }

    fn author(n: u32) -> PublicKey {
        let mut key = PublicKey::default();
        key.0[..4].copy_from_slice(&n.to_le_bytes());
        key
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (limit, clock) = limit(10, 5);
        limit.check(&author(1), 5).unwrap();
        let refused = limit.check(&author(1), 1).unwrap_err();
        assert_eq!(refused.kind, Kind::Exhausted);
        let wait_ms = refused.retry_after_ms.unwrap();
        assert_eq!(wait_ms, 100);
        clock.advance(Duration::from_millis(wait_ms - 1));
        assert!(limit.check(&author(1), 1).is_err());
        clock.advance(Duration::from_millis(1));
        limit.check(&author(1), 1).unwrap();
    }

    #[test]
    fn authors_do_not_share() {
        let (limit, _) = limit(1, 1);
        limit.check(&author(1), 1).unwrap();
        limit.check(&author(2), 1).unwrap();
        assert!(limit.check(&author(1), 1).is_err());
    }

    #[test]
    fn a_cost_above_the_burst_takes_a_burst() {
        let (limit, clock) = limit(10, 5);
        limit.check(&author(1), 256).unwrap();
        assert!(limit.check(&author(1), 256).is_err());
        clock.advance(Duration::from_millis(500));
        limit.check(&author(1), 256).unwrap();
        limit.check(&author(1), 0).unwrap();
    }

    #[test]
    fn authors_are_bounded_and_the_busiest_are_kept() {
        let (limit, _) = limit(1, 10);
        let busy = author(u32::MAX);
        limit.check(&busy, 10).unwrap();
        for n in 0..2 * AUTHORS_MAX as u32 {
            limit.check(&author(n), 1).unwrap();
        }
        assert_eq!(limit.authors(), AUTHORS_MAX);
        assert!(limit.check(&busy, 1).is_err(), "forgot the author that is out of rate");
    }
}
