//! What an instruction may know about itself.

use crate::LogLine;
use althing_protocol::{Error, Hash, PublicKey, Result, limits, v1};

/// Where, when and on whose authority an instruction runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Who signed it.
    pub author: PublicKey,
    /// Index of its entry.
    pub index: u64,
    /// Its place among the instructions of the entry.
    pub position: u32,
    /// The log's clock: microseconds since the Unix epoch, never going back.
    pub timestamp_us: u64,
    /// 32 bytes that nobody could know before the entry was proposed.
    pub seed: [u8; 32],
}

/// Events of one instruction, within their limits.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) list: Vec<v1::Event>,
    pub(crate) bytes: usize,
}

/// How far the events are, to go back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventsMark {
    count: usize,
    bytes: usize,
}

impl Events {
    pub(crate) fn mark(&self) -> EventsMark {
        EventsMark { count: self.list.len(), bytes: self.bytes }
    }

    /// Drops what was emitted since `mark`.
    pub(crate) fn rewind(&mut self, mark: EventsMark) {
        self.list.truncate(mark.count);
        self.bytes = mark.bytes;
    }

    /// Adds an event.
    ///
    /// # Errors
    /// `invalid` for a bad topic; `exhausted` when the instruction emitted too much.
    pub(crate) fn emit(&mut self, program: &str, topic: &str, data: &[u8]) -> Result<()> {
        if topic.is_empty() || topic.len() > limits::TOPIC_BYTES_MAX {
            return Err(Error::invalid(format!(
                "topic of an event: {} bytes, wants 1 to {}",
                topic.len(),
                limits::TOPIC_BYTES_MAX
            )));
        }
        let bytes = self.bytes + topic.len() + data.len();
        if self.list.len() >= limits::EVENTS_MAX || bytes > limits::OUTCOME_BYTES_MAX / 2 {
            return Err(Error::exhausted(format!(
                "events of the instruction: the limits are {} events and {} bytes",
                limits::EVENTS_MAX,
                limits::OUTCOME_BYTES_MAX / 2
            )));
        }
        self.bytes = bytes;
        let event =
            v1::Event { program: program.to_owned(), topic: topic.to_owned(), data: data.to_vec() };
        self.list.push(event);
        Ok(())
    }
}

/// Lines that the programs of one instruction logged, bounded for all of them together.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    lines: Vec<LogLine>,
    bytes: usize,
    /// Lines that did not fit.
    pub(crate) dropped: u32,
}

impl Logs {
    pub(crate) fn add(&mut self, line: LogLine) {
        // Its end counts too, so that empty ones are bounded.
        let bytes = self.bytes + line.text.len() + 1;
        if bytes > limits::GUEST_LOG_BYTES_MAX + 1 {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.bytes = bytes;
        self.lines.push(line);
    }

    /// Who logs next has the limit for itself.
    pub(crate) fn renew(&mut self) {
        self.bytes = 0;
    }

    /// Adds a line about what was logged.
    pub(crate) fn note(&mut self, line: LogLine) {
        self.lines.push(line);
    }

    /// The lines; the last one says how many are missing, if any.
    pub(crate) fn into_lines(mut self, index: u64, program: &str) -> Vec<LogLine> {
        if self.dropped > 0 {
            let text = format!("{} lines dropped: the call logged too much", self.dropped);
            let (program, actor, level) = (program.to_owned(), None, "warn");
            self.lines.push(LogLine { index, program, actor, level, text });
        }
        self.lines
    }
}

/// Short digest of an instruction: tells a retry from another instruction with its number.
pub(crate) fn digest(instruction: &v1::Instruction) -> Vec<u8> {
    use prost::Message;
    Hash::of(&instruction.encode_to_vec()).0[..16].to_vec()
}
