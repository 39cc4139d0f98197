//! The handle of a running log.

use crate::cluster::Standing;
use crate::fault::Fault;
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::replica::Replica;
use crate::store::{Body, FlushStats, Record, State, Store};
use crate::types::{Command, Types};
use crate::{ENTRY_BYTES_MAX, LogConfig};
use althing_protocol::{Error, Result};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::lock::Mutex;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardReason};
use openraft::metrics::WaitError;
use openraft::{AsyncRuntime, Instant, Raft, RaftMetrics};
use openraft_rt_tokio::TokioRuntime;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A fresh leader refuses writes until its lease is live; it is asked again after this.
pub(crate) const LEASE_RETRY: Duration = Duration::from_millis(5);
/// How often: two seconds in all.
pub(crate) const LEASE_RETRIES: u32 = 400;
/// One page of entries that are read back.
const READ_BYTES_MAX: usize = 4 << 20;
/// How long a compaction waits for one step of the engine.
const COMPACT_WAIT: Duration = Duration::from_secs(10);

type Engine<R, T> = Raft<Types<<R as Replica>::Response, T>, Machine<R>>;

/// A running log of replica `R`, on async runtime `T`. Clones are handles of the same log.
pub struct Log<R: Replica, T: AsyncRuntime = TokioRuntime> {
    pub(crate) engine: Engine<R, T>,
    pub(crate) store: Store,
    pub(crate) replica: Arc<R>,
    pub(crate) fault: Fault,
    pub(crate) config: Arc<LogConfig>,
    /// Held by the compaction that runs.
    pub(crate) compacting: Arc<Mutex<()>>,
    /// Held by the read that runs: readers cost one thread, however many they are.
    pub(crate) reading: Arc<Mutex<()>>,
    /// Whether this node stands for election.
    pub(crate) campaigns: Arc<AtomicBool>,
    pub(crate) call: Call,
}

impl<R: Replica, T: AsyncRuntime> Clone for Log<R, T> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            store: self.store.clone(),
            replica: self.replica.clone(),
            fault: self.fault.clone(),
            config: self.config.clone(),
            compacting: self.compacting.clone(),
            reading: self.reading.clone(),
            campaigns: self.campaigns.clone(),
            call: self.call.clone(),
        }
    }
}

/// An entry that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Place in the log.
    pub index: u64,
    /// Term of the leader that proposed it.
    pub term: u64,
    /// That leader.
    pub node: u64,
    /// What was proposed; none for the engine's own entries.
    pub bytes: Option<Bytes>,
}

/// Asks another node, over the transport.
pub(crate) type Call =
    Arc<dyn Fn(u64, Bytes, Duration) -> BoxFuture<'static, io::Result<Bytes>> + Send + Sync>;

impl<R: Replica, T: AsyncRuntime> Log<R, T> {
    /// Proposes an entry; returns when it is durable on a quorum and applied here, with its index
    /// and the replica's response. Proposals that wait together share writes and flushes.
    pub async fn propose(&self, bytes: Bytes) -> Result<(u64, R::Response), Refusal> {
        let mut answers = self.propose_all(vec![bytes]).await?;
        answers.pop().unwrap_or_else(|| Err(undecided(&self.config).into()))
    }

    /// Proposes entries that come to lie in the log in this order, as one message to the engine:
    /// the cheapest way for many at once. Each has its own result.
    pub async fn propose_all(
        &self,
        entries: Vec<Bytes>,
    ) -> Result<Vec<Result<(u64, R::Response), Refusal>>, Refusal> {
        entries.iter().try_for_each(check_size)?;
        let deadline = T::Instant::now() + Duration::from_millis(self.config.decide_wait_ms);
        for _ in 0..LEASE_RETRIES {
            let commands: Vec<_> = entries.iter().cloned().map(Command).collect();
            let written = self.engine.client_write_many(commands).await;
            let mut written = written.map_err(|fatal| self.fault.error(fatal))?;
            let mut answers = Vec::with_capacity(entries.len());
            // One message is refused as a whole or not at all.
            let mut refused = false;
            while let Ok(next) = T::timeout_at(deadline, written.next()).await {
                let Some(result) = next else { break };
                match result.map_err(|fatal| self.fault.error(fatal))? {
                    Ok(write) => answers.push(match write.response {
                        Some(response) => Ok((write.log_id.index, response)),
                        None => Err(unanswered(write.log_id.index).into()),
                    }),
                    Err(error) => match refusal(error) {
                        Some(refusal) => answers.push(Err(refusal)),
                        None => refused = true,
                    },
                }
            }
            if !refused {
                answers.resize_with(entries.len(), || Err(undecided(&self.config).into()));
                return Ok(answers);
            }
            T::sleep(LEASE_RETRY).await;
        }
        Err(no_lease().into())
    }

    /// Entries of a range, in order: those that are kept and committed, and after the first only
    /// as many as keep the sum of their bytes within `bytes_max`, which is cut to 4 MiB. None are
    /// left out in between. Those who read take turns.
    pub async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Item>> {
        let committed = self.raft_metrics().local_committed.map_or(0, |id| id.index + 1);
        self.written(range.start..range.end.min(committed), bytes_max).await
    }

    /// [`read`](Self::read), with entries that are not committed, and may never be.
    pub async fn written(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Item>> {
        let store = self.store.clone();
        let bytes_max = bytes_max.min(READ_BYTES_MAX);
        let _turn = self.reading.lock().await;
        // Old entries come from disk, which is not for a thread of the reactor.
        let records = T::spawn_blocking(move || store.read_page(range, bytes_max)).await;
        let records = records.and_then(|records| records).map_err(|error| {
            Error::internal(format!(
                "reading the log: {error}; check the disk, then the log's files"
            ))
        })?;
        Ok(records.into_iter().map(item).collect())
    }

    /// The first entry that is not purged; the next one to come where none is.
    pub fn first_kept(&self) -> Result<u64> {
        let state = self.state()?;
        Ok(state.purged.map_or(0, |id| id.index + 1))
    }

    /// The last entry written, committed or not; none in a log that was never begun.
    pub fn last(&self) -> Result<Option<u64>> {
        Ok(self.state()?.last.map(|id| id.index))
    }

    /// Purges entries that nobody needs: up to `durable`, but never past what the replica says it
    /// has on disk, and only what [`entries_keep`](LogConfig::entries_keep) and
    /// [`keep_bytes_max`](LogConfig::keep_bytes_max) do not keep. Returns the first entry kept.
    pub async fn compact(&self, durable: u64) -> Result<u64> {
        let _one_at_a_time = self.compacting.lock().await;
        let on_disk =
            self.replica.snapshot().await.map_err(|halt| self.fault.error(halt))?.position;
        let first = self.first_kept()?;
        let Some(spare) = self.keep_from()?.checked_sub(1) else { return Ok(first) };
        let upto = durable.min(on_disk.index).min(spare);
        if on_disk.is_start() || upto < first {
            return Ok(first);
        }
        let fatal = |fatal| self.fault.error(fatal);
        self.engine.trigger().snapshot().await.map_err(fatal)?;
        self.wait_for("the snapshot", |seen| seen.snapshot.is_some_and(|id| id.index >= upto))
            .await?;
        self.engine.trigger().purge_log(upto).await.map_err(fatal)?;
        self.wait_for("the purge", |seen| seen.purged.is_some_and(|id| id.index >= upto)).await?;
        self.first_kept()
    }

    /// The first entry that compaction leaves: the configuration says how many entries, and how
    /// many bytes of them.
    pub fn keep_from(&self) -> Result<u64> {
        let within = self.store.first_within(self.config.keep_bytes_max);
        let within = within.map_err(|error| self.fault.error(error))?;
        let next = self.last()?.map_or(0, |last| last + 1);
        Ok(next.saturating_sub(self.config.entries_keep).max(within))
    }

    /// What there is to see of the log now.
    pub fn metrics(&self) -> Metrics {
        let seen = self.raft_metrics();
        let Standing { leader, leads, .. } = self.standing();
        let flush = self.store.stats().unwrap_or_else(|_| FlushStats::default());
        let kept = self.state().ok().filter(|state| state.last > state.purged);
        Metrics {
            term: seen.current_term,
            leader,
            leads,
            last: seen.last_log_index,
            committed: seen.local_committed.map(|id| id.index),
            applied: seen.last_applied.map(|id| id.index),
            first_kept: kept.map(|state| state.purged.map_or(0, |id| id.index + 1)),
            snapshot: seen.snapshot.map(|id| id.index),
            flush,
            fault: self.fault.get().map(str::to_owned),
        }
    }

    /// Why the log stopped for good, if it did.
    pub fn fault(&self) -> Option<String> {
        self.fault.get().map(str::to_owned)
    }

    /// Stops the engine, flushes, and lets go of the directory. Later calls find the log closed.
    pub async fn shutdown(&self) -> Result<()> {
        // An engine that stopped by itself has said why; its files are still to be closed.
        if let Err(error) = self.engine.shutdown().await {
            tracing::warn!(%error, "the consensus engine did not stop cleanly");
        }
        let store = self.store.clone();
        let closed = T::spawn_blocking(move || store.close()).await;
        closed.and_then(|closed| closed).map_err(|error| self.fault.error(error))
    }

    pub(crate) fn raft_metrics(&self) -> RaftMetrics<Types<R::Response, T>> {
        self.engine.metrics().borrow_watched().clone()
    }

    fn state(&self) -> Result<State> {
        self.store.state().map_err(|error| self.fault.error(error))
    }

    async fn wait_for(
        &self,
        what: &str,
        seen: impl Fn(&RaftMetrics<Types<R::Response, T>>) -> bool + Send,
    ) -> Result<()> {
        let waited = self.engine.wait(Some(COMPACT_WAIT)).metrics(seen, what).await;
        waited.map(|_| ()).map_err(|error| match (self.fault.get(), error) {
            (None, WaitError::Timeout(..)) => Error::unavailable(format!(
                "{what} is not done within {} s: a follower still reads the entries, or the disk is \
                 busy; ask again",
                COMPACT_WAIT.as_secs()
            )),
            (_, error) => self.fault.error(format_args!("waiting for {what}: {error}")),
        })
    }
}

fn check_size(bytes: &Bytes) -> Result<()> {
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(Error::invalid(format!(
            "an entry of {} bytes; the limit is {ENTRY_BYTES_MAX}: send it in parts",
            bytes.len()
        )));
    }
    Ok(())
}

/// What the engine refused, told to the caller; none when the leader's lease was not live, so that
/// nothing was written.
pub(crate) fn refusal<A: Send + Sync + 'static, T: AsyncRuntime>(
    error: ClientWriteError<Types<A, T>>,
) -> Option<Refusal> {
    Some(match error {
        ClientWriteError::ForwardToLeader(forward)
            if forward.reason == ForwardReason::LeaseExpired =>
        {
            return None;
        }
        ClientWriteError::ForwardToLeader(forward) => {
            Refusal::Elsewhere { leader: forward.leader_id }
        }
        ClientWriteError::LogEntryDiscarded(_) => Error::unavailable(format!(
            "the leader changed: {error}; send the same instruction again, it takes effect once"
        ))
        .into(),
        ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
            Error::unavailable(format!("the members are being changed: {error}; ask again"))
                .retry_after_ms(100)
                .into()
        }
        error => Error::internal(format!("the entry was refused: {error}")).into(),
    })
}

pub(crate) fn no_lease() -> Error {
    Error::unavailable("the leader's lease is not live: no quorum answers it; ask again")
        .retry_after_ms(1_000)
}

fn undecided(config: &LogConfig) -> Error {
    Error::unavailable(format!(
        "not decided within {} ms: no quorum answers, or the state is behind; send the same instruction again, it takes effect once",
        config.decide_wait_ms
    ))
}

fn unanswered(index: u64) -> Error {
    Error::internal(format!("entry {index} was applied without a response"))
}

fn item(record: Record) -> Item {
    let bytes = match record.body {
        Body::Command(bytes) => Some(bytes),
        Body::Blank | Body::Membership(_) => None,
    };
    Item { index: record.id.index, term: record.id.term, node: record.id.node, bytes }
}
