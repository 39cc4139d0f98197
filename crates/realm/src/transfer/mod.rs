//! The state on its way from one node to another, in pieces that know no network.
//!
//! ```text
//!   Outbox ── a view ──> Outgoing: a file, its Offer          Receiver: a part of a file
//!                          chunk(offset, bytes) ── whoever carries them ──> put(offset, bytes)
//!                                                                  finish ──> SnapshotFile
//! ```
//!
//! The file is what `althing snapshot save` writes. It is named by the hash of all its bytes: a
//! receiver that has a part of it goes on where that ends, whoever sends the rest, and after a
//! restart. Before anything is replaced the whole file is read: hash, realm, position, and the state
//! hash, added up from the pairs. That these are the realm's own values, the next checkpoint says
//! that this node applies: a state that differs stops there.

mod outbox;
mod receiver;

pub use outbox::{Outbox, Outgoing};
pub use receiver::Receiver;
pub(crate) use receiver::{discard, discard_old};

#[cfg(test)]
mod tests;

use althing_log::Position;
use althing_protocol::{Error, Hash, Result, decode, limits};
use althing_state::Applied;
use prost::Message;
use std::path::{Path, PathBuf};

/// A chunk of a file, at most, in bytes.
pub const CHUNK_BYTES_MAX: usize = limits::CHUNK_BYTES_MAX;

/// What a sender says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Position and chains of the state in it.
    pub applied: Applied,
    /// Hash of that state.
    pub state_hash: Hash,
    /// BLAKE3 of the file.
    pub file_hash: Hash,
    /// Its length.
    pub bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
struct OfferMessage {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(uint64, tag = "2")]
    term: u64,
    #[prost(uint64, tag = "3")]
    node: u64,
    #[prost(uint64, tag = "4")]
    timestamp_us: u64,
    #[prost(bytes = "vec", tag = "5")]
    entry_chain: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    result_chain: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    membership: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    state_hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "9")]
    file_hash: Vec<u8>,
    #[prost(uint64, tag = "10")]
    bytes: u64,
}

impl Offer {
    /// As a message.
    pub fn encode(&self) -> Vec<u8> {
        let applied = &self.applied;
        OfferMessage {
            index: applied.index,
            term: applied.term,
            node: applied.node,
            timestamp_us: applied.timestamp_us,
            entry_chain: applied.entry_chain.0.to_vec(),
            result_chain: applied.result_chain.0.to_vec(),
            membership: applied.membership.to_vec(),
            state_hash: self.state_hash.0.to_vec(),
            file_hash: self.file_hash.0.to_vec(),
            bytes: self.bytes,
        }
        .encode_to_vec()
    }

    /// # Errors
    /// `invalid` when it is not what [`encode`](Self::encode) makes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let message: OfferMessage = decode("offer of a snapshot", bytes)?;
        Ok(Self {
            applied: Applied {
                index: message.index,
                term: message.term,
                node: message.node,
                timestamp_us: message.timestamp_us,
                entry_chain: message.entry_chain.as_slice().try_into()?,
                result_chain: message.result_chain.as_slice().try_into()?,
                membership: message.membership.into(),
            },
            state_hash: message.state_hash.as_slice().try_into()?,
            file_hash: message.file_hash.as_slice().try_into()?,
            bytes: message.bytes,
        })
    }

    /// As the log names it.
    pub fn position(&self) -> Position {
        crate::replica::position(&self.applied)
    }
}

/// Files that this node sends.
fn outgoing_dir(realm: &Path) -> PathBuf {
    realm.join("transfer").join("out")
}

/// The file that this node receives.
fn incoming_dir(realm: &Path) -> PathBuf {
    realm.join("transfer").join("in")
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::unavailable(format!("snapshot {}: {error}", path.display()))
}
