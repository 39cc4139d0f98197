//! A log beside a state that others have decided.

use super::{Id, State, Storage};
use std::io;

/// Makes a log go on behind a state that ends with the entry `at`.
///
/// Where the log does not have that entry, what it holds in that place, and all behind it, was never
/// decided and never will be: leaders since then have the entry. Nor is anything of what lies between
/// its last decided entry and the state. A crash between a snapshot and the cut of the log leaves it
/// so. With such entries below what is decided the engine would refuse to run, or take them for
/// decided ones; so they go, and the log begins behind the state.
pub(crate) fn go_on_behind(storage: &mut dyn Storage, at: Id) -> io::Result<()> {
    let State { committed, purged, .. } = storage.state();
    let found = storage.read(at.index..at.index + 1, 0)?.first().map(|record| record.id);
    if found.or(purged) == Some(at) {
        return Ok(());
    }
    let decided = committed.max(purged);
    if let Some(decided) = decided.filter(|decided| *decided >= at || decided.index >= at.index) {
        return Err(io::Error::other(if purged.is_some_and(|purged| purged.index > at.index) {
            format!("it begins behind entry {}, where the state stands", at.index)
        } else {
            format!(
                "entry {} of term {} is decided in it, which contradicts the state at entry {} of term {}",
                decided.index, decided.term, at.index, at.term
            )
        }));
    }
    storage.truncate_after(decided)?;
    storage.purge(at)
}
