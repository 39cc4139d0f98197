//! What guests write to their logs: in memory, bounded, on this node only, gone with a restart.

use althing_machine::LogLine;
use althing_protocol::v1;
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// Lines kept per program.
const LINES_MAX: usize = 1_000;
/// Text kept per program, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// A line of a program's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoggedLine {
    /// Counts the lines of this program since the node started; asks for what comes after.
    pub number: u64,
    /// Index of the entry that wrote it; for a query, of the state that was asked.
    pub index: u64,
    /// The actor that wrote it, when the program is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The text.
    pub text: String,
}

#[derive(Debug, Default)]
struct Ring {
    next: u64,
    bytes: usize,
    lines: VecDeque<LoggedLine>,
}

/// The logs of all programs.
#[derive(Debug, Default)]
pub(crate) struct Logs(Mutex<BTreeMap<String, Ring>>);

impl Logs {
    pub(crate) fn extend(&self, lines: Vec<LogLine>) {
        if lines.is_empty() {
            return;
        }
        let mut rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines {
            let LogLine { index, program, actor, level, text } = line;
            rings.entry(program).or_default().push(index, actor, level, text);
        }
    }

    /// Lines of `program` with a number above `after`, oldest first.
    pub(crate) fn read(&self, program: &str, after: u64, limit: usize) -> Vec<LoggedLine> {
        self.read_where(program, after, limit, |_| true)
    }

    /// Those of them that an actor wrote since it was made: there may have been another one of its id.
    pub(crate) fn read_actor(
        &self,
        actor: &v1::ActorInfo,
        after: u64,
        limit: usize,
    ) -> Vec<LoggedLine> {
        let v1::ActorInfo { program, actor, spawned, .. } = actor;
        let is_own =
            |line: &LoggedLine| line.actor.as_ref() == Some(actor) && line.index >= *spawned;
        self.read_where(program, after, limit, is_own)
    }

    fn read_where(
        &self,
        program: &str,
        after: u64,
        limit: usize,
        is_wanted: impl Fn(&LoggedLine) -> bool,
    ) -> Vec<LoggedLine> {
        let rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = rings.get(program).map(|ring| ring.lines.iter());
        lines
            .into_iter()
            .flatten()
            .filter(|line| line.number > after && is_wanted(line))
            .take(limit)
            .cloned()
            .collect()
    }
}

impl Ring {
    fn push(&mut self, index: u64, actor: Option<String>, level: &str, text: String) {
        self.next += 1;
        self.bytes += text.len();
        let line = LoggedLine { number: self.next, index, actor, level: level.to_owned(), text };
        self.lines.push_back(line);
        while self.lines.len() > LINES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_go_first() {
        let logs = Logs::default();
        let line = |n: u64| LogLine {
            index: n,
            program: "p".into(),
            actor: None,
            level: "info",
            text: "x".repeat(if n == 2_000 { BYTES_MAX - 10 } else { 10 }),
        };
        logs.extend((0..1_500).map(line).collect());
        let kept = logs.read("p", 0, usize::MAX);
        assert_eq!(kept.len(), LINES_MAX);
        assert_eq!(kept[0].number, 501);
        logs.extend(vec![line(2_000)]);
        assert_eq!(logs.read("p", 0, usize::MAX).len(), 2, "bounded by bytes too");
        assert!(logs.read("q", 0, 10).is_empty());
    }
    #[test]
    fn an_actor_has_its_own_lines() {
        let logs = Logs::default();
        let line = |actor: &str, n: u64| LogLine {
            index: n,
            program: "p".into(),
            actor: Some(actor.into()),
            level: "info",
            text: actor.into(),
        };
        logs.extend((0..10).map(|n| line(if n % 2 == 0 { "a" } else { "b" }, n)).collect());
        let numbers = |program: &str, spawned, after| {
            let (program, actor) = (program.to_owned(), "b".to_owned());
            let info = v1::ActorInfo { program, actor, spawned, ..v1::ActorInfo::default() };
            let lines = logs.read_actor(&info, after, 3);
            lines.into_iter().map(|line| line.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers("p", 0, 0), [2, 4, 6]);
        assert_eq!(numbers("p", 0, 6), [8, 10]);
        assert_eq!(numbers("p", 5, 0), [6, 8, 10], "its lines begin with entry 5");
        assert!(numbers("q", 0, 0).is_empty());
        assert_eq!(logs.read("p", 0, 99).len(), 10);
    }
}
