//! How a log reaches the other nodes of its realm.

use crate::SnapshotFile;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::future::Future;
use std::io;
use std::time::Duration;

/// Carries messages to other nodes of the realm, by raft id. What they say is the log's business;
/// at the other end each goes to the method of [`Log`](crate::Log) that is named here. Every error
/// is the same to the log: the node cannot be reached now, and is tried again after a while.
pub trait Transport: Clone + Send + Sync + 'static {
    /// To [`handle_call`](crate::Log::handle_call) there; gives its answer within `deadline`.
    fn call(
        &self,
        to: u64,
        message: Bytes,
        deadline: Duration,
    ) -> impl Future<Output = io::Result<Bytes>> + Send;

    /// To [`handle_exchange`](crate::Log::handle_exchange) there. What `frames` yields arrives
    /// there in order; the answers come back in order. `frames` is polled from the first call on,
    /// and dropped when the answers are.
    fn exchange(
        &self,
        to: u64,
        frames: BoxStream<'static, Bytes>,
    ) -> impl Future<Output = io::Result<BoxStream<'static, io::Result<Bytes>>>> + Send;

    /// Sends the file, then `offer` and the file as it was received go to
    /// [`handle_snapshot`](crate::Log::handle_snapshot) there; gives its answer. It may take as
    /// long as bytes move; the future is dropped when nobody wants the snapshot any more.
    fn snapshot(
        &self,
        to: u64,
        offer: Bytes,
        file: SnapshotFile,
    ) -> impl Future<Output = io::Result<Bytes>> + Send;
}

/// The transport of a node that has no peers: nobody can be reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Alone {
    fn unreachable<V>(to: u64) -> io::Result<V> {
        Err(io::Error::other(format!(
            "node {to} cannot be reached: this node runs alone, without a peer network"
        )))
    }
}

impl Transport for Alone {
    async fn call(&self, to: u64, _: Bytes, _: Duration) -> io::Result<Bytes> {
        Self::unreachable(to)
    }

    async fn exchange(
        &self,
        to: u64,
        _: BoxStream<'static, Bytes>,
    ) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        Self::unreachable(to)
    }

    async fn snapshot(&self, to: u64, _: Bytes, _: SnapshotFile) -> io::Result<Bytes> {
        Self::unreachable(to)
    }
}
