//! A log whose node is stopped: looked at, and made to fit a state that comes from elsewhere.

use crate::config::LogConfig;
use crate::replica::Position;
use crate::store::{Dir, Id, Segments, State, Storage, Vote, go_on_behind};
use althing_protocol::{Error, Result};
use std::io;
use std::path::Path;

/// What a log holds. That it could be read says that it is whole: nothing is missing in it that
/// its node had answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Raft id of its node.
    pub node: u64,
    /// The first entry that it keeps, or would keep.
    pub first: u64,
    /// The last entry.
    pub last: u64,
}

impl Kept {
    /// Reads the log in `dir`, which finds damage.
    ///
    /// # Errors
    /// `unavailable` when a process has it open; what is missing or damaged.
    pub fn read(dir: &Path) -> Result<Self> {
        let (node, storage) = open(dir)?;
        let State { last, purged, .. } = storage.state();
        storage.close().map_err(|error| failed(dir, &error))?;
        let last = last.ok_or_else(|| {
            Error::not_found(format!("the log in {} was never begun", dir.display()))
        })?;
        Ok(Self { node, first: purged.map_or(0, |id| id.index + 1), last: last.index })
    }
}

/// Makes the log in `dir` one that goes on behind a state at `at`, which other nodes have decided.
/// What it promised in elections stays, and so does every entry that can be one of the realm's.
///
/// # Errors
/// `conflict` when the log begins further behind, or contradicts the state with what is decided in
/// it; what keeps it from being read or written.
pub fn fit(dir: &Path, at: &Position) -> Result<()> {
    let (_, mut storage) = open(dir)?;
    let fitted = fit_storage(&mut *storage, at);
    let closed = storage.close().map_err(|error| failed(dir, &error));
    fitted.map_err(|error| failed(dir, &error))?;
    closed
}

fn fit_storage(storage: &mut dyn Storage, at: &Position) -> io::Result<()> {
    go_on_behind(storage, Id { term: at.term, node: at.node, index: at.index })?;
    // A node that has a leader's entries has heard of its term.
    let heard = Vote { term: at.term, node: at.node, committed: false };
    let vote = storage.state().vote;
    if vote.is_none_or(|vote| (vote.term, vote.node) < (heard.term, heard.node)) {
        storage.save_vote(heard)?;
    }
    Ok(())
}

fn open(dir: &Path) -> Result<(u64, Box<dyn Storage>)> {
    let node = Dir::owner(dir)?;
    let config = LogConfig::new(dir, node);
    let storage = Segments::open(Dir::open(dir, node)?, &config)?;
    Ok((node, Box::new(storage)))
}

fn failed(dir: &Path, error: &io::Error) -> Error {
    Error::conflict(format!("the log in {}: {error}", dir.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::{Body, Record};
    use std::fs;
    use tempfile::TempDir;

    fn id(term: u64, index: u64) -> Id {
        Id { term, node: 1, index }
    }

    fn at(term: u64, index: u64) -> Position {
        Position { index, term, node: 1, membership: b"members".to_vec() }
    }

    /// A log of node 7 with these entries by term, purged up to an index.
    fn log(terms: &[u64], purged: Option<u64>) -> TempDir {
        let dir = TempDir::new().unwrap();
        let config = LogConfig::new(dir.path(), 7);
        let mut storage =
            Box::new(Segments::open(Dir::create(dir.path(), 7).unwrap(), &config).unwrap());
        let records = terms.iter().zip(0..).map(|(term, index)| {
            let body = Body::Command(vec![index as u8; 10].into());
            Record { id: id(*term, index), body }
        });
        storage.append(records.collect()).unwrap();
        let last = *terms.last().unwrap();
        storage.save_vote(Vote { term: last, node: 1, committed: true }).unwrap();
        if let Some(purged) = purged {
            storage.purge(id(terms[purged as usize], purged)).unwrap();
        }
        storage.close().unwrap();
        dir
    }

    fn state(dir: &TempDir) -> State {
        let (_, storage) = open(dir.path()).unwrap();
        let state = storage.state();
        storage.close().unwrap();
        state
    }

    #[test]
    fn a_log_says_what_it_keeps() {
        let kept = |purged| Kept::read(log(&[1, 1, 2, 2], purged).path()).unwrap();
        assert_eq!(kept(None), Kept { node: 7, first: 0, last: 3 });
        assert_eq!(kept(Some(1)), Kept { node: 7, first: 2, last: 3 });
    }

    #[test]
    fn a_log_that_lost_something_says_so() {
        let dir = log(&[1, 1, 2, 2], None);
        fs::remove_dir_all(dir.path().join("wal")).unwrap();
        let error = Kept::read(dir.path()).unwrap_err();
        assert!(error.message.contains("acknowledged bytes are missing"), "{error}");
        fs::remove_file(dir.path().join("durable")).unwrap();
        let error = Kept::read(dir.path()).unwrap_err();
        assert!(error.message.contains("never begun"), "{error}");
        fs::remove_file(dir.path().join("format")).unwrap();
        let error = Kept::read(dir.path()).unwrap_err();
        assert!(error.message.contains("no log"), "{error}");
    }

    /// Of a log of four entries of the terms 1, 1, 4, 4, purged up to an index, with a state at a term
    /// and an index: it is purged up to an index then, ends at one, and has voted in a term.
    #[test]
    fn only_what_cannot_be_decided_goes() {
        for (purged, (term, index), expected) in [
            // The state lies within, and at the end of the log.
            (None, (1, 1), (None, 3, 4)),
            (None, (4, 3), (None, 3, 4)),
            (Some(1), (1, 1), (Some(1), 3, 4)),
            // It lies behind it, of the same leader, a later one, and an earlier one.
            (None, (4, 9), (Some(9), 9, 4)),
            (None, (5, 9), (Some(9), 9, 5)),
            (Some(1), (3, 9), (Some(9), 9, 4)),
            // Others went on from before the end; the log's end is of an earlier leader, or a later.
            (None, (5, 2), (Some(2), 2, 5)),
            (Some(1), (5, 3), (Some(3), 3, 5)),
            (None, (3, 2), (Some(2), 2, 4)),
            (Some(1), (1, 3), (Some(3), 3, 4)),
        ] {
            let dir = log(&[1, 1, 4, 4], purged);
            fit(dir.path(), &at(term, index)).unwrap();
            let state = state(&dir);
            let purged_now = state.purged.map(|id| id.index);
            let found = (purged_now, state.last.unwrap().index, state.vote.unwrap().term);
            assert_eq!(found, expected, "{purged:?} {term} {index}");
        }
    }

    #[test]
    fn a_state_from_before_the_log_is_refused() {
        let dir = log(&[1, 1, 2, 2], Some(2));
        let error = fit(dir.path(), &at(1, 1)).unwrap_err();
        assert!(error.message.contains("begins behind entry 1"), "{error}");
        let error = fit(dir.path(), &at(1, 2)).unwrap_err();
        assert!(error.message.contains("contradicts the state at entry 2 of term 1"), "{error}");
        assert_eq!(state(&dir).last, Some(id(2, 3)));
    }
}
