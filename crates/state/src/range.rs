//! Which keys a scan looks at, and which way it goes.

use crate::Key;
use std::ops::Bound;

/// The direction of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// From the least key on.
    #[default]
    Ascending,
    /// From the greatest key back.
    Descending,
}

/// Keys of one keyspace: those with a prefix, between two ends.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// What they begin with. Empty: all of them.
    pub prefix: &'a [u8],
    /// Where they begin. It may lie outside of what has the prefix.
    pub start: Bound<&'a [u8]>,
    /// Where they end. It may lie outside of what has the prefix, or before the start.
    pub end: Bound<&'a [u8]>,
    /// Which way to go.
    pub order: Order,
}

impl<'a> Range<'a> {
    /// All keys with `prefix`, ascending.
    pub fn of_prefix(prefix: &'a [u8]) -> Self {
        let (start, end) = (Bound::Unbounded, Bound::Unbounded);
        Self { prefix, start, end, order: Order::Ascending }
    }

    /// As whole keys, or `None` when no key can lie in it.
    pub(crate) fn within(&self, keyspace: &str) -> Option<Span> {
        let whole = |key: &[u8]| Key::new(keyspace, key).as_bytes().to_vec();
        let first = whole(self.prefix);
        // Exists for every prefix: the zero byte after the keyspace can be incremented at least.
        let beyond = successor(&first);
        let low = match self.start.map(whole) {
            Bound::Included(key) if key > first => Bound::Included(key),
            Bound::Excluded(key) if key >= first => Bound::Excluded(key),
            _ => Bound::Included(first),
        };
        let high = match self.end.map(whole) {
            Bound::Included(key) if key < beyond => Bound::Included(key),
            Bound::Excluded(key) if key < beyond => Bound::Excluded(key),
            _ => Bound::Excluded(beyond),
        };
        holds_some(&low, &high).then_some(Span { low, high, order: self.order })
    }
}

fn holds_some(low: &Bound<Vec<u8>>, high: &Bound<Vec<u8>>) -> bool {
    match (low, high) {
        (Bound::Included(low), Bound::Included(high)) => low <= high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high)) => low < high,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
    }
}

/// The least string after all those that begin with `prefix`, which has a byte below 255.
fn successor(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|byte| *byte < u8::MAX).map_or(0, |at| at + 1);
    let mut next = prefix[..kept].to_vec();
    if let Some(last) = next.last_mut() {
        *last += 1;
    }
    next
}

/// A range of whole keys that is not empty, as maps and tables want it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    low: Bound<Vec<u8>>,
    high: Bound<Vec<u8>>,
    pub(crate) order: Order,
}

impl Span {
    /// Every key of every keyspace, ascending.
    pub(crate) fn everything() -> Self {
        Self { low: Bound::Unbounded, high: Bound::Unbounded, order: Order::Ascending }
    }

    /// Goes on beyond a stretch that holds nothing. False when nothing is left.
    pub(crate) fn jump(&mut self, (start, end): (&[u8], &[u8])) -> bool {
        match self.order {
            Order::Ascending => self.low = Bound::Included(end.to_vec()),
            Order::Descending => self.high = Bound::Excluded(start.to_vec()),
        }
        holds_some(&self.low, &self.high)
    }

    /// The bound that it goes towards.
    pub(crate) fn end(&self) -> Bound<&[u8]> {
        match self.order {
            Order::Ascending => self.bounds().1,
            Order::Descending => self.bounds().0,
        }
    }

    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.low.as_ref().map(Vec::as_slice), self.high.as_ref().map(Vec::as_slice))
    }
}
