//! Images on their way between nodes: by hash, in parts, from whoever has them.
//!
//! What makes an image the active one is proposed once a quorum is ready to run it: then no majority
//! waits for it.

use super::kind;
use crate::{halt::internal, images::ImageState, realm::Core};
use althing_blobs::Chunk;
use althing_protocol::{Error, Hash, Result, decode, limits, v1};
use bytes::Bytes;
use futures::future::join_all;
use prost::Message;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// For a part to arrive.
const PART_WAIT: Duration = Duration::from_secs(10);
/// For a node to say how far an image is.
const STATE_WAIT: Duration = Duration::from_secs(2);
/// How long a quorum may take to be ready.
const QUORUM_WAIT: Duration = Duration::from_secs(60);
/// Between two questions about that.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Asks for a part of a blob.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PartWanted {
    #[prost(bytes = "vec", tag = "1")]
    hash: Vec<u8>,
    #[prost(uint64, tag = "2")]
    offset: u64,
}

/// A part of a blob; of no blob when it is not there.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Part {
    #[prost(uint64, tag = "1")]
    size: u64,
    #[prost(bytes = "vec", tag = "2")]
    bytes: Vec<u8>,
}

/// Answers who wants a part.
pub(super) async fn part(core: &Arc<Core>, body: &[u8]) -> Result<Bytes> {
    let wanted: PartWanted = decode("question for a blob", body)?;
    let hash = Hash::try_from(wanted.hash.as_slice())?;
    let core = Arc::clone(core);
    let read = move || core.blobs.part(&hash, wanted.offset, limits::CHUNK_BYTES_MAX);
    let part = tokio::task::spawn_blocking(read).await.map_err(internal)??;
    let (size, bytes) = part.unwrap_or_default();
    Ok(Part { size, bytes }.encode_to_vec().into())
}

/// Answers whether an image is ready here, and sees to it that it will be.
pub(super) async fn readiness(core: &Arc<Core>, body: &[u8]) -> Result<Bytes> {
    let hash = Hash::try_from(body)?;
    let core = Arc::clone(core);
    let look = move || core.images.prepare_from_anywhere(&hash);
    let status = tokio::task::spawn_blocking(look).await.map_err(internal)??;
    // Apply waits for neither.
    let is_ready = matches!(status.state, ImageState::Ready | ImageState::Refused);
    Ok(Bytes::copy_from_slice(&[u8::from(is_ready)]))
}

impl Core {
    /// Brings a blob here from another node, unless it is here.
    ///
    /// # Errors
    /// `not-found` when no node that answers has it.
    pub(crate) async fn fetch_blob(self: &Arc<Self>, hash: &Hash) -> Result<()> {
        let _one = self.cluster.fetching.lock().await;
        if self.blobs.size(hash).map_err(Error::from)?.is_some() {
            return Ok(());
        }
        let mut asked = 0_u32;
        for id in self.others_that_answer_first() {
            match self.fetch_from(id, hash).await {
                Ok(true) => {
                    tracing::info!(%hash, from = id, "an image came from another node");
                    return Ok(());
                }
                Ok(false) => asked += 1,
                Err(error) => tracing::debug!(%hash, from = id, %error, "asking for an image"),
            }
        }
        Err(Error::not_found(format!(
            "image {hash}: not on this node, nor on the {asked} others that answered; upload it, \
             `althing deploy` does"
        )))
    }

    /// Lets images that are not here come from other nodes, if there may be any.
    pub(crate) fn fetch_images(self: &Arc<Self>) {
        if self.cluster.identity.is_none() {
            return;
        }
        // Weak: what it is given to belongs to the core.
        let (core, runtime) = (Arc::downgrade(self), tokio::runtime::Handle::current());
        self.images.come_from(Box::new(move |hash| {
            let core = core.upgrade().ok_or_else(|| internal("the realm has ended"))?;
            runtime.block_on(core.fetch_blob(hash))
        }));
    }

    fn others_that_answer_first(&self) -> Vec<u64> {
        let fresh = self.cluster.pulse.fresh();
        let mut others = self.cluster.others();
        others.sort_by_key(|id| !fresh.contains_key(id));
        others
    }

    /// Fetches a blob from member `id`, from where what is here ends. False when it is not there.
    async fn fetch_from(self: &Arc<Self>, id: u64, hash: &Hash) -> Result<bool> {
        let mut offset = self.blobs.stat(hash).map_err(Error::from)?.received;
        loop {
            let wanted = PartWanted { hash: hash.0.to_vec(), offset }.encode_to_vec();
            let answer = self.cluster.links.ask(id, kind::BLOB, wanted.into(), PART_WAIT).await?;
            let part: Part = decode("part of a blob", &answer)?;
            if part.size == 0 || part.bytes.is_empty() {
                return Ok(false);
            }
            let (core, hash) = (Arc::clone(self), *hash);
            let keep = move || {
                let chunk = Chunk { offset, bytes: &part.bytes, hash: Hash::of(&part.bytes) };
                core.blobs.receive(&hash, part.size, chunk)
            };
            let received = tokio::task::spawn_blocking(keep).await.map_err(internal)??;
            if received.complete {
                return Ok(true);
            }
            offset = received.received;
        }
    }

    /// The image that a rollback makes the active one, if there is one to go back to.
    pub(crate) fn goes_back_to(&self, rollback: &v1::Rollback) -> Result<Option<Hash>> {
        let found = self.machine.program(&self.store.view(), &rollback.program);
        let versions = found.map_err(internal)?.map(|program| program.versions);
        let is_meant = |version: &v1::ImageInfo| match &rollback.image {
            Some(image) => version.image == *image,
            None => true,
        };
        let version = versions.unwrap_or_default().into_iter().find(is_meant);
        version.map(|version| Hash::try_from(version.image.as_slice())).transpose()
    }

    /// Waits until a quorum of the voters can run an image.
    ///
    /// # Errors
    /// `unavailable`, naming who is not ready.
    pub(crate) async fn quorum_has(self: &Arc<Self>, hash: &Hash) -> Result<()> {
        let until = Instant::now() + QUORUM_WAIT;
        loop {
            let voters = self.cluster.standing()?.members.voters;
            // Alone, there is nobody to wait for: apply says what is wrong with it.
            if voters.len() <= 1 {
                return Ok(());
            }
            let asked = join_all(voters.iter().map(|id| self.is_ready_on(*id, hash))).await;
            let waiting: Vec<String> = asked.into_iter().filter_map(Result::err).collect();
            let ready = voters.len() - waiting.len();
            if ready > voters.len() / 2 {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Error::unavailable(format!(
                    "image {hash}: {ready} of {} voters are ready to run it, more than half must \
                     be: {}; try again",
                    voters.len(),
                    waiting.join(", ")
                ))
                .retry_after_ms(5_000));
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// The error says why it is not ready there.
    async fn is_ready_on(self: &Arc<Self>, id: u64, hash: &Hash) -> Result<(), String> {
        let body = Bytes::copy_from_slice(&hash.0);
        let answer = match id == self.cluster.me {
            true => readiness(self, &body).await,
            false => self.cluster.links.ask(id, kind::READINESS, body, STATE_WAIT).await,
        };
        match answer {
            Ok(answer) if answer[..] == [1] => Ok(()),
            Ok(_) => Err(format!("member {id} fetches or compiles it")),
            Err(error) => Err(format!("member {id}: {error}")),
        }
    }
}
