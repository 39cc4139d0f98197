//! Which entries are in memory for certain.

use std::collections::VecDeque;

/// The sizes of the last entries, as many as the segments' cache never lets go of: beyond its bounds
/// it drops the first ones.
pub(crate) struct Recent {
    sizes: VecDeque<usize>,
    bytes: usize,
    /// Behind the last entry.
    next: u64,
    entries_max: usize,
    bytes_max: usize,
}

impl Recent {
    /// Nothing is known of the entries before `next`.
    pub(crate) fn new(next: u64, entries_max: usize, bytes_max: usize) -> Self {
        Self { sizes: VecDeque::new(), bytes: 0, next, entries_max, bytes_max }
    }

    /// An entry of `size` bytes came.
    pub(crate) fn appended(&mut self, index: u64, size: usize) {
        if index != self.next {
            // A snapshot took the place of what was between.
            self.sizes.clear();
            self.bytes = 0;
        }
        self.sizes.push_back(size);
        self.bytes += size;
        self.next = index + 1;
        while self.sizes.len() > self.entries_max || self.bytes > self.bytes_max {
            self.bytes -= self.sizes.pop_front().unwrap_or(self.bytes);
        }
    }

    /// The entries from `next` on are gone.
    pub(crate) fn truncated(&mut self, next: u64) {
        while self.next > next
            && let Some(size) = self.sizes.pop_back()
        {
            self.bytes -= size;
            self.next -= 1;
        }
        self.next = self.next.min(next);
    }

    /// This entry and all behind it are in memory.
    pub(crate) fn first(&self) -> u64 {
        self.next - self.sizes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entries_within_both_bounds_are_in_memory() {
        let mut recent = Recent::new(10, 3, 100);
        assert_eq!(recent.first(), 10);
        for (index, size, first) in
            [(10, 40, 10), (11, 40, 10), (12, 40, 11), (13, 0, 11), (14, 0, 12), (15, 101, 16)]
        {
            recent.appended(index, size);
            assert_eq!(recent.first(), first, "{index}");
        }
    }

    #[test]
    fn what_was_cut_off_is_not() {
        let mut recent = Recent::new(0, 9, 100);
        (0..6).for_each(|index| recent.appended(index, 10));
        recent.truncated(4);
        recent.appended(4, 70);
        assert_eq!(recent.first(), 1, "0 went, since all were 110 bytes");
        recent.truncated(0);
        assert_eq!(recent.first(), 0);
        recent.appended(0, 1);
        assert_eq!(recent.first(), 0);
        recent.appended(70, 1);
        assert_eq!(recent.first(), 70, "behind a snapshot");
    }
}
