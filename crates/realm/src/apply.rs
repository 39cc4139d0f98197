//! The apply thread: the only writer of the state.

use crate::{
    realm::Core,
    replica::{Ran, Work},
};
use althing_log::{Committed, Halt};
use althing_machine::EntryAt;
use althing_protocol::{Hash, decode, limits, next_entry_chain, next_result_chain, v1};
use althing_state::{Applied, Tip};
use prost::Message;
use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// How often an idle apply thread looks whether the state should be flushed.
const IDLE_TICK: Duration = Duration::from_millis(500);
/// A batch of so many replayed entries is followed by another. Showing readers each of them would
/// copy a part of the map of fresh writes every time, a third of what replaying costs.
const REPLAY_BATCH: usize = 32;
/// Replayed entries that readers do not see yet, at most.
const REPLAY_HIDDEN_MAX: u64 = 4_096;

/// Runs until the log is gone; then hands the rest to the flusher.
pub(crate) fn run(core: &Core, work: &Receiver<Work>) {
    let mut applier = Applier { core, tip: core.store.tip(), unflushed_since: None };
    loop {
        match work.recv_timeout(IDLE_TICK) {
            Ok(Work { entries, done }) => {
                let result = applier.batch(entries);
                if let Err(halt) = &result {
                    core.stop.set(halt.0.clone());
                }
                let _ = done.send(result);
            }
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

struct Applier<'a> {
    core: &'a Core,
    tip: Tip,
    unflushed_since: Option<Instant>,
}

impl Applier<'_> {
    fn batch(&mut self, entries: Vec<Committed>) -> Result<Vec<Arc<Ran>>, Halt> {
        self.core.stop.reason().map_or(Ok(()), |reason| Err(Halt(reason.to_owned())))?;
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
    }

    fn entry(&mut self, committed: &Committed) -> Result<Option<Arc<Ran>>, Halt> {
        let Some(bytes) = &committed.bytes else {
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
                committed.index <= self.core.replayed_to.load(Ordering::Acquire)
                    || signed.envelope.as_ref().is_some_and(|e| self.core.verified.take(e))
            }
            _ => true,
        };
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
        self.core.count(&ran.result.outcomes);
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

    /// A checkpoint says what every node must have found. This one stops if it found otherwise.
    fn compare(&self, claimed: &v1::Checkpoint) -> Result<(), Halt> {
        let read =
            || self.core.store.checkpoint_get(claimed.index).map_err(|e| Halt(e.to_string()));
        let mut own = read()?;
        if own.is_none() && self.core.store.durable().index < claimed.index {
            self.core.flusher.wait_idle().map_err(Halt)?;
            own = read()?;
        }
        // A node that was restored behind that index never had the values.
        let Some(own) = own else { return Ok(()) };
        let values = [
            ("chain of entries", own.entry_chain, &claimed.entry_chain),
            ("chain of results", own.result_chain, &claimed.result_chain),
            ("state", own.state_hash, &claimed.state_hash),
        ];
        for (what, own, claimed_value) in values {
            if Hash::try_from(claimed_value.as_slice()) != Ok(own) {
                return Err(Halt(format!(
                    "diverged: at entry {} this node's {what} differs from the checkpoint's; keep \
                     the data directory as evidence and restore the node from a snapshot",
                    claimed.index
                )));
            }
        }
        Ok(())
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

fn placed(applied: Applied, committed: &Committed) -> Applied {
    Applied { index: committed.index, term: committed.term, node: committed.node, ..applied }
}
