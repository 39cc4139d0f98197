//! What the node does with what its peers send.

use crate::Pipe;
use althing_protocol::{Error, PublicKey, RealmId};
use bytes::Bytes;
use futures::future::BoxFuture;

/// What a message is for. Its values are the realm's business; one byte of a stream's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(pub u8);

/// Who a key is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A node of a realm that this node is in.
    Member,
    /// Nobody known: perhaps a machine with an invitation. It gets few connections, few streams,
    /// small calls, and what [`Handler::admits`] lets in.
    Stranger,
}

/// Serves the streams that peers open. Its synchronous methods are asked with locks held and on the
/// runtime's threads: they look something up, and wait for nothing.
pub trait Handler: Send + Sync + 'static {
    /// Who `key` is; asked when it connects, whenever it opens a stream, and now and then between.
    ///
    /// # Errors
    /// It must not even connect: it was removed, say. The error is told to it.
    fn standing(&self, key: &PublicKey) -> Result<Standing, Error>;

    /// Whether `from` may send `kind` to `realm`; asked before a body is read.
    ///
    /// # Errors
    /// It may not; told to the peer.
    fn admits(&self, from: &PublicKey, realm: &RealmId, kind: Kind) -> Result<(), Error>;

    /// Answers a call. The future is dropped when the caller is gone (its deadline has passed, its
    /// connection is cut): work that must be finished all the same is spawned.
    fn call(
        &self,
        from: PublicKey,
        realm: RealmId,
        kind: Kind,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Error>>;

    /// Serves a pipe that the peer opened, until the future ends.
    fn pipe(
        &self,
        from: PublicKey,
        realm: RealmId,
        kind: Kind,
        pipe: Pipe,
    ) -> BoxFuture<'static, ()>;
}

/// Of a machine that only calls: nobody may do anything.
pub(crate) struct Deaf;

impl Handler for Deaf {
    fn standing(&self, _: &PublicKey) -> Result<Standing, Error> {
        Ok(Standing::Stranger)
    }

    fn admits(&self, _: &PublicKey, _: &RealmId, kind: Kind) -> Result<(), Error> {
        Err(Error::unavailable(format!(
            "messages of kind {}: this machine is not a node yet; ask another",
            kind.0
        )))
    }

    fn call(
        &self,
        from: PublicKey,
        realm: RealmId,
        kind: Kind,
        _: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Error>> {
        let refusal = self.admits(&from, &realm, kind).map(|()| Bytes::new());
        Box::pin(std::future::ready(refusal))
    }

    fn pipe(&self, _: PublicKey, _: RealmId, _: Kind, _: Pipe) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
