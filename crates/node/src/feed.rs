//! The log and its events, as something that is read on and on.
//!
//! A feed pulls: it reads the next page only when its reader took the last one, so a slow reader
//! costs one page of memory and holds nobody up. Token and grant are asked for again at every
//! page: who lost them gets no further.

use crate::admission::Permit;
use crate::host::Host;
use althing_operations::{Authority, Caller, Need};
use althing_protocol::{Error, Result, SYS, v1};
use althing_realm::LogEntry;
use futures::future::BoxFuture;
use futures::stream::{self, Stream};
use prost::Message;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Entries of one page.
const PAGE_ENTRIES_MAX: u64 = 256;
/// Bytes of one page.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// How often a feed with nothing to read asks whether its reader may still read.
const IDLE_CHECK: Duration = Duration::from_secs(5);

/// Entries from an index on.
pub(crate) struct LogFeed {
    host: Arc<Host>,
    caller: Caller,
    need: Need,
    next: u64,
    left: Option<u64>,
    follow: bool,
    applied: watch::Receiver<u64>,
    page: VecDeque<LogEntry>,
    _permit: Permit,
}

/// A feed as a stream of what `next` makes of it; over at its end or after an error.
pub(crate) fn stream_of<F: Send + 'static, T: Send + 'static>(
    feed: F,
    next: impl for<'a> Fn(&'a mut F) -> BoxFuture<'a, Result<Option<T>>> + Send + 'static,
) -> impl Stream<Item = Result<T>> + Send {
    stream::unfold(Some((feed, next)), |state| async move {
        let (mut feed, next) = state?;
        let item = next(&mut feed).await.transpose()?;
        let rest = item.is_ok().then_some((feed, next));
        Some((item, rest))
    })
}

/// What of the log is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogQuery {
    /// The first index; 0 is the first that is kept.
    pub(crate) from: u64,
    /// Entries at most.
    pub(crate) limit: Option<u64>,
    /// Whether to wait for what comes.
    pub(crate) follow: bool,
}

impl LogFeed {
    /// Opens the log for `caller`, who needs the grant sys/log_read.
    pub(crate) fn open(host: &Arc<Host>, caller: Caller, query: LogQuery) -> Result<Self> {
        Self::with_need(host, caller, query, Need::new(SYS, "log_read"))
    }

    fn with_need(host: &Arc<Host>, caller: Caller, query: LogQuery, need: Need) -> Result<Self> {
        host.allow(&caller, &need)?;
        let first_kept = host.realm.first_kept()?;
        if query.from > 0 && query.from < first_kept {
            return Err(Error::not_found(format!(
                "log from entry {}: is no longer kept; read from {first_kept} on, or 0",
                query.from
            )));
        }
        Ok(Self {
            caller,
            need,
            next: query.from.max(first_kept),
            left: query.limit,
            follow: query.follow,
            applied: host.realm.applied(),
            page: VecDeque::new(),
            _permit: host.admission.stream()?,
            host: Arc::clone(host),
        })
    }

    /// The next entry; `None` at the end, which a feed that follows has only when the node stops.
    pub(crate) async fn next(&mut self) -> Result<Option<LogEntry>> {
        while self.page.is_empty() {
            if self.left == Some(0) {
                return Ok(None);
            }
            self.page = self.read().await?;
            if self.page.is_empty() && !(self.follow && self.wait().await?) {
                return Ok(None);
            }
        }
        let entry = self.page.pop_front();
        if let Some(entry) = &entry {
            self.next = entry.index + 1;
            self.left = self.left.map(|left| left.saturating_sub(1));
        }
        Ok(entry)
    }

    async fn read(&self) -> Result<VecDeque<LogEntry>> {
        self.host.allow(&self.caller, &self.need)?;
        let entries_max = self.left.unwrap_or(u64::MAX).min(PAGE_ENTRIES_MAX);
        self.host.realm.entries(self.next, entries_max, PAGE_BYTES_MAX).await.map(VecDeque::from)
    }

    /// Waits until there is something to read; `false` when the node stops.
    async fn wait(&mut self) -> Result<bool> {
        let next = self.next;
        loop {
            tokio::select! {
                () = self.host.stopping.cancelled() => return Ok(false),
                changed = self.applied.wait_for(|applied| *applied >= next) => {
                    return Ok(changed.is_ok());
                }
                () = tokio::time::sleep(IDLE_CHECK) => {
                    self.host.allow(&self.caller, &self.need)?;
                    if let Some(reason) = self.host.realm.stopped() {
                        return Err(Error::unavailable(format!("realm: stopped: {reason}")));
                    }
                }
            }
        }
    }
}

/// An event and where it is.
#[derive(Debug)]
pub(crate) struct EventAt {
    pub(crate) index: u64,
    /// Position among the events of its entry, all programs counted.
    pub(crate) position: u32,
    pub(crate) event: v1::Event,
}

/// Where in the events of all entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// What comes from now on.
    Now,
    /// At the first event of an entry.
    Entry(u64),
    /// After an event that was received.
    After {
        /// Index of its entry.
        index: u64,
        /// Its position there.
        position: u32,
    },
}

/// Events from a point on, without end.
pub(crate) struct EventFeed {
    log: LogFeed,
    after: Option<(u64, u32)>,
    program: Option<String>,
    topic: Option<String>,
    ready: VecDeque<EventAt>,
}

impl EventFeed {
    /// Opens the events of `program` for `caller`, who needs the grant PROGRAM/events; without a
    /// program those of all, which takes what reading the log takes.
    pub(crate) fn open(
        host: &Arc<Host>,
        caller: Caller,
        start: Start,
        program: Option<String>,
        topic: Option<String>,
    ) -> Result<Self> {
        let need = match &program {
            Some(program) => Need::new(program.as_str(), "events"),
            None => Need::new(SYS, "log_read"),
        };
        let (from, after) = match start {
            Start::Now => (*host.realm.applied().borrow() + 1, None),
            Start::Entry(index) => (index, None),
            Start::After { index, position } => (index, Some((index, position))),
        };
        let query = LogQuery { from, limit: None, follow: true };
        let log = LogFeed::with_need(host, caller, query, need)?;
        Ok(Self { log, after, program, topic, ready: VecDeque::new() })
    }

    /// The next event; `None` when the node stops.
    pub(crate) async fn next(&mut self) -> Result<Option<EventAt>> {
        while self.ready.is_empty() {
            let Some(entry) = self.log.next().await? else { return Ok(None) };
            self.ready = self.wanted(&entry)?;
        }
        Ok(self.ready.pop_front())
    }

    fn wanted(&self, entry: &LogEntry) -> Result<VecDeque<EventAt>> {
        let index = entry.index;
        let events = events_of(entry)?.into_iter().zip(0..);
        let wanted = events.filter(|(event, position)| {
            self.after.is_none_or(|after| (index, *position) > after)
                && self.program.as_ref().is_none_or(|program| *program == event.program)
                && self.topic.as_ref().is_none_or(|topic| *topic == event.topic)
        });
        Ok(wanted.map(|(event, position)| EventAt { index, position, event }).collect())
    }
}

fn events_of(entry: &LogEntry) -> Result<Vec<v1::Event>> {
    let index = entry.index;
    let Some(result) = &entry.result else {
        if entry.entry.is_none() {
            return Ok(Vec::new());
        }
        return Err(Error::not_found(format!(
            "events of entry {index}: its result is no longer kept; start from a later entry"
        )));
    };
    let result = v1::Result::decode(result.as_slice())
        .map_err(|error| Error::internal(format!("result of entry {index}: {error}")))?;
    Ok(result.outcomes.into_iter().flat_map(|outcome| outcome.events).collect())
}
