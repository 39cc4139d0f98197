//! A session of the signer: which sequence numbers are used, and that not too many are in flight.

use althing_protocol::{Batch, PublicKey, RealmId, SecretKey, limits, sign, v1};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// An open session that this client alone uses.
pub(crate) struct Session {
    pub(crate) realm: RealmId,
    pub(crate) author: PublicKey,
    pub(crate) number: u64,
    window: Mutex<Window>,
    freed: Notify,
}

/// Numbers from the lowest in flight to `next` never span more than the outcomes the realm keeps:
/// what is sent again always finds its outcome.
#[derive(Default)]
struct Window {
    next: u64,
    in_flight: BTreeSet<u64>,
}

impl Window {
    fn take(&mut self, count: u64) -> Option<u64> {
        let lowest = self.in_flight.first().copied().unwrap_or(self.next);
        if self.next + count - lowest > limits::SESSION_WINDOW {
            return None;
        }
        let sequence = self.next;
        self.next += count;
        self.in_flight.insert(sequence);
        Some(sequence)
    }
}

/// Sequence numbers in flight; given back when dropped.
pub(crate) struct Numbers {
    session: Arc<Session>,
    pub(crate) sequence: u64,
}

impl Drop for Numbers {
    fn drop(&mut self) {
        self.session.window().in_flight.remove(&self.sequence);
        self.session.freed.notify_waiters();
    }
}

impl Session {
    pub(crate) fn new(realm: RealmId, author: PublicKey, number: u64) -> Arc<Self> {
        let window = Mutex::default();
        Arc::new(Self { realm, author, number, window, freed: Notify::new() })
    }

    /// The next `count` numbers, if the window has room.
    pub(crate) fn try_take(self: &Arc<Self>, count: usize) -> Option<Numbers> {
        let sequence = self.window().take(count as u64)?;
        Some(Numbers { session: Arc::clone(self), sequence })
    }

    /// The next `count` numbers, as soon as the window has room.
    pub(crate) async fn take(self: &Arc<Self>, count: usize) -> Numbers {
        loop {
            // Registered before it looks, so that it misses no number that is given back.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(numbers) = self.try_take(count) {
                return numbers;
            }
            freed.await;
        }
    }

    pub(crate) fn sign(
        &self,
        key: &SecretKey,
        sequence: u64,
        instructions: Vec<v1::Instruction>,
    ) -> v1::Envelope {
        let Self { realm, author, number: session, .. } = *self;
        sign(key, Batch { realm, author, session, sequence, instructions })
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is taken and given back, numbers are never used twice and never span more
        /// than the window.
        #[test]
        fn the_window_holds(steps in prop::collection::vec((1..=256usize, any::<prop::sample::Index>(), any::<bool>()), 1..200)) {
            let session = Session::new(RealmId::default(), PublicKey::default(), 1);
            let mut held: Vec<(Numbers, usize)> = Vec::new();
            let mut highest = 0;
            for (count, index, give_back) in steps {
                if give_back && !held.is_empty() {
                    held.remove(index.index(held.len()));
                    continue;
                }
                match session.try_take(count) {
                    Some(numbers) => {
                        prop_assert_eq!(numbers.sequence, highest);
                        highest += count as u64;
                        held.push((numbers, count));
                    }
                    None => prop_assert!(!held.is_empty()),
                }
                let lowest = held.iter().map(|(numbers, _)| numbers.sequence).min();
                prop_assert!(lowest.is_none_or(|lowest| highest - lowest <= limits::SESSION_WINDOW));
            }
        }
    }

    #[tokio::test]
    async fn a_full_window_waits() {
        let session = Session::new(RealmId::default(), PublicKey::default(), 1);
        let mut held: Vec<Numbers> = (0..4).map(|_| session.try_take(256).unwrap()).collect();
        let mut waiting = std::pin::pin!(session.take(1));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        held.pop();
        assert!(futures::poll!(waiting.as_mut()).is_pending(), "the lowest is still in flight");
        held.remove(0);
        assert_eq!(waiting.await.sequence, 1024);
    }
}
