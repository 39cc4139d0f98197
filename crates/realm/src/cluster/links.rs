//! How this node reaches the others of its realm: the log's transport, and questions by member id.

use super::{book::Book, kind, snapshots};
use crate::{replica::RealmLog, transfer::Outbox};
use althing_log::{SnapshotFile, Transport};
use althing_peers::{Kind, Peer, Peers, Pipe};
use althing_protocol::{Error, RealmId, Result};
use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use std::{io, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// For a pipe to be accepted.
const PIPE_WAIT: Duration = Duration::from_secs(5);

/// Connections to the members of one realm. Clones are the same.
#[derive(Clone)]
pub(crate) struct Links(Arc<Inner>);

struct Inner {
    realm: RealmId,
    book: ArcSwap<Book>,
    /// None before the node listens, after it stopped, and for one that is to be alone.
    peers: ArcSwapOption<Peers>,
    outbox: Arc<Outbox>,
}

impl Links {
    pub(crate) fn new(realm: RealmId, book: Book, outbox: Arc<Outbox>) -> Self {
        let (book, peers) = (ArcSwap::from_pointee(book), ArcSwapOption::empty());
        Self(Arc::new(Inner { realm, book, peers, outbox }))
    }

    pub(crate) fn book(&self) -> arc_swap::Guard<Arc<Book>> {
        self.0.book.load()
    }

    /// The members have changed. Who was removed is cut off.
    pub(crate) fn members_are(&self, book: Book) {
        let book = Arc::new(book);
        self.0.book.store(Arc::clone(&book));
        if let Some(peers) = &*self.0.peers.load() {
            book.gone().for_each(|key| peers.drop_peer(&key));
        }
    }

    pub(crate) fn connect(&self, peers: Peers) {
        self.0.peers.store(Some(Arc::new(peers)));
    }

    /// What connects this node, if anything does.
    pub(crate) fn peers(&self) -> Option<Arc<Peers>> {
        self.0.peers.load_full()
    }

    /// Whether there is a connection with member `id`.
    pub(crate) fn is_connected(&self, id: u64) -> bool {
        let Ok((peers, peer)) = self.to(id) else { return false };
        peers.stats().iter().any(|stats| stats.key == peer.key && stats.connected)
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        if let Some(peers) = self.0.peers.swap(None) {
            peers.shutdown().await;
        }
    }

    fn to(&self, id: u64) -> Result<(Arc<Peers>, Peer)> {
        let peers = self.peers().ok_or_else(|| {
            Error::unavailable(format!(
                "member {id}: cannot be reached, this node has no connections to others"
            ))
        })?;
        Ok((peers, self.book().peer(id)?))
    }

    /// Asks member `id`.
    ///
    /// # Errors
    /// `unavailable` when it cannot be reached or does not answer; what it answers with.
    pub(crate) async fn ask(
        &self,
        id: u64,
        kind: Kind,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes> {
        let (peers, peer) = self.to(id)?;
        // Boxed: the compiler does not follow futures in futures all the way down.
        peers.call(&peer, &self.0.realm, kind, body, deadline).boxed().await
    }

    async fn pipe(&self, id: u64, kind: Kind) -> Result<Pipe> {
        let (peers, peer) = self.to(id)?;
        peers.pipe(&peer, &self.0.realm, kind, PIPE_WAIT).await
    }
}

impl Transport for Links {
    async fn call(&self, to: u64, message: Bytes, deadline: Duration) -> io::Result<Bytes> {
        self.ask(to, kind::RAFT, message, deadline).await.map_err(io::Error::other)
    }

    async fn exchange(
        &self,
        to: u64,
        frames: BoxStream<'static, Bytes>,
    ) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let pipe = self.pipe(to, kind::APPENDS).await.map_err(io::Error::other)?;
        Ok(exchange(pipe, frames).map(|answer| answer.map_err(io::Error::other)).boxed())
    }

    async fn snapshot(&self, to: u64, offer: Bytes, file: SnapshotFile) -> io::Result<Bytes> {
        let sent = async {
            let outgoing = self.0.outbox.of(&file).ok_or_else(|| {
                Error::unavailable("the snapshot was removed before it was sent; it is made again")
            })?;
            let pipe = self.pipe(to, kind::SNAPSHOT).await?;
            snapshots::send(pipe, offer, &outgoing).await
        };
        sent.await.map_err(io::Error::other)
    }
}

/// Sends `frames` down the pipe while it is asked for what comes up. Both end when it is dropped.
pub(crate) fn exchange(
    pipe: Pipe,
    mut frames: BoxStream<'static, Bytes>,
) -> impl futures::Stream<Item = Result<Bytes>> + Send + 'static {
    let (mut sender, receiver) = pipe.split();
    let sending = async move {
        while let Some(frame) = frames.next().await {
            sender.send(frame).await?;
        }
        sender.finish().await
    };
    let state = (receiver, Some(Box::pin(sending)));
    stream::unfold(state, |(mut receiver, mut sending)| async move {
        loop {
            let Some(work) = &mut sending else {
                let answer = receiver.recv().await?;
                return Some((answer, (receiver, None)));
            };
            // Not biased: neither way may keep the other from moving.
            tokio::select! {
                answer = receiver.recv() => return answer.map(|a| (a, (receiver, sending))),
                sent = work => {
                    sending = None;
                    if let Err(error) = sent {
                        return Some((Err(error), (receiver, None)));
                    }
                }
            }
        }
    })
}

/// Answers the appends of member `from` until either side ends.
pub(crate) async fn exchange_here(log: &RealmLog, from: u64, pipe: Pipe) {
    let (mut sender, receiver) = pipe.split();
    // Held to the end: to drop it would end the pipe, with the last answer still on its way. That one
    // tells a leader where the logs part, and without it the leader asks for ever.
    let receiver = Arc::new(Mutex::new(receiver));
    let frames = stream::unfold(Arc::clone(&receiver), |receiver| async move {
        // The answers end with the appends, and the sender sees that.
        let frame = receiver.lock().await.recv().await?.ok()?;
        Some((frame, receiver))
    });
    let mut answers = log.handle_exchange(from, frames.boxed());
    while let Some(answer) = answers.next().await {
        if sender.send(answer).await.is_err() {
            return;
        }
    }
    let _ = sender.finish().await;
}
