//! The bytes of records: what raft-log wraps with a type and a CRC-32. All numbers big-endian.
//!
//! ```text
//! name      leader u64 (term in the upper 44 bits, node in the lower 20), index u64
//! vote      term u64, node u64, committed u8
//! payload   mark u64, kind u8, length u32, bytes
//! ```

use super::mark::Mark;
use super::{Body, Done, Id, Vote};
use crate::NODE_MAX;
use bytes::Bytes;
use raft_log::codeq::{Decode, Encode};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// A length beyond it is damage, found before memory is taken for it.
const BODY_BYTES_MAX: usize = crate::ENTRY_BYTES_MAX;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WalTypes;

impl raft_log::Types for WalTypes {
    type LogId = Name;
    type LogPayload = Payload;
    type Vote = Vote;
    type Callback = Flushed;
    type UserData = ();

    fn log_index(name: &Name) -> u64 {
        name.index
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

/// An [`Id`] in two words: one of it is in memory for each entry that is kept. Its order is the
/// order of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    leader: u64,
    index: u64,
}

const NODE_BITS: u32 = (NODE_MAX + 1).trailing_zeros();
/// The largest term with room in a [`Name`].
pub(crate) const TERM_MAX: u64 = u64::MAX >> NODE_BITS;
/// A log as long as this would take longer than any machine lasts; counting on from here cannot
/// overflow.
pub(crate) const INDEX_MAX: u64 = 1 << 62;

impl TryFrom<Id> for Name {
    type Error = io::Error;

    fn try_from(id: Id) -> io::Result<Self> {
        if id.node > NODE_MAX || id.term > TERM_MAX {
            return Err(invalid(format!("no room for term {} of node {}", id.term, id.node)));
        }
        Ok(Self { leader: id.term << NODE_BITS | id.node, index: id.index })
    }
}

impl From<Name> for Id {
    fn from(name: Name) -> Self {
        Self { term: name.leader >> NODE_BITS, node: name.leader & NODE_MAX, index: name.index }
    }
}

impl Encode for Name {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        Ok(self.leader.encode(&mut w)? + self.index.encode(&mut w)?)
    }
}

impl Decode for Name {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        Ok(Self { leader: u64::decode(&mut r)?, index: u64::decode(&mut r)? })
    }
}

impl Encode for Vote {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        Ok(self.term.encode(&mut w)? + self.node.encode(&mut w)? + self.committed.encode(&mut w)?)
    }
}

impl Decode for Vote {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        Ok(Self {
            term: u64::decode(&mut r)?,
            node: u64::decode(&mut r)?,
            committed: bool::decode(&mut r)?,
        })
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
        let head = self.mark.encode(&mut w)?
            + kind.encode(&mut w)?
            + (bytes.len() as u32).encode(&mut w)?;
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
            return Err(invalid(format!(
                "a body of {length} bytes, the limit is {BODY_BYTES_MAX}"
            )));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;
    use raft_log::{RaftLogAction, RaftLogRecord, WALRecord};

    fn ids() -> impl Strategy<Value = Id> {
        (0..1_u64 << 44, 0..=NODE_MAX, any::<u64>()).prop_map(|(term, node, index)| Id {
            term,
            node,
            index,
        })
    }

    fn bodies() -> impl Strategy<Value = Body> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
        prop_oneof![
            Just(Body::Blank),
            bytes().prop_map(Body::Command),
            bytes().prop_map(Body::Membership)
        ]
    }

    proptest! {
        #[test]
        fn names_keep_what_ids_say_and_their_order(a in ids(), b in ids()) {
            let (x, y) = (Name::try_from(a).unwrap(), Name::try_from(b).unwrap());
            prop_assert_eq!(Id::from(x), a);
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }

        #[test]
        fn a_record_survives_and_a_changed_one_does_not(
            id in ids(), mark: u64, body in bodies(), place: prop::sample::Index, bit in 0..8_u32,
        ) {
            let payload = Payload { mark, body };
            let action = RaftLogAction::<WalTypes>::Append(Name::try_from(id).unwrap(), payload);
            let record: RaftLogRecord<WalTypes> = WALRecord::Action(action);
            let mut bytes = Vec::new();
            prop_assert_eq!(record.encode(&mut bytes).unwrap(), bytes.len());
            prop_assert!(RaftLogRecord::<WalTypes>::decode(&bytes[..]).unwrap() == record);
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            prop_assert!(RaftLogRecord::<WalTypes>::decode(&bytes[..]).is_err());
            bytes.truncate(place);
            prop_assert!(RaftLogRecord::<WalTypes>::decode(&bytes[..]).is_err());
        }
    }

    #[test]
    fn a_term_or_node_without_room_is_refused() {
        assert!(Name::try_from(Id { term: 1 << 44, node: 0, index: 0 }).is_err());
        assert!(Name::try_from(Id { term: 0, node: NODE_MAX + 1, index: 0 }).is_err());
    }
}
