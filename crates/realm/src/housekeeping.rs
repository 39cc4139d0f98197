//! What keeps a realm within its bounds: the queue, the disk, the length of the log.

use crate::{halt::internal, realm::Core, replica::RealmLog};
use althing_protocol::{Error, Hash, Result};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{MissedTickBehavior, interval},
};

/// How often the disk and the length of the log are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often blobs that nothing needs are looked for.
const BLOBS_TICK: Duration = Duration::from_secs(3_600);
/// A blob that no program runs, has staged or keeps is removed when it is this old: it may have been
/// uploaded to be staged. Staging makes it young again.
const BLOB_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// What a queue that is full asks its caller to wait, in milliseconds.
const QUEUE_RETRY_MS: u64 = 50;
/// What a full disk asks, in milliseconds.
const DISK_RETRY_MS: u64 = 10_000;

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
    /// `exhausted` while less than the low-water mark is free.
    pub(crate) fn check_disk(&self) -> Result<()> {
        if !self.is_disk_low.load(Ordering::Relaxed) {
            return Ok(());
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
        let stat = rustix::fs::statvfs(&self.options.dir).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Runs until it is aborted.
pub(crate) async fn run(core: Arc<Core>, log: RealmLog) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut blobs_looked_at = Instant::now();
    let mut kept = BTreeSet::new();
    loop {
        ticks.tick().await;
        if blobs_looked_at.elapsed() >= BLOBS_TICK {
            blobs_looked_at = Instant::now();
            if let Err(error) = collect_blobs(Arc::clone(&core), &mut kept).await {
                tracing::warn!(%error, "removing blobs that nothing needs");
            }
        }
        look_at_disk(&core);
        if let Err(error) = compact(&core, &log).await {
            tracing::warn!(%error, "compaction");
        }
    }
}

/// Images that programs of the state need stay, and so do those of `kept`, which the log after the
/// state on disk may still name. `kept` becomes what is needed now.
async fn collect_blobs(core: Arc<Core>, kept: &mut BTreeSet<Hash>) -> Result<()> {
    let pinned = kept.clone();
    let collect = move || -> Result<BTreeSet<Hash>> {
        let view = core.store.view();
        let images = core.machine.images_in_use(&view).map_err(internal)?;
        let needed = images.iter().map(|image| Hash::try_from(image.as_slice()));
        let needed = needed.collect::<Result<BTreeSet<_>>>()?;
        needed.iter().for_each(|hash| core.blobs.pin(*hash));
        if core.store.durable().index < view.applied().index {
            return Ok(&needed | &pinned);
        }
        pinned.difference(&needed).for_each(|hash| core.blobs.unpin(hash));
        for hash in core.blobs.remove_unpinned(BLOB_AGE).map_err(Error::from)? {
            tracing::info!(%hash, "removed a blob that no program runs, has staged or keeps");
        }
        Ok(needed)
    };
    *kept = tokio::task::spawn_blocking(collect).await.map_err(internal)??;
    Ok(())
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::{Founding, Options, Realm};
    use althing_protocol::{SecretKey, sys, v1};
    use std::{fs::File, time::SystemTime};

    /// The same code with a custom section is another image.
    fn upload(realm: &Realm, n: u8) -> Hash {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests/counter.wasm");
        let component = std::fs::read(path);
        let mut component = component.expect("counter.wasm is missing: run `cargo xtask guests`");
        component.extend([0, 3, 1, b'v', n]);
        realm.core.blobs.put(&component).unwrap()
    }

    /// Makes every blob old, and waits until the state on disk is that of now.
    async fn age(realm: &Realm) {
        let long_ago = SystemTime::now() - 2 * BLOB_AGE;
        for (hash, _) in realm.core.blobs.list().unwrap() {
            let hash = hash.to_string();
            let path = realm.core.options.dir.join("blobs/whole").join(&hash[..2]).join(&hash);
            File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
        }
        let store = &realm.core.store;
        while store.durable().index < store.view().applied().index {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_no_program_needs_goes() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            disk_low_water_bytes: 0,
            state_flush_idle_ms: 1,
            ..Options::new(dir.path().join("realm"))
        };
        let founder = SecretKey::from_seed(&[1; 32]);
        let founding =
            Founding { name: "test".into(), founder: founder.public(), grants: Vec::new() };
        Realm::create(&options, founding).unwrap();
        let realm = Realm::open(options).await.unwrap();
        let [kept, active, staged, _stray] = [1, 2, 3, 4].map(|n| upload(&realm, n));
        let stage = |image: &Hash| {
            sys::stage(&v1::Stage {
                program: "p".into(),
                image: image.0.to_vec(),
                manifest: Some(v1::Manifest::default()),
                signature: None,
            })
        };
        let activate = |image: &Hash| {
            sys::activate(&v1::Activate { program: "p".into(), image: image.0.to_vec() })
        };
        let instructions =
            vec![stage(&kept), activate(&kept), stage(&active), activate(&active), stage(&staged)];
        realm.submit_as(&founder, instructions).await.unwrap();
        age(&realm).await;
        let blobs = || -> BTreeSet<_> {
            realm.core.blobs.list().unwrap().into_iter().map(|(hash, _)| hash).collect()
        };
        let mut pins = BTreeSet::new();
        collect_blobs(Arc::clone(&realm.core), &mut pins).await.unwrap();
        assert_eq!(blobs(), BTreeSet::from([kept, active, staged]));
        assert_eq!(pins, blobs());

        let end = vec![sys::disable("p"), sys::remove("p")];
        realm.submit_as(&founder, end).await.unwrap();
        age(&realm).await;
        collect_blobs(Arc::clone(&realm.core), &mut pins).await.unwrap();
        assert_eq!((blobs(), pins), (BTreeSet::new(), BTreeSet::new()));
        realm.shutdown().await.unwrap();
    }
}
