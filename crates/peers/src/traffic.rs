//! What went to and came from each peer.

use althing_protocol::PublicKey;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one peer, over all its connections.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) frames_in: AtomicU64,
    pub(crate) frames_out: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) failures: AtomicU64,
}

/// A peer, as far as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStats {
    /// Its key.
    pub key: PublicKey,
    /// The address that was dialled last, or that it came from.
    pub address: String,
    /// Whether a connection stands.
    pub connected: bool,
    /// Why there is none, if dialling failed.
    pub failure: Option<String>,
    /// Bytes received from it, encryption not counted.
    pub bytes_in: u64,
    /// Bytes sent to it, encryption not counted.
    pub bytes_out: u64,
    /// Frames received from it.
    pub frames_in: u64,
    /// Frames sent to it.
    pub frames_out: u64,
    /// Connections that were made, by either side.
    pub connections: u64,
    /// Times that dialling it failed.
    pub failures: u64,
}

impl Traffic {
    pub(crate) fn stats(
        &self,
        key: PublicKey,
        address: String,
        connected: bool,
        failure: Option<String>,
    ) -> PeerStats {
        PeerStats {
            key,
            address,
            connected,
            failure,
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            frames_in: self.frames_in.load(Relaxed),
            frames_out: self.frames_out.load(Relaxed),
            connections: self.connections.load(Relaxed),
            failures: self.failures.load(Relaxed),
        }
    }
}
