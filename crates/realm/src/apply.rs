//! The apply thread: the only writer of the state.

use crate::{
    checkpoint::{COPIED, vouched},
    divergence::Divergence,
    housekeeping::images_in_use,
    realm::Core,
    replica::{Ran, Work, position},
};
use althing_log::{Committed, Halt, SnapshotFile};
use althing_machine::EntryAt;
use althing_protocol::{SYS, decode, limits, next_entry_chain, next_result_chain, v1};
use althing_state::{Applied, Tip, snapshot};
use prost::Message;
use std::{
    fs::File,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How often an idle apply thread looks whether the state should be flushed.
const IDLE_TICK: Duration = Duration::from_millis(500);
/// A batch of so many replayed entries is followed by another. Showing readers each of them would
/// copy a part of the map of fresh writes every time, a third of what replaying costs.
const REPLAY_BATCH: usize = 32;
/// Replayed entries that readers do not see yet, at most.
const REPLAY_HIDDEN_MAX: u64 = 4_096;

/// Runs until the log is gone; then hands the rest to the flusher.
pub(crate) fn run(core: &Core, work: &Receiver<Work>) {
    core.images.apply_is_here();
    let mut applier =
        Applier { core, tip: core.store.tip(), unflushed_since: None, members_changed: false };
    loop {
        match work.recv_timeout(IDLE_TICK) {
            Ok(Work::Entries(entries, done)) => finish(core, done, applier.batch(entries)),
            Ok(Work::Install(file, done)) => finish(core, done, applier.install(&file)),
            Err(RecvTimeoutError::Timeout) => applier.publish_hidden(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        applier.flush_if_due();
    }
    // Nobody is left to tell; what was not flushed is in the log.
    if let Err(halt) = applier.checkpoint_boundary() {
        core.stop.set(halt.0);
    }
}

/// Answers who waits, and stops the realm if that is why.
fn finish<T>(core: &Core, done: oneshot::Sender<Result<T, Halt>>, result: Result<T, Halt>) {
    if let Err(halt) = &result {
        core.stop.set(halt.0.clone());
    }
    let _ = done.send(result);
}

struct Applier<'a> {
    core: &'a Core,
    tip: Tip,
    unflushed_since: Option<Instant>,
    /// Who is a member may have changed since it was told.
    members_changed: bool,
}

impl Applier<'_> {
    fn batch(&mut self, entries: Vec<Committed>) -> Result<Vec<Arc<Ran>>, Halt> {
        self.check_runs()?;
        let more_follows = entries.len() >= REPLAY_BATCH;
        let mut ran = Vec::with_capacity(entries.len());
        for committed in entries {
            ran.extend(self.entry(&committed)?);
            if committed.index.is_multiple_of(limits::CHECKPOINT_INTERVAL) {
                self.checkpoint_boundary()?;
            }
        }
        if !(more_follows && self.may_hide()) {
            self.publish();
        }
        self.unflushed_since.get_or_insert_with(Instant::now);
        while self.tip.must_wait() {
            self.core.flusher.wait_idle().map_err(Halt)?;
        }
        Ok(ran)
    }

    fn check_runs(&self) -> Result<(), Halt> {
        self.core.stop.reason().map_or(Ok(()), |reason| Err(Halt(reason.to_owned())))
    }

    /// Puts the state of a snapshot in the place of this one. What is derived from the state follows
    /// it: the table of grants names the version it is of, sessions are read anew, and images that
    /// the new state runs are prepared.
    fn install(&mut self, file: &SnapshotFile) -> Result<(), Halt> {
        self.check_runs()?;
        let at = file.position.index;
        let halt = |e: &dyn std::fmt::Display| Halt(format!("snapshot of entry {at}: {e}"));
        let path = file.path.as_deref().ok_or_else(|| halt(&"there is no file"))?;
        let open = || File::open(path).map_err(|e| halt(&e));
        let header = snapshot::read_header(open()?).map_err(|e| halt(&e))?;
        if position(&header.applied) != file.position {
            return Err(halt(&format!("the file holds entry {}", header.applied.index)));
        }
        if at < self.tip.applied().index {
            let own = self.tip.applied().index;
            return Err(halt(&format!("this node has applied entry {own}")));
        }
        self.core.flusher.wait_idle().map_err(Halt)?;
        let meta = [(COPIED, &at.to_le_bytes()[..])];
        self.tip.replace(open()?, &meta).map_err(|e| halt(&e))?;
        self.unflushed_since = None;
        self.core.applied.send_replace(at);
        self.core.cluster.members_changed.send_replace(());
        self.core.flushed.send_replace(at);
        self.prepare_images(at)
    }

    /// Begins to compile what programs run, as when the realm opens. No snapshot holds images: what is
    /// not on this node comes from another, and so does what programs can be rolled back to
    /// (`cluster::prefetch`).
    fn prepare_images(&self, at: u64) -> Result<(), Halt> {
        let halt = |e: &dyn std::fmt::Display| Halt(format!("images after entry {at}: {e}"));
        let in_use = images_in_use(&self.core.machine, &self.core.store.view());
        self.core.images.kept.look(at, &in_use.map_err(|e| halt(&e))?, 0);
        self.core.images.kept.save(&self.core.store).map_err(|e| halt(&e))?;
        let images = crate::start::images_to_run(&self.core.machine, &self.core.store);
        for image in images.map_err(|e| Halt(e.message))? {
            if let Err(error) = self.core.images.prepare_from_anywhere(&image) {
                tracing::warn!(%image, %error, "image of the snapshot not prepared");
            }
        }
        Ok(())
    }

    /// Whether readers can do without the newest entries for now: they are part of a replay, so
    /// nobody waits for one of them alone.
    fn may_hide(&self) -> bool {
        let (newest, shown) = (self.tip.applied().index, *self.core.applied.borrow());
        newest < self.core.replayed_to.load(Ordering::Acquire)
            && newest.saturating_sub(shown) < REPLAY_HIDDEN_MAX
    }

    fn publish_hidden(&mut self) {
        if *self.core.applied.borrow() < self.tip.applied().index {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let newest = self.tip.applied().index;
        self.tip.publish();
        self.core.applied.send_replace(newest);
        if std::mem::take(&mut self.members_changed) {
            self.core.cluster.members_changed.send_replace(());
        }
    }

    fn entry(&mut self, committed: &Committed) -> Result<Option<Arc<Ran>>, Halt> {
        let Some(bytes) = &committed.bytes else {
            if let Some(membership) = &committed.membership
                && !self.core.cluster.votes_alone(membership).map_err(|e| Halt(e.message))?
            {
                self.core.checked_to.fetch_min(committed.index, Ordering::AcqRel);
            }
            let membership = committed.membership.as_deref().map(Arc::from);
            let applied = self.tip.applied().clone();
            let membership = membership.unwrap_or_else(|| Arc::clone(&applied.membership));
            self.tip.set_applied(Applied { membership, ..placed(applied, committed) });
            return Ok(None);
        };
        let halt = |what: &str, e: &dyn std::fmt::Display| {
            Halt(format!("entry {}: {what}: {e}", committed.index))
        };
        let entry: v1::Entry = decode("entry", bytes).map_err(|e| halt("malformed", &e))?;
        let is_verified = match &entry.kind {
            Some(v1::entry::Kind::Signed(signed)) => {
                committed.index <= self.core.checked_to.load(Ordering::Acquire)
                    || signed
                        .envelope
                        .as_ref()
                        .is_some_and(|e| self.core.verified.take(committed.index, e))
            }
            _ => true,
        };
        self.core.images.kept.applies(committed.index);
        let at = EntryAt { index: committed.index, entry: &entry, is_verified };
        let ran = self.core.machine.apply(self.tip.view(), at).map_err(|e| halt("stopped", &e))?;
        if let Some(v1::entry::Kind::Checkpoint(checkpoint)) = &entry.kind {
            self.compare(checkpoint)?;
        }
        let result = ran.result.encode_to_vec();
        let applied = self.tip.applied().clone();
        let applied = Applied {
            timestamp_us: ran.timestamp_us,
            entry_chain: next_entry_chain(&applied.entry_chain, committed.index, bytes),
            result_chain: next_result_chain(&applied.result_chain, committed.index, &result),
            ..placed(applied, committed)
        };
        self.tip.merge(ran.writes);
        self.tip.record(committed.index, result);
        self.tip.add_instructions((ran.result.outcomes.len() as u64).saturating_sub(1));
        self.tip.set_applied(applied);
        self.core.logs.extend(ran.logs);
        if let Some(v1::entry::Kind::Signed(_)) = &entry.kind {
            self.core.count(&ran.result.outcomes);
        }
        self.members_changed |= ran.result.outcomes.iter().any(is_about_members);
        Ok(Some(Arc::new(Ran { outcomes: ran.result.outcomes })))
    }

    /// Hands everything to the flusher. Every node does it at the same indices, so every node knows
    /// the state hash there.
    fn checkpoint_boundary(&mut self) -> Result<(), Halt> {
        while !self.freeze() {
            if self.tip.applied().index == self.core.store.durable().index {
                break;
            }
            self.core.flusher.wait_idle().map_err(Halt)?;
        }
        Ok(())
    }

    /// A checkpoint says what every node must have found. This one stops if it found otherwise; but
    /// not for what too few vouch for.
    fn compare(&self, claimed: &v1::Checkpoint) -> Result<(), Halt> {
        let voters = self.core.voters(&self.tip.view()).map_err(|e| Halt(e.to_string()))?;
        let (claimed, signers) = match vouched(&self.core.id, claimed, &voters) {
            Ok(vouched) => vouched,
            Err(error) => {
                tracing::error!(%error, "a checkpoint counts for nothing");
                return Ok(());
            }
        };
        let newest = |decided: &mut u64| *decided = claimed.index.max(*decided);
        self.core.cluster.decided.send_modify(newest);
        let read =
            || self.core.store.checkpoint_get(claimed.index).map_err(|e| Halt(e.to_string()));
        let mut own = read()?;
        if own.is_none() && self.core.store.durable().index < claimed.index {
            self.core.flusher.wait_idle().map_err(Halt)?;
            own = read()?;
        }
        // A node that was restored behind that index never had the values.
        let Some(own) = own else { return Ok(()) };
        if own == claimed {
            return Ok(());
        }
        Err(Halt(self.diverged(Divergence::new(&own, &claimed, &signers))))
    }

    /// Keeps what is known, unless more is known of it already; says why the realm stops.
    fn diverged(&self, found: Divergence) -> String {
        let dir = &self.core.options.dir;
        let kept = Divergence::read(dir).ok().flatten();
        let found = match kept.filter(|kept| kept.checkpoint == found.checkpoint) {
            Some(kept) => kept,
            None => {
                if let Err(error) = found.clone().keep(dir) {
                    tracing::error!(%error, "what is known about the divergence is not kept");
                }
                found
            }
        };
        let reason = found.reason(dir);
        self.core.cluster.diverged.send_replace(Some(found));
        reason
    }

    fn flush_if_due(&mut self) {
        let idle = Duration::from_millis(self.core.options.state_flush_idle_ms);
        let waited = self.unflushed_since.is_some_and(|since| since.elapsed() >= idle);
        if self.tip.freeze_due() || waited {
            self.freeze();
        }
    }

    fn freeze(&mut self) -> bool {
        let frozen = self.tip.freeze();
        if frozen {
            self.unflushed_since = None;
            self.core.flusher.wake();
        }
        frozen
    }
}

/// Whether `sys` said that a member was added, changed or removed.
fn is_about_members(outcome: &v1::Outcome) -> bool {
    outcome.events.iter().any(|event| event.program == SYS && event.topic.starts_with("member."))
}

fn placed(applied: Applied, committed: &Committed) -> Applied {
    Applied { index: committed.index, term: committed.term, node: committed.node, ..applied }
}
