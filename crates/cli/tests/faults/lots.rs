//! What a test leaves to chance, and for how long.

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use std::env;

/// A source of chance that can be had again.
pub(crate) struct Lots(StdRng);

impl Lots {
    /// Says its seed.
    pub(crate) fn draw() -> Self {
        let seed = number("ALTHING_FAULT_SEED").unwrap_or_else(rand::random);
        eprintln!("lots are drawn with ALTHING_FAULT_SEED={seed}");
        Self(StdRng::seed_from_u64(seed))
    }

    /// Chance for somebody else, which does not depend on who draws first.
    pub(crate) fn part(&mut self) -> Self {
        Self(StdRng::seed_from_u64(self.0.next_u64()))
    }

    /// From 0 to below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// Once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        items.shuffle(&mut self.0);
    }
}

/// Rounds of a loop that makes `usual` when nobody asks for more.
pub(crate) fn rounds(usual: usize) -> usize {
    number("ALTHING_FAULT_ROUNDS").map_or(usual, |rounds| rounds as usize)
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: is no number")))
}
