//! Who gets in when much is asked: a rate an author, and so many requests at once.

use crate::config::Limits;
use althing_operations::{Caller, RateLimit};
use althing_protocol::{Error, PublicKey, Result};
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// After this long one of many requests is likely done.
const RETRY_AFTER_MS: u64 = 50;
/// A stream lasts; to try again at once is pointless.
const STREAM_RETRY_AFTER_MS: u64 = 1_000;

/// Held while a request or stream is worked on.
pub(crate) type Permit = OwnedSemaphorePermit;

/// The three limits on what a node takes in.
pub(crate) struct Admission {
    rate: RateLimit,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    limits: Limits,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self {
            rate: RateLimit::new(at_least_one(limits.rate_per_second), at_least_one(limits.burst)),
            requests: Arc::new(Semaphore::new(limits.requests_max)),
            streams: Arc::new(Semaphore::new(limits.streams_max)),
            limits: limits.clone(),
        }
    }

    /// Takes `cost` of the rate of `author`, who came in with the token of `caller`.
    ///
    /// Who an envelope says it is from is not proven yet. So an author has a rate for each token:
    /// forging somebody's name uses up one's own door only.
    pub(crate) fn rate(&self, caller: &Caller, author: &PublicKey, cost: usize) -> Result<()> {
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let mut door = blake3::Hasher::new_derive_key("althing rate of an author at a door v1");
        door.update(author.as_bytes()).update(caller.key.as_bytes());
        self.rate.check(&PublicKey(*door.finalize().as_bytes()), cost).map_err(|refused| Error {
            message: format!(
                "rate of author {author} with token {}: used up; send less, or raise \
                 limits.rate_per_second of the node",
                caller.name
            ),
            ..refused
        })
    }

    /// Room for one request, for as long as the permit is held.
    pub(crate) fn request(&self) -> Result<Permit> {
        Arc::clone(&self.requests).try_acquire_owned().map_err(|_| {
            Error::exhausted(format!(
                "node: {} requests are being worked on, the limit (limits.requests_max); try again",
                self.limits.requests_max
            ))
            .retry_after_ms(RETRY_AFTER_MS)
        })
    }

    /// Room for one stream, for as long as the permit is held.
    pub(crate) fn stream(&self) -> Result<Permit> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Error::exhausted(format!(
                "node: {} streams are open, the limit (limits.streams_max); close one, or try later",
                self.limits.streams_max
            ))
            .retry_after_ms(STREAM_RETRY_AFTER_MS)
        })
    }

    /// Requests being worked on, and streams open.
    pub(crate) fn in_use(&self) -> (usize, usize) {
        (
            self.limits.requests_max - self.requests.available_permits(),
            self.limits.streams_max - self.streams.available_permits(),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;

    fn caller(n: u8) -> Caller {
        Caller { key: PublicKey([n; 32]), name: format!("c{n}") }
    }

    #[test]
    fn a_forged_author_costs_the_forgers_door_only() {
        let limits = Limits { rate_per_second: 1, burst: 256, ..Limits::default() };
        let admission = Admission::new(&limits);
        let victim = caller(1);
        admission.rate(&caller(2), &victim.key, 256).unwrap();
        let refused = admission.rate(&caller(2), &victim.key, 1).unwrap_err();
        assert_eq!(refused.kind, Kind::Exhausted);
        assert!(refused.retry_after_ms.is_some());
        admission.rate(&victim, &victim.key, 256).unwrap();
    }

    #[test]
    fn one_request_more_than_the_limit_is_refused_until_one_is_done() {
        let admission =
            Admission::new(&Limits { requests_max: 1, streams_max: 1, ..Limits::default() });
        let request = admission.request().unwrap();
        let _stream = admission.stream().unwrap();
        assert_eq!(admission.in_use(), (1, 1));
        let refused = admission.request().unwrap_err();
        assert_eq!((refused.kind, refused.retry_after_ms), (Kind::Exhausted, Some(RETRY_AFTER_MS)));
        assert!(admission.stream().is_err());
        drop(request);
        assert!(admission.request().is_ok());
    }
}
