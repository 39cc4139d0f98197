//! A snapshot on its way between two nodes. Frames of the pipe, in this order:
//!
//! ```text
//!   sender    what the log offers; what the file is
//!   receiver  how much of the file it has
//!   sender    the rest, in chunks; then it says that it has finished
//!   receiver  what its log answers
//! ```

use super::divergence;
use crate::{
    halt::internal,
    realm::Core,
    replica::RealmLog,
    transfer::{CHUNK_BYTES_MAX, Offer, Outgoing, Receiver, discard},
};
use althing_log::SnapshotFile;
use althing_peers::Pipe;
use althing_protocol::{Error, Result};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// For the next frame of the other side; an installation writes the whole state.
const FRAME_WAIT: Duration = Duration::from_secs(30);
const INSTALL_WAIT: Duration = Duration::from_secs(600);

/// Sends `outgoing` behind `offer`, from where the receiver already has it. Gives its answer.
pub(crate) async fn send(mut pipe: Pipe, offer: Bytes, outgoing: &Arc<Outgoing>) -> Result<Bytes> {
    pipe.send(offer).await?;
    pipe.send(outgoing.offer().encode().into()).await?;
    let have = next(&mut pipe, FRAME_WAIT).await?;
    let have = <[u8; 8]>::try_from(&have[..]).map_err(|_| malformed("how much it has"))?;
    let (mut at, end) = (u64::from_le_bytes(have), outgoing.offer().bytes);
    tracing::info!(bytes = end, from = at, "sending a snapshot");
    while at < end {
        let file = Arc::clone(outgoing);
        let read = move || file.chunk(at, CHUNK_BYTES_MAX);
        let chunk = tokio::task::spawn_blocking(read).await.map_err(internal)??;
        if chunk.is_empty() {
            return Err(malformed("a place behind the end of the file"));
        }
        at += chunk.len() as u64;
        // One that takes nothing, though its connection lives, must not hold up the log for ever.
        let sent = timeout(FRAME_WAIT, pipe.send(chunk)).await;
        sent.map_err(|_| stalled(&pipe))??;
    }
    pipe.finish().await?;
    next(&mut pipe, INSTALL_WAIT).await
}

/// Receives what member `from` sends, and installs it.
pub(crate) async fn receive(core: &Arc<Core>, log: &RealmLog, from: u64, mut pipe: Pipe) {
    let received = receive_file(core, log, from, &mut pipe).await;
    let answered = match received {
        Ok(answer) => pipe.send(answer).await,
        Err(error) => {
            tracing::warn!(from, %error, "a snapshot was not installed");
            pipe.fail(&error).await
        }
    };
    if let Err(error) = answered {
        tracing::debug!(from, %error, "the sender of a snapshot has gone");
    }
}

async fn receive_file(
    core: &Arc<Core>,
    log: &RealmLog,
    from: u64,
    pipe: &mut Pipe,
) -> Result<Bytes> {
    let of_log = next(pipe, FRAME_WAIT).await?;
    let offer = Offer::decode(&next(pipe, FRAME_WAIT).await?)?;
    // What the log would not take is not worth its bytes.
    if log.offered(from, of_log.clone())? != offer.position() {
        return Err(malformed("another position than its log offers"));
    }
    let _one = core.cluster.receiving.try_lock().map_err(|_| {
        Error::conflict("a snapshot is being received already; try again when it is done")
    })?;
    let (bytes, applied) = (offer.bytes, offer.applied.clone());
    let index = applied.index;
    let receiver = {
        let core = Arc::clone(core);
        let free = core.disk_free_bytes().unwrap_or(u64::MAX);
        let open = move || Receiver::open(&core.options.dir, &core.store.genesis(), offer, free);
        tokio::task::spawn_blocking(open).await.map_err(internal)??
    };
    tracing::info!(from, bytes, index, have = receiver.have(), "receiving a snapshot");
    pipe.send(Bytes::copy_from_slice(&receiver.have().to_le_bytes())).await?;
    let chunks = stream::unfold(pipe, |pipe| async move {
        let chunk = next(pipe, FRAME_WAIT).await;
        Some((chunk, pipe))
    });
    let file = the_rest(receiver, bytes, &core.cluster.received, chunks.boxed()).await?;
    divergence::confirm(core, from, &applied).await?;
    let path = file.path.clone();
    let answer = log.handle_snapshot(from, of_log, file).await?;
    // Where this node had moved beyond it, nothing was installed, and nothing ever will be of it.
    if let Some(path) = path.filter(|path| path.exists()) {
        discard(&path);
    }
    tracing::info!(from, index, "the snapshot is here");
    Ok(answer)
}

/// Says how much of a snapshot is here, for as long as it is received: when its sender has gone, the
/// log may go on by entries.
struct Progress<'a>(&'a watch::Sender<Option<(u64, u64)>>);

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

/// Receives what is still to come of a file of so many bytes.
async fn the_rest(
    mut receiver: Receiver,
    bytes: u64,
    received: &watch::Sender<Option<(u64, u64)>>,
    mut chunks: impl Stream<Item = Result<Bytes>> + Unpin,
) -> Result<SnapshotFile> {
    let progress = Progress(received);
    while !receiver.is_complete() {
        let ended = || malformed("the end, too early");
        let chunk = chunks.next().await.unwrap_or_else(|| Err(ended()))?;
        let put = move || {
            let at = receiver.have();
            receiver.put(at, &chunk).map(|_| receiver)
        };
        receiver = tokio::task::spawn_blocking(put).await.map_err(internal)??;
        progress.0.send_replace(Some((receiver.have(), bytes)));
    }
    tokio::task::spawn_blocking(move || receiver.finish()).await.map_err(internal)?
}

async fn next(pipe: &mut Pipe, wait: Duration) -> Result<Bytes> {
    match timeout(wait, pipe.recv()).await {
        Ok(Some(frame)) => frame,
        Ok(None) => Err(malformed("the end, too early")),
        Err(_) => Err(stalled(pipe)),
    }
}

fn stalled(pipe: &Pipe) -> Error {
    let peer = pipe.peer();
    Error::unavailable(format!("node {peer}: stands still in a snapshot; it goes on later"))
}

fn malformed(what: &str) -> Error {
    Error::invalid(format!("snapshot: the other node says {what}"))
}

#[cfg(test)]
mod tests;
