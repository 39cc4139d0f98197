//! Images before they are needed: those that are staged in entries of the log are fetched and compiled
//! before the entries are applied, and those that programs can go back to are brought here when a
//! snapshot came without them.

use crate::{halt::internal, housekeeping::images_in_use, realm::Core};
use althing_protocol::{Batch, Hash, Result, SYS, decode, v1};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::sleep};

/// Entries that may wait to be looked at; one more is looked at when it is applied.
pub(crate) const APPENDED_MAX: usize = 256;
/// What is read of the log at once, in bytes.
const PAGE_BYTES: usize = 1 << 20;
/// Until the others are asked again for images that were on no node.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Runs until it is aborted.
pub(crate) async fn run(core: Arc<Core>, appended: mpsc::Receiver<Bytes>) {
    tokio::join!(look_at_log(&core, appended), bring_what_is_in_use(&core));
}

/// Prepares what is staged in the log: in what it had when it was opened, and in what comes in.
async fn look_at_log(core: &Arc<Core>, mut appended: mpsc::Receiver<Bytes>) {
    let next = *core.applied.borrow() + 1;
    if let Err(error) = look_at_what_was_there(core, next).await {
        tracing::warn!(%error, "looking for staged images in the log");
    }
    while let Some(entry) = appended.recv().await {
        prepare(core, &entry).await;
    }
}

async fn look_at_what_was_there(core: &Arc<Core>, mut at: u64) -> Result<()> {
    let log = core.cluster.log()?;
    let end = log.last()?.map_or(0, |last| last + 1);
    while at < end {
        let items = log.written(at..end, PAGE_BYTES).await?;
        let Some(last) = items.last() else { return Ok(()) };
        at = last.index + 1;
        for bytes in items.iter().filter_map(|item| item.bytes.as_ref()) {
            if may_stage(bytes) {
                prepare(core, bytes).await;
            }
        }
    }
    Ok(())
}

/// Begins to prepare what an entry stages.
async fn prepare(core: &Arc<Core>, entry: &[u8]) {
    for hash in staged(entry) {
        let core = Arc::clone(core);
        let prepare = move || core.images.prepare_from_anywhere(&hash);
        // It is tried again when it is activated, or called.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(prepare).await {
            tracing::warn!(%hash, %error, "image not prepared");
        }
    }
}

/// Whether an entry may stage an image: a look at bytes that must not take long.
pub(crate) fn may_stage(entry: &[u8]) -> bool {
    memchr::memmem::find(entry, b"stage").is_some()
}

/// The images that an entry stages, whether or not it will be admitted.
fn staged(entry: &[u8]) -> Vec<Hash> {
    let Ok(entry) = decode::<v1::Entry>("entry", entry) else { return Vec::new() };
    let Some(v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope) })) = entry.kind else {
        return Vec::new();
    };
    let Ok(batch) = Batch::decode(&envelope) else { return Vec::new() };
    let is_stage = |i: &&v1::Instruction| i.program_id == SYS && i.method == "stage";
    let hash = |i: &v1::Instruction| {
        let stage: v1::Stage = decode("args of sys/stage", &i.args).ok()?;
        Hash::try_from(stage.image.as_slice()).ok()
    };
    batch.instructions.iter().filter(is_stage).filter_map(hash).collect()
}

/// Brings images here that programs have and this node has not, now and whenever a snapshot may have
/// come, or a member that has them.
async fn bring_what_is_in_use(core: &Arc<Core>) {
    let mut changed = core.cluster.members_changed.subscribe();
    loop {
        let is_all_here = match bring_missing(core).await {
            Ok(is_all_here) => is_all_here,
            Err(error) => {
                tracing::warn!(%error, "images of programs that are not on this node");
                false
            }
        };
        tokio::select! {
            told = changed.changed() => if told.is_err() { return },
            () = sleep(ASK_AGAIN), if !is_all_here => {}
        }
    }
}

/// Whether all images of programs are here then.
async fn bring_missing(core: &Arc<Core>) -> Result<bool> {
    let looking = Arc::clone(core);
    let look = move || -> Result<_> {
        let mut missing = images_in_use(&looking.machine, &looking.store.view())?;
        missing.retain(|hash| matches!(looking.blobs.size(hash), Ok(None)));
        Ok(missing)
    };
    let mut is_all_here = true;
    for hash in tokio::task::spawn_blocking(look).await.map_err(internal)?? {
        if let Err(error) = core.fetch_blob(&hash).await {
            tracing::debug!(%hash, %error, "an image that a program has is not here");
            is_all_here = false;
        }
    }
    Ok(is_all_here)
}

#[cfg(test)]
mod tests;
