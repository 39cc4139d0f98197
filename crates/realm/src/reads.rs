//! Reading: views, and the log with its results.

use crate::{Realm, halt::internal, realm::Core};
use althing_protocol::{Error, Need, PublicKey, Result};
use althing_state::View;
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

pub use althing_operations::Freshness;

/// How long a read waits for this node to have applied an index.
const AT_LEAST_WAIT: Duration = Duration::from_secs(30);

/// An entry of the log with its result.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// Term of the leader that proposed it.
    pub term: u64,
    /// The encoded [`Entry`](althing_protocol::v1::Entry); none for the log's own entries, such as
    /// a new leader's first.
    pub entry: Option<Bytes>,
    /// The encoded [`Result`](althing_protocol::v1::Result); none for the log's own entries.
    pub result: Option<Vec<u8>>,
}

impl Realm {
    /// A view of the state, as fresh as asked.
    ///
    /// # Errors
    /// `unavailable` when this node cannot say, or does not get there in time.
    pub async fn view(&self, read: Freshness) -> Result<View> {
        self.core.stop.check()?;
        match read {
            Freshness::Local => {}
            Freshness::Linearizable => {
                let index = self.core.read_index().await?;
                self.core.reach(index).await?;
            }
            Freshness::AtLeast(index) => self.core.reach(index).await?,
        }
        Ok(self.core.store.view())
    }

    /// Whether `key` may do what `need` says, as of now.
    ///
    /// # Errors
    /// `denied`, naming the grant that is missing and the command that gives it.
    pub fn allow(&self, key: &PublicKey, need: &Need) -> Result<()> {
        let view = self.core.store.view();
        let now_us = crate::door::now_us().max(view.applied().timestamp_us);
        self.core.machine.grants(&view).map_err(internal)?.allow(key, need, now_us)
    }

    /// Index of the last entry applied here, and how to wait for the next.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.core.applied.subscribe()
    }

    /// Entries from `from` on that are applied here: at most `limit` of them, and after the first
    /// only as many as stay within `bytes_max`.
    ///
    /// # Errors
    /// `not-found` when `from` is before the first entry kept.
    pub async fn entries(&self, from: u64, limit: u64, bytes_max: usize) -> Result<Vec<LogEntry>> {
        let first = self.log.first_kept()?;
        if from < first {
            return Err(Error::not_found(format!(
                "entry {from}: compacted away; the first entry kept is {first}"
            )));
        }
        let view = self.core.store.view();
        let end = from.saturating_add(limit).min(view.applied().index + 1);
        if from >= end {
            return Ok(Vec::new());
        }
        let items = self.log.read(from..end, bytes_max).await?;
        let attach = move || {
            let entries = items.into_iter().map(|item| {
                let result = match item.bytes {
                    Some(_) => view.result(item.index).map_err(internal)?,
                    None => None,
                };
                Ok(LogEntry { index: item.index, term: item.term, entry: item.bytes, result })
            });
            entries.collect()
        };
        tokio::task::spawn_blocking(attach).await.map_err(internal)?
    }

    /// First entry that is kept.
    ///
    /// # Errors
    /// `unavailable` when the log has stopped.
    pub fn first_kept(&self) -> Result<u64> {
        self.log.first_kept()
    }
}

impl Core {
    pub(crate) async fn reach(self: &Arc<Self>, index: u64) -> Result<()> {
        let mut applied = self.applied.subscribe();
        match timeout(AT_LEAST_WAIT, applied.wait_for(|now| *now >= index)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(internal(error)),
            Err(_) => Err(Error::unavailable(format!(
                "entry {index}: not applied here within {} s, the last one is {}; ask another node \
                 or read locally",
                AT_LEAST_WAIT.as_secs(),
                *self.applied.borrow()
            ))),
        }
    }
}
