//! What a node sees to before it proposes in a term: it has applied what was decided before it came
//! to lead, and its clock is that of the others.
//!
//! The door asks the state, and would refuse who was let in long ago. And the log's clock is the
//! leader's, and never goes back: one entry from a clock far ahead would end grants and invitations
//! before their time.

use super::{clock::DIFFERENCE_US_MAX, forward::no_leader};
use crate::{door::now_us, realm::Core};
use althing_log::Standing;
use althing_protocol::{Error, Result};
use futures::FutureExt;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::sync::Mutex as AsyncMutex;

/// Whether this node may propose.
#[derive(Debug, Default)]
pub(super) struct Office {
    /// The term in which this node led and had applied all that was decided before.
    level_in: AtomicU64,
    taken: Mutex<Option<Taken>>,
    /// When the last try failed, and why. There is one at a time: who waited for it is told what
    /// came of it.
    failed: AsyncMutex<Option<(Instant, Error)>>,
}

/// When all was seen to.
#[derive(Clone, Copy, Debug)]
struct Taken {
    term: u64,
    at: Instant,
    wall_us: u64,
}

impl Taken {
    fn now(term: u64) -> Self {
        Self { term, at: Instant::now(), wall_us: now_us() }
    }

    /// Whether that is so still: in the same term, and the clock was not set since.
    fn holds(&self, now: &Self) -> bool {
        let elapsed_us = i128::try_from(now.at.saturating_duration_since(self.at).as_micros());
        let moved_us = i128::from(now.wall_us) - i128::from(self.wall_us);
        let jumped_us = moved_us.saturating_sub(elapsed_us.unwrap_or(i128::MAX));
        self.term == now.term && jumped_us.unsigned_abs() <= DIFFERENCE_US_MAX.unsigned_abs().into()
    }
}

impl Office {
    fn is_taken(&self, now: &Taken) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.as_ref().is_some_and(|taken| taken.holds(now))
    }

    fn take(&self, now: Taken) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

impl Core {
    /// Sees to it that this node may propose; most times that is known.
    ///
    /// # Errors
    /// `unavailable` when it does not lead, has not applied all, or has a wrong clock.
    pub(super) async fn take_office(self: &Arc<Self>) -> Result<()> {
        let Standing { leads, term, members, .. } = self.cluster.standing()?;
        if !leads {
            return Err(no_leader());
        }
        self.check_clock_verdict()?;
        let (office, asked) = (&self.cluster.office, Taken::now(term));
        if office.is_taken(&asked) {
            return Ok(());
        }
        let mut failed = office.failed.lock().await;
        if office.is_taken(&asked) {
            return Ok(());
        }
        if let Some((at, error)) = &*failed
            && *at >= asked.at
        {
            return Err(error.clone());
        }
        // Of before the others are asked: what happens to the clock from here on shows.
        let now = Taken::now(term);
        // Boxed: this is done once in a term, and what is done always is not to carry its size.
        let level = self.become_level(term).boxed();
        let clock = self.check_clock(&members.voters).boxed();
        let seen_to = tokio::try_join!(level, clock).map(drop);
        match &seen_to {
            Ok(()) => office.take(now),
            Err(error) => *failed = Some((Instant::now(), error.clone())),
        }
        seen_to
    }

    /// Applies all that was decided before this node led in `term`.
    ///
    /// # Errors
    /// `unavailable` when it does not lead.
    pub(super) async fn become_level(self: &Arc<Self>, term: u64) -> Result<()> {
        let level_in = &self.cluster.office.level_in;
        if level_in.load(Ordering::Relaxed) != term {
            let index = self.cluster.log()?.read_index().await?;
            self.reach(index).await?;
            level_in.store(term, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_office_is_of_one_term_and_one_clock() {
        let taken = Taken::now(7);
        let later = |term, elapsed_s: u64, moved_s: i64| Taken {
            term,
            at: taken.at + Duration::from_secs(elapsed_s),
            wall_us: taken.wall_us.saturating_add_signed(moved_s * 1_000_000),
        };
        for (now, holds) in [
            (later(7, 0, 0), true),
            (later(7, 3_600, 3_600), true),
            (later(7, 3_600, 3_604), true),
            (later(8, 1, 1), false),
            // Set forward, and back.
            (later(7, 1, 60), false),
            (later(7, 60, 1), false),
            (later(7, 1, -3_600), false),
        ] {
            assert_eq!(taken.holds(&now), holds, "{now:?} after {taken:?}");
        }
    }
}
