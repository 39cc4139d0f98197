//! The storage on disk: raft-log's segments, our mark, our guard.

use super::codec::{Flushed, Name, Payload, WalTypes};
use super::dir::{Dir, io_error};
use super::guard;
use super::mark::Mark;
use super::recent::Recent;
use super::{Done, FlushStats, Id, Record, State, Storage, Vote};
use crate::LogConfig;
use crate::fault::REMEDY;
use althing_protocol::Error;
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::codeq::OffsetSize;
use raft_log::{RaftLog, chunked_wal};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Reading a segment when the log opens.
const READ_BUFFER_BYTES: usize = 256 << 10;
/// Entries in memory, whatever their size.
const CACHE_ENTRIES_MAX: usize = 100_000;
/// What waits to be written, before an append waits too.
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// Entries and votes in segments.
pub(crate) struct Segments {
    wal: RaftLog<WalTypes>,
    mark: Arc<Mark>,
    salt: u64,
    /// Offset behind the last record.
    end: u64,
    appended: u64,
    recent: Recent,
    // Last: the directory is let go after the flushing thread is gone.
    _dir: Dir,
}

impl Segments {
    /// Opens what is in `dir`; an empty directory is an empty log.
    pub(crate) fn open(dir: Dir, config: &LogConfig) -> Result<Self, Error> {
        let path = dir.wal();
        let mark =
            Mark::open(&dir.durable()).map_err(|error| io_error("open", &dir.durable(), &error))?;
        guard::mend_tail(&path, mark.offset(), dir.salt)
            .map_err(|error| io_error("check", &path, &error))?
            .map_err(|damage| damaged(&damage))?;
        let wal = RaftLog::open(Arc::new(engine_config(&path, config)?))
            .map_err(|error| refused(&path, &error))?;
        let stat = wal.stat();
        let next = wal.log_state().last().map_or(0, |name| Id::from(*name).index + 1);
        let segments = Self {
            wal,
            mark: Arc::new(mark),
            salt: dir.salt,
            end: stat.open_chunk.global_end,
            appended: 0,
            recent: Recent::new(next, CACHE_ENTRIES_MAX, config.cache_bytes_max),
            _dir: dir,
        };
        segments.check_first(&path)?;
        Ok(segments)
    }

    /// The first entry follows what was purged: else a segment is missing.
    fn check_first(&self, path: &Path) -> Result<(), Error> {
        let State { last, purged, .. } = self.state();
        let next = purged.map_or(0, |id| id.index + 1);
        let Some(last) = last.filter(|last| last.index >= next) else { return Ok(()) };
        match self.wal.read(next, last.index + 1).next() {
            Some(Ok((name, _))) if Id::from(name).index == next => Ok(()),
            _ => Err(Error::internal(format!(
                "the log in {} does not begin at entry {next}: a segment is missing; {REMEDY}",
                path.display()
            ))),
        }
    }

    fn ended(&mut self, segment: raft_log::Segment) {
        self.end = segment.end().0;
    }
}

fn engine_config(path: &Path, config: &LogConfig) -> Result<raft_log::Config, Error> {
    let dir = path.to_str().ok_or_else(|| {
        Error::invalid(format!("the path {} is not UTF-8; use another directory", path.display()))
    })?;
    Ok(raft_log::Config {
        wal: chunked_wal::Config {
            dir: dir.to_owned(),
            read_buffer_size: Some(READ_BUFFER_BYTES),
            chunk_max_records: None,
            chunk_max_size: Some(config.segment_bytes_max),
            // The guard has cut off what may be; the engine would also cut at a damaged length.
            truncate_incomplete_record: Some(false),
            flush_batch_wait: Some(Duration::from_micros(config.flush_wait_us)),
            flush_batch_max_items: None,
            flush_queue_max_bytes: Some(QUEUE_BYTES_MAX),
        },
        log_cache_max_items: Some(CACHE_ENTRIES_MAX),
        log_cache_capacity: Some(config.cache_bytes_max),
    })
}

fn damaged(damage: &guard::Damage) -> Error {
    Error::internal(format!("the log is damaged: {damage}; nothing was changed; {REMEDY}"))
}

fn refused(path: &Path, error: &io::Error) -> Error {
    match guard::find(path) {
        Ok(Some(damage)) => damaged(&damage),
        _ => Error::internal(format!(
            "the log in {} cannot be opened: {error}; {REMEDY}",
            path.display()
        )),
    }
}

impl Storage for Segments {
    fn state(&self) -> State {
        let state = self.wal.log_state();
        State {
            vote: state.vote().copied(),
            last: state.last().copied().map(Id::from),
            committed: state.committed().copied().map(Id::from),
            purged: state.purged().copied().map(Id::from),
        }
    }

    fn append(&mut self, records: Vec<Record>) -> io::Result<()> {
        let mark = self.mark.offset() ^ self.salt;
        self.appended += records.len() as u64;
        let sizes: Vec<_> = records.iter().map(|r| (r.id.index, r.body.len())).collect();
        let entry = |Record { id, body }| Ok((Name::try_from(id)?, Payload { mark, body }));
        let entries = records.into_iter().map(entry).collect::<io::Result<Vec<_>>>()?;
        let segment = self.wal.append(entries)?;
        sizes.into_iter().for_each(|(index, size)| self.recent.appended(index, size));
        self.ended(segment);
        Ok(())
    }

    fn truncate_after(&mut self, last: Option<Id>) -> io::Result<()> {
        if self.state().last <= last {
            return Ok(());
        }
        let next = last.map_or(0, |id| id.index + 1);
        let segment = self.wal.truncate(next)?;
        self.recent.truncated(next);
        self.ended(segment);
        Ok(())
    }

    fn purge(&mut self, upto: Id) -> io::Result<()> {
        let segment = self.wal.purge(upto.try_into()?)?;
        self.ended(segment);
        Ok(())
    }

    fn save_vote(&mut self, vote: Vote) -> io::Result<()> {
        let segment = self.wal.save_vote(vote)?;
        self.ended(segment);
        Ok(())
    }

    fn save_committed(&mut self, committed: Id) -> io::Result<()> {
        let segment = self.wal.commit(committed.try_into()?)?;
        self.ended(segment);
        Ok(())
    }

    fn flush(&mut self, done: Done) -> io::Result<()> {
        let flushed = Flushed { upto: self.end, mark: self.mark.clone(), done: Some(done) };
        self.wal.flush(true, Some(flushed))
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut bytes = 0_usize;
        // The engine panics at a range that ends before it starts.
        for item in self.wal.read(range.start, range.end.max(range.start)) {
            let (name, Payload { body, .. }) = item?;
            bytes = bytes.saturating_add(body.len());
            if bytes > bytes_max && !records.is_empty() {
                break;
            }
            records.push(Record { id: name.into(), body });
        }
        Ok(records)
    }

    fn first_within(&self, bytes_max: u64) -> u64 {
        let stat = self.wal.stat();
        let mut bytes = stat.open_chunk.size;
        for segment in stat.closed_chunks.iter().rev() {
            bytes += segment.size;
            if bytes > bytes_max {
                return segment.log_state.last().map_or(0, |name| Id::from(*name).index + 1);
            }
        }
        0
    }

    fn first_in_memory(&self) -> u64 {
        self.recent.first()
    }

    fn stats(&self) -> FlushStats {
        let metrics = self.wal.stat().flush_metrics;
        FlushStats {
            flushes: metrics.sync_batch_count,
            entries: self.appended,
            bytes: metrics.write_bytes,
            appends_max: metrics.batch_size_max,
            flush_p50_us: metrics.sync_percentiles.p50_us,
            flush_p99_us: metrics.sync_percentiles.p99_us,
            flush_max_us: metrics.sync_max_us,
            disk_bytes: self.wal.on_disk_size(),
        }
    }

    fn close(mut self: Box<Self>) -> io::Result<()> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.flush(Box::new(move |result| drop(sender.send(result))))?;
        receiver.recv().map_err(|_| io::Error::other("the flushing thread is gone"))??;
        // Removals of purged segments are queued behind the flush.
        self.wal.wait_worker_idle()?;
        self.mark.sync()
    }
}
