//! The state for a member whose node is stopped, because its own is damaged or differs: it asks for
//! it, and fetches it in parts.

use crate::{halt::internal, realm::Core, transfer::CHUNK_BYTES_MAX};
use althing_protocol::{Error, Hash, Result, decode, v1};
use bytes::Bytes;
use prost::Message;
use std::sync::Arc;

/// What a node says of the state that it gives.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Seed {
    /// The realm's, whose hash is its id.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) genesis: Vec<u8>,
    /// The file, as an encoded offer.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) offer: Vec<u8>,
    /// All members there ever were, as of now.
    #[prost(message, repeated, tag = "3")]
    pub(crate) members: Vec<v1::Member>,
}

/// Asks for a part of the file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SeedPart {
    /// Hash of the file.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) file: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) offset: u64,
}

/// Offers the state of now, or one of a moment ago.
pub(super) async fn seed(core: &Arc<Core>) -> Result<Bytes> {
    core.stop.check()?;
    let members = core.machine.members(&core.store.view()).map_err(internal)?;
    let file = core.outbox.offer(core).await?;
    let (genesis, offer) = (core.store.genesis().to_vec(), file.offer().encode());
    Ok(Seed { genesis, offer, members }.encode_to_vec().into())
}

/// Gives a part of what was offered.
pub(super) async fn part(core: &Arc<Core>, body: &[u8]) -> Result<Bytes> {
    let SeedPart { file, offset } = decode("question for a part of the state", body)?;
    let hash = Hash::try_from(file.as_slice())?;
    let file = core.outbox.named(&hash).ok_or_else(|| {
        Error::not_found(format!("snapshot {hash}: is offered no more; ask for the state anew"))
    })?;
    let read = move || file.chunk(offset, CHUNK_BYTES_MAX);
    tokio::task::spawn_blocking(read).await.map_err(internal)?
}
