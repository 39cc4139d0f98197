//! A session of the signer: which sequence numbers are used, and that not too many are in flight.

use althing_protocol::{Batch, PublicKey, RealmId, SecretKey, limits, sign, v1};
use std::{
    collections::{BTreeMap, BTreeSet},
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

/// Which sequence numbers are used.
///
/// The numbers in flight never span more than the outcomes that the realm keeps, so what is sent
/// again always finds its outcome; and none is further ahead of a decided one than the realm
/// accepts. Numbers that were surely refused are used again, or enough refusals would leave the
/// realm behind for good.
struct Window {
    next: u64,
    /// The highest that is decided, as far as we know.
    decided: u64,
    in_flight: BTreeSet<u64>,
    /// Ranges above `decided` that nothing came of: first number to the one after the last.
    refused: BTreeMap<u64, u64>,
    /// Whether it is unknown what came of a number: it may be decided yet.
    has_gap: bool,
}

impl Window {
    fn take(&mut self, count: u64) -> Option<u64> {
        let end = self.next + count;
        let lowest = self.in_flight.first().copied().unwrap_or(self.next);
        if end - lowest > limits::SESSION_WINDOW || end - self.decided > limits::SESSION_WINDOW + 1
        {
            return None;
        }
        let sequence = self.next;
        self.next = end;
        self.in_flight.insert(sequence);
        Some(sequence)
    }

    fn settle(&mut self, sequence: u64, end: u64, fate: Fate) {
        self.in_flight.remove(&sequence);
        if fate == Fate::Refused {
            self.refused.insert(sequence, end);
        } else {
            self.has_gap |= fate == Fate::Unknown;
            self.decided = self.decided.max(end - 1);
            self.refused = self.refused.split_off(&(self.decided + 1));
        }
        while let Some(last) = self.refused.last_entry().filter(|last| *last.get() == self.next) {
            self.next = last.remove_entry().0;
        }
    }
}

/// What came of sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They have outcomes.
    Decided,
    /// The node refused them whenever they came, so they have none.
    Refused,
    /// Nobody told us.
    Unknown,
}

/// Sequence numbers in flight. If they are dropped, their fate is unknown.
pub(crate) struct Numbers {
    session: Arc<Session>,
    pub(crate) sequence: u64,
    end: u64,
    fate: Fate,
}

impl Numbers {
    pub(crate) fn settle(mut self, fate: Fate) {
        self.fate = fate;
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        self.session.window().settle(self.sequence, self.end, self.fate);
        self.session.freed.notify_waiters();
    }
}

impl Session {
    pub(crate) fn new(realm: RealmId, author: PublicKey, number: u64) -> Arc<Self> {
        let window = Window {
            next: 1,
            decided: 0,
            in_flight: BTreeSet::new(),
            refused: BTreeMap::new(),
            has_gap: false,
        };
        let window = Mutex::new(window);
        Arc::new(Self { realm, author, number, window, freed: Notify::new() })
    }

    /// Whether it is unknown what came of a number. What is new then belongs into a new session.
    pub(crate) fn has_gap(&self) -> bool {
        self.window().has_gap
    }

    /// The next `count` numbers, if the window has room.
    pub(crate) fn try_take(self: &Arc<Self>, count: usize) -> Option<Numbers> {
        let sequence = self.window().take(count as u64)?;
        let end = sequence + count as u64;
        Some(Numbers { session: Arc::clone(self), sequence, end, fate: Fate::Unknown })
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

    fn session() -> Arc<Session> {
        Session::new(RealmId::default(), PublicKey::default(), 1)
    }

    proptest! {
        /// A model of the realm's rules accepts every number that is taken, in any order of
        /// sending and of answers, and there is always room once nothing is in flight.
        #[test]
        fn the_realm_accepts_every_number(
            steps in prop::collection::vec(
                (1..=256usize, any::<prop::sample::Index>(), 0..4u8), 1..300,
            ),
        ) {
            let session = session();
            let mut held: Vec<Numbers> = Vec::new();
            let mut decided: BTreeSet<u64> = BTreeSet::new();
            for (count, index, step) in steps {
                if step < 2 && !held.is_empty() {
                    let numbers = held.remove(index.index(held.len()));
                    if step == 0 {
                        numbers.settle(Fate::Refused);
                        continue;
                    }
                    let highest = decided.last().copied().unwrap_or(0);
                    for sequence in numbers.sequence..numbers.end {
                        prop_assert!(sequence <= highest + limits::SESSION_WINDOW);
                        prop_assert!(sequence + limits::SESSION_WINDOW > highest);
                        prop_assert!(decided.insert(sequence), "{sequence} was used twice");
                    }
                    numbers.settle(Fate::Decided);
                    continue;
                }
                match session.try_take(count) {
                    Some(numbers) => held.push(numbers),
                    None => prop_assert!(!held.is_empty()),
                }
            }
            prop_assert!(!session.has_gap());
        }
    }

    #[test]
    fn refusals_leave_no_gap() {
        let session = session();
        for _ in 0..2 * limits::SESSION_WINDOW {
            let numbers = session.try_take(1).unwrap();
            assert_eq!(numbers.sequence, 1);
            numbers.settle(Fate::Refused);
        }
        let [first, second] = [1, 2].map(|_| session.try_take(1).unwrap());
        first.settle(Fate::Refused);
        second.settle(Fate::Decided);
        assert_eq!(session.try_take(1).unwrap().sequence, 3);
        assert!(session.has_gap(), "that one was dropped");
    }

    #[tokio::test]
    async fn a_full_window_waits() {
        let session = session();
        let mut held: Vec<Numbers> = (0..4).map(|_| session.try_take(256).unwrap()).collect();
        let mut waiting = std::pin::pin!(session.take(1));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        held.remove(3).settle(Fate::Decided);
        assert!(futures::poll!(waiting.as_mut()).is_pending(), "the lowest is still in flight");
        held.remove(0).settle(Fate::Decided);
        assert_eq!(waiting.await.sequence, 1025);
    }
}
