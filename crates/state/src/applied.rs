//! How far the log is applied.

use althing_protocol::{CheckpointValues, Hash, limits, realm_id};
use std::sync::Arc;

/// The last applied position, and the two chains at it; durable together with its writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Index of the entry in the log; 0 before the first.
    pub index: u64,
    /// Term of the entry.
    pub term: u64,
    /// The leader that proposed it, as the log names it.
    pub node: u64,
    /// The realm's clock at it, in microseconds since the epoch.
    pub timestamp_us: u64,
    /// Chain over the entries up to it.
    pub entry_chain: Hash,
    /// Chain over the results up to it.
    pub result_chain: Hash,
    /// The membership at it, opaque bytes of the log.
    pub membership: Arc<[u8]>,
}

/// Length of an encoded position without its membership.
const FIXED_BYTES: usize = 4 * 8 + 2 * 32;

/// A membership lists nodes with their addresses; this is thousands of them.
const MEMBERSHIP_BYTES_MAX: usize = limits::VALUE_BYTES_MAX;

impl Applied {
    /// Where a realm begins: index 0, and both chains start from the realm's id, so that no chain
    /// of one realm is one of another.
    pub fn at_genesis(genesis: &[u8]) -> Self {
        let start = Hash(realm_id(genesis).0);
        Self {
            index: 0,
            term: 0,
            node: 0,
            timestamp_us: 0,
            entry_chain: start,
            result_chain: start,
            membership: Arc::from([]),
        }
    }

    /// What a checkpoint says of a state of this hash, at this position.
    pub fn checkpoint(&self, state_hash: Hash) -> CheckpointValues {
        CheckpointValues {
            index: self.index,
            entry_chain: self.entry_chain,
            result_chain: self.result_chain,
            state_hash,
        }
    }

    /// `index, term, node, timestamp_us` (8 bytes each, little-endian), `entry_chain,
    /// result_chain` (32 each), then the membership.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.membership.len());
        for number in [self.index, self.term, self.node, self.timestamp_us] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.entry_chain.0);
        bytes.extend_from_slice(&self.result_chain.0);
        bytes.extend_from_slice(&self.membership);
        bytes
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut number = || bytes.split_off(..8).and_then(|n| n.try_into().ok());
        let mut next = || number().map(u64::from_le_bytes);
        let (index, term, node, timestamp_us) = (next()?, next()?, next()?, next()?);
        let mut hash = || bytes.split_off(..32).and_then(|h| Hash::try_from(h).ok());
        let (entry_chain, result_chain) = (hash()?, hash()?);
        let membership = (bytes.len() <= MEMBERSHIP_BYTES_MAX).then(|| Arc::from(bytes))?;
        Some(Self { index, term, node, timestamp_us, entry_chain, result_chain, membership })
    }

    /// The most bytes an encoded position takes.
    pub(crate) const ENCODED_BYTES_MAX: usize = FIXED_BYTES + MEMBERSHIP_BYTES_MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_encoding() {
        let applied = Applied {
            index: 1,
            term: u64::MAX,
            node: 3,
            timestamp_us: 4,
            result_chain: Hash([5; 32]),
            membership: Arc::from(*b"members"),
            ..Applied::at_genesis(b"genesis")
        };
        let bytes = applied.encode();
        assert_eq!(Applied::decode(&bytes), Some(applied));
        assert_eq!(Applied::decode(&bytes[..FIXED_BYTES - 1]), None);
    }
}
