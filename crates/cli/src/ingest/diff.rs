//! What differs between a tree and what the realm holds of it: a merge of two streams in key order,
//! which holds one item of each.

use super::walk::{Problem, Record, Walked};
use althing_protocol::{Error, Result};
use futures::{Stream, StreamExt as _, stream::Peekable};
use std::{cmp::Ordering, pin::Pin};

/// A pair that the realm holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// One step of the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// In the tree only.
    Added(Record),
    /// In both, and not the same.
    Changed(Record),
    /// In the realm only.
    Deleted(Vec<u8>),
    /// In both, and the same.
    Unchanged(Record),
    /// In the realm, and the tree could not be asked: left as it is.
    Withheld,
    /// A file that could not be taken.
    Problem(Problem),
}

/// The comparison. Both streams must be in ascending order of keys, without repetition.
pub(crate) struct Diff<W: Stream, K: Stream> {
    walked: Pin<Box<Peekable<W>>>,
    kept: Pin<Box<Peekable<K>>>,
    /// What the tree could not tell about: a key, or all below it where it ends with a slash.
    unreadable: Option<String>,
    order: Order,
}

/// The last key of each side. A side out of order would have us delete what is there.
#[derive(Default)]
struct Order {
    walked: Option<String>,
    kept: Option<Vec<u8>>,
}

impl<W: Stream<Item = Walked>, K: Stream<Item = Result<Kept>>> Diff<W, K> {
    pub(crate) fn new(walked: W, kept: K) -> Self {
        Self {
            walked: Box::pin(walked.peekable()),
            kept: Box::pin(kept.peekable()),
            unreadable: None,
            order: Order::default(),
        }
    }

    /// The next step; `None` once both sides are through.
    ///
    /// # Errors
    /// Those of the realm's side, and `internal` when it is not in order.
    ///
    /// # Panics
    /// When the tree's side is not in order.
    pub(crate) async fn next(&mut self) -> Result<Option<Change>> {
        loop {
            let kept = match self.kept.as_mut().peek().await {
                Some(Ok(kept)) => Some(kept.key.as_slice()),
                Some(Err(e)) => return Err(e.clone()),
                None => None,
            };
            let order =
                match (self.walked.as_mut().peek().await, kept) {
                    (None, None) => return Ok(None),
                    (None, Some(_)) => Ordering::Greater,
                    (Some(Walked::Skipped(_)), _) | (Some(_), None) => Ordering::Less,
                    (Some(Walked::Found(record)), Some(kept)) => record.key.as_bytes().cmp(kept),
                    // It speaks about what follows, so what comes before is decided first.
                    (Some(Walked::Unreadable { key, .. }), Some(kept)) => {
                        if key.as_bytes() <= kept { Ordering::Less } else { Ordering::Greater }
                    }
                };
            let step = match order {
                Ordering::Less => self.only_walked().await,
                Ordering::Equal => self.both().await?,
                Ordering::Greater => self.only_kept().await?,
            };
            if step.is_some() {
                return Ok(step);
            }
        }
    }

    async fn only_walked(&mut self) -> Option<Change> {
        Some(match self.walked.next().await? {
            Walked::Found(record) => {
                self.order.walked(&record.key);
                Change::Added(record)
            }
            Walked::Skipped(problem) => Change::Problem(problem),
            Walked::Unreadable { key, problem } => {
                if !self.unreadable.as_deref().is_some_and(|known| covers(known, key.as_bytes())) {
                    self.unreadable = Some(key);
                }
                Change::Problem(problem)
            }
        })
    }

    async fn both(&mut self) -> Result<Option<Change>> {
        let Some(Walked::Found(record)) = self.walked.next().await else { return Ok(None) };
        self.order.walked(&record.key);
        let Some(kept) = self.next_kept().await? else { return Ok(None) };
        let same = kept.value == record.value;
        Ok(Some(if same { Change::Unchanged(record) } else { Change::Changed(record) }))
    }

    async fn only_kept(&mut self) -> Result<Option<Change>> {
        let Some(kept) = self.next_kept().await? else { return Ok(None) };
        let withheld = self.unreadable.as_deref().is_some_and(|known| covers(known, &kept.key));
        Ok(Some(if withheld { Change::Withheld } else { Change::Deleted(kept.key) }))
    }

    async fn next_kept(&mut self) -> Result<Option<Kept>> {
        let Some(kept) = self.kept.next().await.transpose()? else { return Ok(None) };
        self.order.kept(&kept.key)?;
        Ok(Some(kept))
    }
}

impl Order {
    fn walked(&mut self, key: &str) {
        assert!(self.walked.as_deref() < Some(key), "files out of order: {key}");
        self.walked = Some(key.to_owned());
    }

    fn kept(&mut self, key: &[u8]) -> Result<()> {
        if self.kept.as_deref() >= Some(key) {
            return Err(Error::internal(format!(
                "list of the realm: key {} is out of order; nothing after it was compared",
                key.escape_ascii()
            )));
        }
        self.kept = Some(key.to_owned());
        Ok(())
    }
}

fn covers(unreadable: &str, key: &[u8]) -> bool {
    let unreadable = unreadable.as_bytes();
    if unreadable.ends_with(b"/") { key.starts_with(unreadable) } else { key == unreadable }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::walk::{File, FileKind};
    use super::*;
    use futures::{executor::block_on, stream};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn record(key: &str, value: u8) -> Record {
        let file =
            File { path: key.into(), kind: FileKind::File, size: 0, modified_us: 0, mode: 0 };
        Record { key: key.into(), value: vec![value], file }
    }

    fn found(key: &str, value: u8) -> Walked {
        Walked::Found(record(key, value))
    }

    fn unreadable(key: &str) -> Walked {
        Walked::Unreadable { key: key.into(), problem: problem(key) }
    }

    fn problem(path: &str) -> Problem {
        Problem { path: path.into(), reason: "no".into() }
    }

    fn kept(key: &str, value: u8) -> Result<Kept> {
        Ok(Kept { key: key.into(), value: vec![value] })
    }

    fn diff(walked: Vec<Walked>, kept: Vec<Result<Kept>>) -> Result<Vec<Change>> {
        block_on(async {
            let mut diff = Diff::new(stream::iter(walked), stream::iter(kept));
            let mut changes = Vec::new();
            while let Some(change) = diff.next().await? {
                changes.push(change);
            }
            Ok(changes)
        })
    }

    fn deleted(key: &str) -> Change {
        Change::Deleted(key.into())
    }

    #[test]
    fn what_could_not_be_read_is_not_deleted() {
        let walked = vec![found("a/", 1), unreadable("a/"), unreadable("b"), found("d", 1)];
        let realm = vec![
            kept("a/", 1),
            kept("a/x", 1),
            kept("a0", 1),
            kept("b", 1),
            kept("b.c", 1),
            kept("c", 1),
        ];
        assert_eq!(
            diff(walked, realm).unwrap(),
            [
                Change::Unchanged(record("a/", 1)),
                Change::Problem(problem("a/")),
                Change::Withheld,
                deleted("a0"),
                Change::Problem(problem("b")),
                Change::Withheld,
                deleted("b.c"),
                deleted("c"),
                Change::Added(record("d", 1)),
            ]
        );
    }

    #[test]
    fn an_unreadable_top_covers_all_below_it_for_good() {
        let walked = vec![unreadable("/"), unreadable("/a/"), found("/c", 1)];
        let realm = vec![kept("/a/x", 1), kept("/b", 1), kept("/d", 1)];
        let changes = diff(walked, realm).unwrap();
        assert!(!changes.iter().any(|change| matches!(change, Change::Deleted(_))), "{changes:?}");
    }

    #[test]
    fn a_failing_realm_ends_the_comparison() {
        let error = Error::unavailable("gone");
        assert_eq!(diff(vec![found("a", 1)], vec![Err(error.clone())]), Err(error));
    }

    #[test]
    fn a_realm_out_of_order_is_refused() {
        let error = diff(vec![], vec![kept("b", 1), kept("a", 1)]).unwrap_err();
        assert_eq!(error.kind, althing_protocol::Kind::Internal);
    }

    #[test]
    #[should_panic(expected = "out of order")]
    fn a_tree_out_of_order_is_refused() {
        let _ = diff(vec![found("b", 1), found("a", 1)], vec![]);
    }

    fn sides() -> impl Strategy<Value = BTreeMap<String, u8>> {
        proptest::collection::btree_map("[a-c./]{1,3}", 0u8..3, 0..24)
    }

    proptest! {
        #[test]
        fn applying_the_changes_makes_the_realm_the_tree(tree in sides(), realm in sides()) {
            let walked = tree.iter().map(|(key, value)| found(key, *value)).collect();
            let pairs = realm.iter().map(|(key, value)| kept(key, *value)).collect();
            let mut result = realm.clone();
            let mut touched = BTreeSet::new();
            for change in diff(walked, pairs).unwrap() {
                let key = match change {
                    Change::Added(r) => {
                        prop_assert_eq!(result.insert(r.key.clone(), r.value[0]), None);
                        r.key
                    }
                    Change::Changed(r) => {
                        prop_assert_ne!(result.insert(r.key.clone(), r.value[0]), Some(r.value[0]));
                        r.key
                    }
                    Change::Deleted(key) => {
                        let key = String::from_utf8(key).unwrap();
                        prop_assert!(result.remove(&key).is_some());
                        key
                    }
                    Change::Unchanged(r) => {
                        prop_assert_eq!(result.get(&r.key), Some(&r.value[0]));
                        r.key
                    }
                    other => return Err(TestCaseError::fail(format!("{other:?}"))),
                };
                prop_assert!(touched.insert(key), "a key twice");
            }
            prop_assert_eq!(result, tree);
        }
    }
}
