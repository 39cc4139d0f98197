//! What keeps a realm within its bounds: the queue, the disk, the length of the log.

use crate::{halt::internal, realm::Core, replica::RealmLog, transfer};
use althing_machine::Machine;
use althing_protocol::{Error, Hash, Result};
use althing_state::View;
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{MissedTickBehavior, interval},
};

/// How often the disk and the length of the log are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often files that nothing needs are looked for: blobs, and parts of snapshots.
const FILES_TICK: Duration = Duration::from_secs(3_600);
/// A blob that no program and no entry needs is removed when it is this old: it may have been uploaded
/// to be staged. Staging makes it young again.
const BLOB_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// What a queue that is full asks its caller to wait, in milliseconds.
const QUEUE_RETRY_MS: u64 = 50;
/// What a full disk asks, in milliseconds.
const DISK_RETRY_MS: u64 = 10_000;
/// What a leader asks that hands over, in milliseconds.
const HAND_OVER_RETRY_MS: u64 = 500;

/// Bounds what is between the door and its outcome.
#[derive(Debug)]
pub(crate) struct Queue {
    envelopes: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    envelopes_max: usize,
}

impl Queue {
    pub(crate) fn new(envelopes_max: usize, bytes_max: usize) -> Self {
        Self {
            envelopes: Arc::new(Semaphore::new(envelopes_max)),
            bytes: Arc::new(Semaphore::new(bytes_max)),
            envelopes_max,
        }
    }

    /// # Errors
    /// `exhausted` when it is full: refusing at once is kinder than a long wait.
    pub(crate) fn enter(&self, bytes: usize) -> Result<[OwnedSemaphorePermit; 2]> {
        let full = |_| {
            Error::exhausted("queue of the realm: full; send again a little later")
                .retry_after_ms(QUEUE_RETRY_MS)
        };
        let bytes = u32::try_from(bytes).map_err(internal)?;
        let one = Arc::clone(&self.envelopes).try_acquire_owned().map_err(full)?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(bytes).map_err(full)?;
        Ok([one, bytes])
    }

    pub(crate) fn waiting(&self) -> usize {
        self.envelopes_max.saturating_sub(self.envelopes.available_permits())
    }
}

impl Core {
    /// # Errors
    /// `exhausted` while less than the low-water mark is free; `unavailable` where another node can
    /// lead, which this one sees to.
    pub(crate) fn check_disk(&self) -> Result<()> {
        if !self.is_disk_low.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !self.heirs().is_empty() {
            return Err(Error::unavailable(format!(
                "disk under {}: less than {} bytes are free, so this node hands the leadership over; \
                 ask again",
                self.options.dir.display(),
                self.options.disk_low_water_bytes
            ))
            .retry_after_ms(HAND_OVER_RETRY_MS));
        }
        Err(Error::exhausted(format!(
            "disk under {}: less than {} bytes are free, so writes are refused while reads go on; \
             free some space, or lower disk_low_water_bytes",
            self.options.dir.display(),
            self.options.disk_low_water_bytes
        ))
        .retry_after_ms(DISK_RETRY_MS))
    }

    /// Free space of the realm's file system, in bytes; none if the system does not say.
    pub(crate) fn disk_free_bytes(&self) -> Option<u64> {
        free_bytes(&self.options.dir)
    }
}

/// Free space of the file system under `dir`, in bytes; none if the system does not say.
pub(crate) fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Runs until it is aborted.
pub(crate) async fn run(core: Arc<Core>, log: RealmLog) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut files_looked_at = Instant::now();
    loop {
        ticks.tick().await;
        if files_looked_at.elapsed() >= FILES_TICK {
            files_looked_at = Instant::now();
            let first_kept = log.first_kept();
            let removed = async { remove_files(Arc::clone(&core), first_kept?).await };
            if let Err(error) = removed.await {
                tracing::warn!(%error, "removing files that nothing needs");
            }
        }
        look_at_disk(&core);
        if let Err(error) = compact(&core, &log).await {
            tracing::warn!(%error, "compaction");
        }
    }
}

/// Removes blobs that neither a program nor an entry of the log needs, which begins with entry
/// `first_kept`; and what was received of snapshots that nobody goes on sending.
async fn remove_files(core: Arc<Core>, first_kept: u64) -> Result<()> {
    let remove = move || {
        let view = core.store.view();
        let in_use = images_in_use(&core.machine, &view)?;
        core.images.kept.look(view.applied().index, &in_use, first_kept);
        core.images.kept.save(&core.store).map_err(internal)?;
        for hash in core.blobs.remove_unpinned(BLOB_AGE).map_err(Error::from)? {
            tracing::info!(%hash, "removed a blob that no program and no entry of the log needs");
        }
        match core.cluster.receiving.try_lock() {
            Ok(_nobody_sends) => transfer::discard_old(&core.options.dir),
            Err(_) => Ok(()),
        }
    };
    tokio::task::spawn_blocking(remove).await.map_err(internal)?
}

/// The images that programs of `view` run, have staged, or keep to be rolled back to.
pub(crate) fn images_in_use(machine: &Machine, view: &View) -> Result<BTreeSet<Hash>> {
    let images = machine.images_in_use(view).map_err(internal)?;
    images.iter().map(|image| Hash::try_from(image.as_slice())).collect()
}

fn look_at_disk(core: &Core) {
    let Some(free) = core.disk_free_bytes() else { return };
    let is_low = free < core.options.disk_low_water_bytes;
    if core.is_disk_low.swap(is_low, Ordering::Relaxed) != is_low {
        match is_low {
            true => tracing::error!(free, "disk below its low-water mark: writes are refused"),
            false => tracing::info!(free, "disk above its low-water mark: writes go on"),
        }
    }
}

/// Cuts the log behind the newest checkpoint that leaves what the options say: from there a reader
/// can verify what is kept.
async fn compact(core: &Arc<Core>, log: &RealmLog) -> Result<()> {
    let durable = core.store.durable().index;
    let first = log.first_kept()?;
    let newest = log.keep_from()?.saturating_sub(1).min(durable);
    let boundary = newest - newest % althing_protocol::limits::CHECKPOINT_INTERVAL;
    if boundary <= first {
        return Ok(());
    }
    if core.store.checkpoint_get(boundary).map_err(internal)?.is_none() {
        return Ok(());
    }
    let first = log.compact(boundary).await?;
    core.store.prune_results(first);
    let pruned = Arc::clone(core);
    let prune = move || pruned.store.checkpoints_prune(first.saturating_sub(1));
    tokio::task::spawn_blocking(prune).await.map_err(internal)?.map_err(internal)?;
    tracing::info!(first, "the log was compacted");
    Ok(())
}

#[cfg(test)]
mod tests;
