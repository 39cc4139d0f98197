//! Ticks: entries in which the machine does what is due without an instruction. The node that leads
//! proposes one when there is something, and the next when that one is applied.
//!
//! What is due stands in the state. So nothing is remembered here: whoever leads next goes on, and a tick
//! that is lost, or comes twice, does no harm.

use crate::{
    door::now_us,
    halt::{internal, stopped},
    realm::Core,
};
use althing_machine::Due;
use althing_protocol::{Error, Result, v1};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

/// For a tick to be applied. After that it may be lost, and another one is proposed.
const APPLY_WAIT: Duration = Duration::from_secs(10);
/// After a failure: the disk is low, the clock is wrong, the log takes nothing.
const PAUSE: Duration = Duration::from_millis(500);
/// A timer that is further away is looked at again: the clock may have been set.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// Runs until it is aborted, or the log ends.
pub(crate) async fn run(core: Arc<Core>) {
    let Ok(log) = core.cluster.log() else { return };
    let mut standing = log.watch();
    let mut applied = core.applied.subscribe();
    loop {
        // Before the look: what is applied during it is looked at again.
        applied.mark_unchanged();
        let wait = match standing.now().leads {
            true => core.do_what_is_due().await,
            false => None,
        };
        let waited = async {
            match wait {
                Some(wait) => sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = waited => {}
            changed = applied.changed() => if changed.is_err() { return },
            changed = standing.changed() => if changed.is_none() { return },
        }
    }
}

impl Core {
    /// Proposes ticks while something is due. Says when to look again, if time alone can make a
    /// difference.
    async fn do_what_is_due(self: &Arc<Self>) -> Option<Duration> {
        loop {
            let failed = match self.due().await {
                Ok(Due::Now) => self.tick().await,
                Ok(Due::At(due_us)) => {
                    let ahead = Duration::from_micros(due_us.saturating_sub(now_us()));
                    return Some(ahead.min(SLEEP_MAX));
                }
                Ok(Due::Never) => return None,
                Err(error) => Err(error),
            };
            if let Err(error) = failed {
                tracing::debug!(%error, "a tick waits");
                return Some(PAUSE);
            }
        }
    }

    /// What is due may have to be read from the disk.
    async fn due(self: &Arc<Self>) -> Result<Due> {
        let core = Arc::clone(self);
        let read = move || core.machine.due(&core.store.view(), now_us());
        tokio::task::spawn_blocking(read).await.map_err(internal)?.map_err(internal)
    }

    /// Returns when a tick is applied here.
    async fn tick(self: &Arc<Self>) -> Result<()> {
        self.stop.check()?;
        self.check_disk()?;
        self.take_office().await?;
        let (answer, applied) = oneshot::channel();
        self.propose(v1::entry::Kind::Tick(v1::Tick {}), Some(answer)).await?;
        let lost =
            || Error::unavailable("a tick: the log took it, and did not say what became of it");
        let applied = timeout(APPLY_WAIT, applied).await.map_err(|_| lost())?;
        applied.map_err(|_| stopped("it is shutting down"))?.map(drop)
    }
}

#[cfg(test)]
mod tests;
