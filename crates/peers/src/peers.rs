//! What a node does with its peers.

use crate::{
    Handler, Kind, PeerStats, Pipe, accept,
    dial::unreachable,
    frame::{FrameError, Tag, check_len, decode_failure},
    handler::Deaf,
    header::{Form, Header},
    limits,
    link::{Channel, Link},
    shared::Shared,
    tls::Identity,
};
use althing_protocol::{Error, PublicKey, RealmId, SecretKey};
use bytes::Bytes;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, time::timeout_at};
use tokio_util::sync::DropGuard;

/// A node, and where to find it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The key that it proves.
    pub key: PublicKey,
    /// `host:port`; a name is looked up each time it is dialled.
    pub address: String,
}

/// How a node meets its peers.
#[derive(Clone, Debug, Default)]
pub struct PeersConfig {
    /// Where it listens; without an address it only dials, and is reached over what it dialled.
    pub listen: Option<SocketAddr>,
}

/// The connections of this node with its peers. Cheap to clone; all end when the last clone goes.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
    local_addr: Option<SocketAddr>,
    _stop: Arc<DropGuard>,
}

impl Peers {
    /// Starts listening, if it is to. Nobody is dialled before there is something to say.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(
        config: PeersConfig,
        key: &SecretKey,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, Error> {
        let identity = Identity::new(key)?;
        let acceptor = identity.acceptor()?;
        let shared = Arc::new(Shared::new(identity, handler));
        let mut local_addr = None;
        if let Some(address) = config.listen {
            let busy = |e| Error::unavailable(format!("listening for nodes on {address}: {e}"));
            let listener = TcpListener::bind(address).await.map_err(busy)?;
            local_addr = Some(listener.local_addr().map_err(busy)?);
            shared.spawn(accept::listen(shared.clone(), listener, acceptor));
        }
        let _stop = Arc::new(shared.stop.clone().drop_guard());
        Ok(Self { shared, local_addr, _stop })
    }

    /// Of a machine that only calls: it listens to nobody, and answers nothing.
    ///
    /// # Errors
    /// The key is not one to prove oneself with.
    pub async fn caller(key: &SecretKey) -> Result<Self, Error> {
        Self::start(PeersConfig::default(), key, Arc::new(Deaf)).await
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Asks `to`, and waits for the answer until `deadline` has passed, an hour at most. When it
    /// fails for another reason than a refusal of the peer, `to` may or may not have done what was
    /// asked.
    ///
    /// # Errors
    /// `unavailable` when it was not reached, or did not answer; what its handler failed with.
    pub async fn call(
        &self,
        to: &Peer,
        realm: &RealmId,
        kind: Kind,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, Error> {
        check_len(&body)?;
        let header = Header { form: Form::Call, kind, realm: *realm };
        let ask = |link: Arc<Link>, mut channel: Channel| async move {
            channel.writer.put(Tag::Data, &header.encode());
            channel.writer.put(Tag::Data, &body);
            exchange(&link, &mut channel).await
        };
        self.converse(to, deadline, ask).await
    }

    /// Opens a pipe to `to`, and waits until it is accepted or `deadline` has passed. The pipe
    /// itself has no deadline.
    ///
    /// # Errors
    /// `unavailable` when it was not reached, or did not answer; what its handler refused with.
    pub async fn pipe(
        &self,
        to: &Peer,
        realm: &RealmId,
        kind: Kind,
        deadline: Duration,
    ) -> Result<Pipe, Error> {
        let header = Header { form: Form::Pipe, kind, realm: *realm };
        let ask = |link: Arc<Link>, mut channel: Channel| async move {
            channel.writer.put(Tag::Data, &header.encode());
            exchange(&link, &mut channel).await?;
            Ok(Pipe::new(link, channel))
        };
        self.converse(to, deadline, ask).await
    }

    /// Opens a stream to `to` and does `ask` on it, all before `deadline` has passed.
    async fn converse<T, F: Future<Output = Result<T, Error>>>(
        &self,
        to: &Peer,
        deadline: Duration,
        ask: impl FnOnce(Arc<Link>, Channel) -> F,
    ) -> Result<T, Error> {
        let until = Instant::now() + deadline.min(limits::DEADLINE_MAX);
        let late = |what: &str| unreachable(to, &format!("{what} in {deadline:?}"));
        let (link, channel) = timeout_at(until.into(), self.open(to, until))
            .await
            .map_err(|_| late("no connection, or no free stream on it,"))??;
        timeout_at(until.into(), ask(link, channel)).await.map_err(|_| late("no answer"))?
    }

    async fn open(&self, to: &Peer, deadline: Instant) -> Result<(Arc<Link>, Channel), Error> {
        loop {
            let link = self.shared.link(to, deadline).await?;
            // A connection that ended meanwhile carried nothing of this.
            if let Some(channel) = link.open().await {
                return Ok((link, channel));
            }
        }
    }

    /// Cuts the connection with a key, and forgets it: for a member that was removed. The handler
    /// must refuse it from before this on, or it connects again.
    pub fn drop_peer(&self, key: &PublicKey) {
        self.shared.table().remove(key);
    }

    /// Every peer that is connected, dialled or known by what it sent, in the order of keys.
    pub fn stats(&self) -> Vec<PeerStats> {
        self.shared.table().stats()
    }

    /// Ends all connections, and waits for what runs on them.
    pub async fn shutdown(&self) {
        if let Err(error) = self.shared.shutdown().await {
            tracing::warn!("{error}");
        }
    }
}

/// Sends what was put on `channel`; the one frame that is answered.
async fn exchange(link: &Link, channel: &mut Channel) -> Result<Bytes, Error> {
    let answer = async {
        // Who refuses stops reading, and says why.
        let _ = channel.writer.flush().await;
        channel.reader.frame().await
    };
    let frame = tokio::select! {
        biased;
        frame = answer => frame,
        // The multiplexer wakes nobody who waits on a stream when it is closed.
        () = link.over.cancelled() => Err(FrameError::Cut),
    };
    let malformed = |reason: &str| Err(Error::internal(format!("node {}: {reason}", link.key)));
    match frame {
        Ok((Tag::Data, body)) => Ok(body),
        Ok((Tag::Failure, body)) => Err(decode_failure(&body)),
        Ok((Tag::End, _)) => malformed("it ended a call without an answer"),
        Err(FrameError::Cut) => Err(link.broken()),
        Err(error) => malformed(&error.to_string()),
    }
}

/// One call from a machine that is no node yet: it listens to nobody, and keeps no connection.
///
/// # Errors
/// As [`Peers::call`].
pub async fn call_once(
    key: &SecretKey,
    to: &Peer,
    realm: &RealmId,
    kind: Kind,
    body: Bytes,
    deadline: Duration,
) -> Result<Bytes, Error> {
    let peers = Peers::caller(key).await?;
    let answer = peers.call(to, realm, kind, body, deadline).await;
    peers.shutdown().await;
    answer
}
