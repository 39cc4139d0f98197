//! What an instruction may know about itself.

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

impl Events {
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

/// Short digest of an instruction: tells a retry from another instruction with its number.
pub(crate) fn digest(instruction: &v1::Instruction) -> Vec<u8> {
    use prost::Message;
    Hash::of(&instruction.encode_to_vec()).0[..16].to_vec()
}
