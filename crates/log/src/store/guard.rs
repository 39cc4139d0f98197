//! Before the segments are opened: tells a tail torn by power loss from damage.
//!
//! Bytes are written, then flushed, then acknowledged, in batches that do not overlap. So a record
//! that cannot be read at offset `at` was acknowledged if the mark lies beyond `at`, or if some
//! later record does, which says when it was written that the log was durable beyond `at`. If
//! neither holds, `at` lies in the batch that was being flushed: it is cut off, with what follows.

use super::Id;
use super::codec::WalTypes;
use raft_log::codeq::Decode;
use raft_log::{RaftLogAction, RaftLogRecord, WALRecord, chunked_wal};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where acknowledged bytes are damaged or gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what} at byte {at}, after entry {}", file.display(), last.map_or("none".into(), |id| id.index.to_string()))]
pub(crate) struct Damage {
    pub(crate) file: PathBuf,
    /// Offset in the file.
    pub(crate) at: u64,
    /// The last entry before it in that file.
    pub(crate) last: Option<Id>,
    pub(crate) what: &'static str,
}

/// A segment: its file, and the offset of its first byte in the log.
struct Segment {
    file: PathBuf,
    start: u64,
}

/// The whole records that a segment begins with.
struct Whole {
    end: usize,
    last: Option<Id>,
}

/// Cuts off what was never acknowledged. What was, and cannot be read, is damage.
pub(crate) fn mend_tail(wal: &Path, mark: u64, salt: u64) -> io::Result<Result<(), Damage>> {
    let mut segments = list(wal)?;
    while let Some(Segment { file, start }) = segments.pop() {
        let bytes = fs::read(&file)?;
        let whole = walk(&bytes);
        let at = start + whole.end as u64;
        let damage = |what| {
            Ok(Err(Damage { file: file.clone(), at: whole.end as u64, last: whole.last, what }))
        };
        if at < mark {
            let missing = whole.end == bytes.len();
            return damage(if missing {
                "acknowledged bytes are missing"
            } else {
                "an acknowledged record is damaged"
            });
        }
        if whole.end == bytes.len() && whole.end > 0 {
            return Ok(Ok(()));
        }
        if durable_beyond(&bytes, whole.end, start, salt) {
            return damage("an acknowledged record is damaged");
        }
        tracing::warn!(file = %file.display(), at = whole.end, dropped = bytes.len() - whole.end,
            "dropping a tail that was never acknowledged");
        if whole.end > 0 {
            let file = File::options().write(true).open(&file)?;
            file.set_len(whole.end as u64)?;
            file.sync_all()?;
            return Ok(Ok(()));
        }
        // A segment is begun after the one before it is flushed: that one is the last now.
        fs::remove_file(&file)?;
        File::open(wal)?.sync_all()?;
    }
    if mark > 0 {
        let what = "acknowledged bytes are missing";
        return Ok(Err(Damage { file: wal.to_owned(), at: 0, last: None, what }));
    }
    Ok(Ok(()))
}

/// The first damage in any segment.
pub(crate) fn find(wal: &Path) -> io::Result<Option<Damage>> {
    for Segment { file, .. } in list(wal)? {
        let bytes = fs::read(&file)?;
        let Whole { end, last } = walk(&bytes);
        if end < bytes.len() || end == 0 {
            return Ok(Some(Damage { file, at: end as u64, last, what: "a record is damaged" }));
        }
    }
    Ok(None)
}

fn list(wal: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(wal)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Ok(start) = chunked_wal::Config::parse_chunk_file_name(&name.to_string_lossy()) {
            segments.push(Segment { file: entry.path(), start });
        }
    }
    segments.sort_by_key(|segment| segment.start);
    Ok(segments)
}

fn walk(bytes: &[u8]) -> Whole {
    let mut whole = Whole { end: 0, last: None };
    while whole.end < bytes.len() {
        let mut rest = &bytes[whole.end..];
        let Ok(record) = RaftLogRecord::<WalTypes>::decode(&mut rest) else { break };
        if let WALRecord::Action(RaftLogAction::Append(name, _)) = record {
            whole.last = Some(name.into());
        }
        whole.end = bytes.len() - rest.len();
    }
    whole
}

/// Whether a record behind `from` says that the log was durable beyond `from` when it was written.
fn durable_beyond(bytes: &[u8], from: usize, start: u64, salt: u64) -> bool {
    const APPEND: [u8; 4] = [0, 0, 0, 1];
    let behind = from + 1;
    bytes.get(behind..).unwrap_or_default().windows(APPEND.len()).enumerate().any(|(i, tag)| {
        if tag != APPEND {
            return false;
        }
        let at = behind + i;
        let Ok(WALRecord::Action(RaftLogAction::Append(_, payload))) =
            RaftLogRecord::<WalTypes>::decode(&bytes[at..])
        else {
            return false;
        };
        let mark = payload.mark ^ salt;
        // What lies beyond the record itself was not durable before it: such bytes are no record.
        mark > start + from as u64 && mark <= start + at as u64
    })
}
