//! Where two nodes part: their chains after each entry, compared.

use crate::{halt::internal, realm::Core};
use althing_protocol::Result;
use althing_state::Fingerprint;
use std::{future::Future, ops::RangeInclusive};

/// The first entry after which two nodes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Its index.
    pub(crate) index: u64,
    /// Whether both are known to agree right before it. If not, one of them does not know its chains
    /// of before any more, and they may have parted earlier.
    pub(crate) is_first: bool,
    /// This node's chains after it.
    pub(crate) own: Fingerprint,
    /// The other node's.
    pub(crate) theirs: Fingerprint,
}

impl Core {
    /// Both chains after the entry at `index`; none when it is not applied here, or its result not
    /// kept. A realm that stopped answers too.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn fingerprint(&self, index: u64) -> Result<Option<Fingerprint>> {
        self.store.view().fingerprint(index).map_err(internal)
    }
}

/// Finds the first entry of `range` after which `own` and what `ask` says differ, by asking about
/// as many entries as the range's length has binary digits. None when nothing is seen to differ.
///
/// Chains that part stay apart. Of a node, the older entries may be unknown: of those the search
/// learns nothing, and goes on behind them.
///
/// # Errors
/// The first that `own` or `ask` gives.
pub(crate) async fn first_difference<F>(
    range: RangeInclusive<u64>,
    own: impl Fn(u64) -> Result<Option<Fingerprint>>,
    mut ask: impl FnMut(u64) -> F,
) -> Result<Option<Difference>>
where
    F: Future<Output = Result<Option<Fingerprint>>>,
{
    // All before `next` agree or are unknown; `found` and all behind it differ.
    let (mut next, mut end) = (*range.start(), range.end().saturating_add(1));
    let mut found: Option<Difference> = None;
    let mut agreed = None;
    while next < end {
        let index = next + (end - next) / 2;
        let own = own(index)?;
        let theirs = match own {
            Some(_) => ask(index).await?,
            None => None,
        };
        match (own, theirs) {
            (Some(own), Some(theirs)) if own != theirs => {
                found = Some(Difference { index, is_first: false, own, theirs });
                end = index;
            }
            (Some(_), Some(_)) => {
                agreed = Some(index);
                next = index + 1;
            }
            _ => next = index + 1,
        }
    }
    Ok(found.map(|found| {
        let before = found.index.checked_sub(1);
        Difference { is_first: agreed.is_some() && agreed == before, ..found }
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Hash;
    use futures::executor::block_on;
    use proptest::prelude::*;

    /// A node with chains after entries of a range, which go another way from one of them on.
    #[derive(Clone, Copy, Debug)]
    struct Node {
        first: u64,
        last: u64,
        parts_at: u64,
    }

    impl Node {
        fn fingerprint(&self, index: u64) -> Option<Fingerprint> {
            let way = u64::from(index >= self.parts_at);
            let hash = |what: u64| Hash::of(&[index, what].map(u64::to_le_bytes).concat());
            let known = (self.first..=self.last).contains(&index);
            known.then(|| Fingerprint { entry_chain: hash(7), result_chain: hash(way) })
        }
    }

    fn search(range: RangeInclusive<u64>, own: Node, other: Node) -> (Option<Difference>, u32) {
        let mut asked = 0;
        let found = first_difference(
            range,
            |index| Ok(own.fingerprint(index)),
            |index| {
                asked += 1;
                std::future::ready(Ok(other.fingerprint(index)))
            },
        );
        (block_on(found).unwrap(), asked)
    }

    proptest! {
        #[test]
        fn it_is_the_first_that_both_know(
            first in 0..300_u64,
            forgotten in [0..200_u64, 0..200_u64],
            length in 1..2_000_u64,
            parts_at in 0..2_500_u64,
        ) {
            let last = first + length;
            let own = Node { first: first + forgotten[0], last, parts_at: u64::MAX };
            let other = Node { first: first + forgotten[1], last, parts_at };
            let (found, asked) = search(first..=last, own, other);
            prop_assert!(asked <= 12, "{asked} questions about {length} entries");
            let known = own.first.max(other.first);
            let expected = known.max(parts_at);
            if expected > last {
                prop_assert_eq!(found, None);
            } else {
                let found = found.unwrap();
                prop_assert_eq!(found.index, expected);
                prop_assert_eq!(found.is_first, parts_at > known);
                prop_assert_eq!(found.own.entry_chain, found.theirs.entry_chain);
                prop_assert_eq!(Some(found.own), own.fingerprint(expected));
                prop_assert_eq!(Some(found.theirs), other.fingerprint(expected));
            }
        }
    }

    #[test]
    fn the_ends_of_all_numbers() {
        let node = |parts_at| Node { first: 0, last: u64::MAX, parts_at };
        let (found, _) = search(0..=u64::MAX - 1, node(u64::MAX), node(u64::MAX - 1));
        assert_eq!(found.unwrap().index, u64::MAX - 1);
        let (found, _) = search(0..=u64::MAX - 1, node(u64::MAX), node(0));
        assert_eq!(found.map(|found| (found.index, found.is_first)), Some((0, false)));
        #[allow(clippy::reversed_empty_ranges)]
        let nothing = search(5..=4, node(u64::MAX), node(0));
        assert_eq!(nothing, (None, 0));
    }
}
