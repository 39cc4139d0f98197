//! The flusher thread: makes frozen state durable, records checkpoints, and closes old views.

use crate::realm::Core;
use althing_protocol::limits;
use althing_state::{Flushed, Flusher, Store, View};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What apply and the flusher tell each other.
#[derive(Debug, Default)]
struct Signals {
    has_work: bool,
    is_busy: bool,
    is_closed: bool,
    failed: Option<String>,
    /// Generations of views that are held, with how many.
    held: BTreeMap<u64, usize>,
}

/// A view that does not get too old: a snapshot is written from it, which takes as long as it takes.
pub(crate) struct HeldView<'a> {
    flusher: &'a FlusherHandle,
    view: View,
}

impl HeldView<'_> {
    pub(crate) fn view(&self) -> &View {
        &self.view
    }
}

impl Drop for HeldView<'_> {
    fn drop(&mut self) {
        let mut signals = self.flusher.lock();
        if let Some(count) = signals.held.get_mut(&self.view.generation()) {
            *count -= 1;
            signals.held.retain(|_, count| *count > 0);
        }
    }
}

/// The flusher as the rest of the realm sees it.
#[derive(Debug, Default)]
pub(crate) struct FlusherHandle {
    signals: Mutex<Signals>,
    changed: Condvar,
}

impl FlusherHandle {
    /// There is something frozen.
    pub(crate) fn wake(&self) {
        self.lock().has_work = true;
        self.changed.notify_all();
    }

    /// Waits until all that was frozen is durable.
    ///
    /// # Errors
    /// Why flushing failed.
    pub(crate) fn wait_idle(&self) -> Result<(), String> {
        let mut signals = self.lock();
        while (signals.has_work || signals.is_busy) && signals.failed.is_none() {
            signals = self.changed.wait(signals).unwrap_or_else(PoisonError::into_inner);
        }
        signals.failed.clone().map_or(Ok(()), Err)
    }

    /// The state of now, to be read for as long as it takes.
    pub(crate) fn hold(&self, store: &Store) -> HeldView<'_> {
        let view = store.view();
        *self.lock().held.entry(view.generation()).or_default() += 1;
        HeldView { flusher: self, view }
    }

    /// The oldest generation that is held.
    fn oldest_held(&self) -> Option<u64> {
        self.lock().held.first_key_value().map(|(generation, _)| *generation)
    }

    /// Ends the thread once nothing is left to flush.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn next(&self) -> bool {
        let mut signals = self.lock();
        signals.is_busy = false;
        self.changed.notify_all();
        while !signals.has_work && !signals.is_closed {
            signals = self.changed.wait(signals).unwrap_or_else(PoisonError::into_inner);
        }
        let more = signals.has_work;
        (signals.has_work, signals.is_busy) = (false, more);
        more
    }

    /// Whoever waits need not: a thread of the realm is gone.
    pub(crate) fn give_up(&self) {
        self.fail("a thread of the realm is gone".to_owned());
    }

    fn fail(&self, reason: String) {
        self.lock().failed = Some(reason);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Signals> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until closed. A failed flush stops the realm loudly: what is on disk is then unknown until
/// the store is opened again.
pub(crate) fn run(core: &Core, mut flusher: Flusher) {
    let lifetime = Duration::from_millis(core.options.view_lifetime_ms);
    let mut generations = VecDeque::new();
    while core.flusher.next() {
        // A state on disk needs no image that the table on disk does not have.
        let saved = core.images.kept.save(&core.store);
        let flushed = saved
            .and_then(|()| flusher.flush())
            .and_then(|flushed| flushed.map_or(Ok(()), |flushed| record(core, &flushed)));
        if let Err(error) = flushed {
            let reason = format!("flushing the state: {error}");
            core.flusher.fail(reason.clone());
            core.stop.set(reason);
            return;
        }
        generations.push_back((Instant::now(), core.store.generations().1));
        while generations.front().is_some_and(|(at, _)| at.elapsed() > lifetime) {
            if let Some((_, generation)) = generations.pop_front() {
                let held = core.flusher.oldest_held().unwrap_or(generation);
                core.store.expire_views(generation.min(held));
            }
        }
        core.flushed.send_replace(core.store.durable().index);
    }
}

/// At a checkpoint's index, its values are kept, and told to whoever brings them before all.
fn record(core: &Core, flushed: &Flushed) -> Result<(), althing_state::StateError> {
    let applied = &flushed.applied;
    if applied.index == 0 || !applied.index.is_multiple_of(limits::CHECKPOINT_INTERVAL) {
        return Ok(());
    }
    let values = applied.checkpoint(flushed.state_hash);
    core.store.checkpoint_put(&values)?;
    core.checkpoint_found(values);
    Ok(())
}
