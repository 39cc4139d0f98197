//! The bytes of records: what raft-log wraps with a type and a CRC-32. All numbers big-endian.
//!
//! ```text
//! id        term u64, node u64, index u64
//! vote      term u64, node u64, committed u8
//! payload   mark u64, kind u8, length u32, bytes
//! ```

use super::mark::Mark;
use super::{Body, Done, Id, Vote};
use bytes::Bytes;
use raft_log::codeq::{Decode, Encode};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// A length beyond it is damage, found before memory is taken for it.
const BODY_BYTES_MAX: usize = crate::ENTRY_BYTES_MAX;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WalTypes;

impl raft_log::Types for WalTypes {
    type LogId = Id;
    type LogPayload = Payload;
    type Vote = Vote;
    type Callback = Flushed;
    type UserData = ();

    fn log_index(id: &Id) -> u64 {
        id.index
    }

    fn payload_size(payload: &Payload) -> u64 {
        payload.body.len() as u64
    }
}

/// What a record of an entry carries besides its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Offset up to which the log was durable when this was written, masked with the log's salt.
    pub(crate) mark: u64,
    pub(crate) body: Body,
}

impl Encode for Id {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        Ok(self.term.encode(&mut w)? + self.node.encode(&mut w)? + self.index.encode(&mut w)?)
    }
}

impl Decode for Id {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        Ok(Self { term: u64::decode(&mut r)?, node: u64::decode(&mut r)?, index: u64::decode(&mut r)? })
    }
}

impl Encode for Vote {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        Ok(self.term.encode(&mut w)? + self.node.encode(&mut w)? + self.committed.encode(&mut w)?)
    }
}

impl Decode for Vote {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        Ok(Self { term: u64::decode(&mut r)?, node: u64::decode(&mut r)?, committed: bool::decode(&mut r)? })
    }
}

impl Encode for Payload {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        let (kind, bytes): (u8, &[u8]) = match &self.body {
            Body::Blank => (0, &[]),
            Body::Command(bytes) => (1, bytes),
            Body::Membership(bytes) => (2, bytes),
        };
        assert!(bytes.len() <= BODY_BYTES_MAX, "a record of {} bytes", bytes.len());
        let head = self.mark.encode(&mut w)? + kind.encode(&mut w)? + (bytes.len() as u32).encode(&mut w)?;
        w.write_all(bytes)?;
        Ok(head + bytes.len())
    }
}

impl Decode for Payload {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        let mark = u64::decode(&mut r)?;
        let kind = u8::decode(&mut r)?;
        let length = u32::decode(&mut r)? as usize;
        if length > BODY_BYTES_MAX {
            return Err(invalid(format!("a body of {length} bytes, the limit is {BODY_BYTES_MAX}")));
        }
        let mut bytes = vec![0; length];
        r.read_exact(&mut bytes)?;
        let body = match kind {
            0 if length == 0 => Body::Blank,
            1 => Body::Command(Bytes::from(bytes)),
            2 => Body::Membership(Bytes::from(bytes)),
            _ => return Err(invalid(format!("a body of kind {kind}"))),
        };
        Ok(Self { mark, body })
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Told the result of one flush; tells the mark first, so that what is acknowledged is marked.
pub(crate) struct Flushed {
    pub(crate) upto: u64,
    pub(crate) mark: Arc<Mark>,
    pub(crate) done: Option<Done>,
}

impl raft_log::Callback for Flushed {
    fn send(mut self, result: io::Result<()>) {
        let result = result.and_then(|()| self.mark.advance(self.upto));
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}

impl Drop for Flushed {
    /// The flushing thread drops what is queued behind a failure.
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(io::Error::other("the flush before this one failed")));
        }
    }
}
