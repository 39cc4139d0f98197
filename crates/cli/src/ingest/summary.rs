//! What an ingest did.

use super::{diff::Change, walk::Problem};
use crate::output::{fields, number};
use serde::Serialize;
use std::time::Duration;

/// Problems that are named in the summary; the rest is counted.
const PROBLEMS_NAMED_MAX: usize = 100;

/// What an ingest did, or with `dry_run` would do.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub root: String,
    pub prefix: String,
    pub dry_run: bool,
    /// Whether tagger got its batches.
    pub tagged: bool,
    pub scanned: u64,
    pub added: u64,
    pub changed: u64,
    pub deleted: u64,
    pub unchanged: u64,
    pub errors: u64,
    pub seconds: f64,
    /// The first of the errors.
    pub problems: Vec<Problem>,
}

impl Summary {
    pub(crate) fn count(&mut self, change: &Change) {
        let counter = match change {
            Change::Added(_) => &mut self.added,
            Change::Changed(_) => &mut self.changed,
            Change::Unchanged(_) => &mut self.unchanged,
            Change::Deleted(_) => {
                self.deleted += 1;
                return;
            }
            Change::Withheld => return,
            Change::Problem(problem) => {
                self.errors += 1;
                if self.problems.len() < PROBLEMS_NAMED_MAX {
                    self.problems.push(problem.clone());
                }
                return;
            }
        };
        *counter += 1;
        self.scanned += 1;
    }

    pub(crate) fn took(&mut self, time: Duration) {
        self.seconds = (time.as_secs_f64() * 1_000.0).round() / 1_000.0;
    }

    /// Whether the realm is as it was.
    pub(crate) fn is_idle(&self) -> bool {
        self.added + self.changed + self.deleted + self.errors == 0
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let rate = self.scanned as f64 / self.seconds.max(0.001);
        let pairs = [
            (
                "scanned",
                format!("{}  ({:.1} s, {:.0} a second)", number(self.scanned), self.seconds, rate),
            ),
            ("added", number(self.added)),
            ("changed", number(self.changed)),
            ("deleted", number(self.deleted)),
            ("unchanged", number(self.unchanged)),
            ("errors", number(self.errors)),
        ];
        let mut text = fields(&pairs);
        if self.dry_run {
            text.push_str("\n(nothing was sent)");
        }
        text
    }

    /// For people, on one line.
    pub(crate) fn line(&self) -> String {
        let Self { added, changed, deleted, errors, .. } = self;
        format!("added {added}, changed {changed}, deleted {deleted}, errors {errors}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_counted_and_the_first_named() {
        let mut summary = Summary::default();
        for n in 0..PROBLEMS_NAMED_MAX + 5 {
            summary.count(&Change::Problem(Problem { path: n.to_string(), reason: "no".into() }));
        }
        assert_eq!(summary.errors, PROBLEMS_NAMED_MAX as u64 + 5);
        assert_eq!(summary.problems.len(), PROBLEMS_NAMED_MAX);
        assert_eq!(summary.scanned, 0);
        assert!(!summary.is_idle());
    }
}
