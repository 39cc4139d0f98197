//! Where a scope has found nothing but deleted keys.
//!
//! A scan steps over every deleted key that is still in memory, which costs time and, for who asked,
//! no more than a scan that finds something at once. So a scope remembers the long stretches that it
//! stepped over, and jumps over them the next time: however often they are scanned, they are walked
//! once. What it knows holds only for what it sees: its view, which never changes, and its own writes,
//! which split a stretch where they fall.

use crate::Order;
use std::{collections::BTreeMap, ops::Bound};

/// Deleted keys in a row that are worth remembering.
pub(crate) const STEPS_MIN: usize = 16;
/// Stretches remembered; beyond that it begins anew.
const GAPS_MAX: usize = 4_096;

/// Stretches of whole keys without a live one: from a key on, up to another, which do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Gaps(BTreeMap<Vec<u8>, Vec<u8>>);

impl Gaps {
    /// The stretch that holds `key`.
    pub(crate) fn around(&self, key: &[u8]) -> Option<(&[u8], &[u8])> {
        let below = (Bound::Unbounded, Bound::Included(key));
        let (start, end) = self.0.range::<[u8], _>(below).next_back()?;
        (key < end.as_slice()).then_some((start, end))
    }

    /// There is nothing from `start` on, up to `end`.
    pub(crate) fn add(&mut self, mut start: Vec<u8>, mut end: Vec<u8>) {
        if start >= end {
            return;
        }
        if self.0.len() >= GAPS_MAX {
            self.0.clear();
        }
        // Those that touch it become one with it.
        let up_to_end = (Bound::Unbounded, Bound::Included(end.as_slice()));
        let touching = self.0.range::<[u8], _>(up_to_end).rev();
        let touching = touching.take_while(|(_, their_end)| **their_end >= start);
        let touching: Vec<Vec<u8>> = touching.map(|(their_start, _)| their_start.clone()).collect();
        for their_start in touching {
            end = self.0.remove(&their_start).into_iter().fold(end, Vec::max);
            start = start.min(their_start);
        }
        self.0.insert(start, end);
    }

    /// There may be something at `key`.
    pub(crate) fn split(&mut self, key: &[u8]) {
        let Some((start, end)) = self.around(key) else { return };
        let (start, end) = (start.to_vec(), end.to_vec());
        self.0.remove(&start);
        let after = after(key);
        if start.as_slice() < key {
            self.0.insert(start, key.to_vec());
        }
        if after < end {
            self.0.insert(after, end);
        }
    }
}

/// The least key after `key`.
pub(crate) fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// Deleted keys in a row, as a scan steps over them.
#[derive(Debug)]
pub(crate) struct Run {
    first: Vec<u8>,
    steps: usize,
}

impl Run {
    pub(crate) fn new(first: &[u8]) -> Self {
        Self { first: first.to_vec(), steps: 0 }
    }

    pub(crate) fn step(&mut self) {
        self.steps += 1;
    }

    /// It ended before the live key `last`.
    pub(crate) fn end_at(self, last: &[u8], order: Order, gaps: &mut Gaps) {
        if self.steps < STEPS_MIN {
            return;
        }
        match order {
            Order::Ascending => gaps.add(self.first, last.to_vec()),
            Order::Descending => gaps.add(after(last), after(&self.first)),
        }
    }

    /// It went on to the end of the scan: up to, or down to, the bound `end`.
    pub(crate) fn end_with(self, end: Bound<&[u8]>, order: Order, gaps: &mut Gaps) {
        if self.steps < STEPS_MIN {
            return;
        }
        match (order, end) {
            (_, Bound::Unbounded) => {}
            (Order::Ascending, Bound::Included(end)) => gaps.add(self.first, after(end)),
            (Order::Ascending, Bound::Excluded(end)) => gaps.add(self.first, end.to_vec()),
            (Order::Descending, Bound::Included(end)) => gaps.add(end.to_vec(), after(&self.first)),
            (Order::Descending, Bound::Excluded(end)) => gaps.add(after(end), after(&self.first)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(of: &[(&str, &str)]) -> Gaps {
        let mut gaps = Gaps::default();
        for (start, end) in of {
            gaps.add(start.as_bytes().to_vec(), end.as_bytes().to_vec());
        }
        gaps
    }

    fn shown(gaps: &Gaps) -> String {
        let of = |(start, end): (&Vec<u8>, &Vec<u8>)| {
            format!("{}..{}", start.escape_ascii(), end.escape_ascii())
        };
        gaps.0.iter().map(of).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_touches_becomes_one() {
        for (of, one) in [
            (&[("b", "d"), ("f", "h")][..], "b..d f..h"),
            (&[("b", "d"), ("d", "h")], "b..h"),
            (&[("b", "d"), ("f", "h"), ("c", "g")], "b..h"),
            (&[("b", "h"), ("c", "d")], "b..h"),
            (&[("c", "d"), ("f", "g"), ("a", "z")], "a..z"),
            (&[("f", "h"), ("b", "f")], "b..h"),
            (&[("b", "b"), ("d", "c")], ""),
        ] {
            assert_eq!(shown(&gaps(of)), one);
        }
    }

    #[test]
    fn a_key_splits() {
        for (at, parts) in
            [("a", "b..f"), ("b", "b\\x00..f"), ("c", "b..c c\\x00..f"), ("f", "b..f")]
        {
            let mut gaps = gaps(&[("b", "f")]);
            gaps.split(at.as_bytes());
            assert_eq!(shown(&gaps), parts, "{at}");
            assert!(gaps.around(at.as_bytes()).is_none());
        }
    }

    #[test]
    fn it_is_bounded() {
        let mut gaps = Gaps::default();
        for n in 0..10_000_u32 {
            gaps.add(n.to_be_bytes().to_vec(), after(&n.to_be_bytes()));
        }
        assert!(gaps.0.len() <= GAPS_MAX);
    }
}
