//! The handle of a running log.

use crate::fault::Fault;
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::replica::Replica;
use crate::store::{Body, FlushStats, Record, State, Store};
use crate::types::{Command, Types};
use crate::{ENTRY_BYTES_MAX, LogConfig};
use althing_protocol::{Error, Result};
use bytes::Bytes;
use futures::StreamExt;
use futures::lock::Mutex;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardReason, LinearizableReadError, RaftError};
use openraft::raft::{ClientWriteResponse, ClientWriteResult};
use openraft::{AsyncRuntime, Raft, RaftMetrics, ReadPolicy, ServerState};
use openraft_rt_tokio::TokioRuntime;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A fresh leader refuses writes until its lease is live; it is asked again after this.
const LEASE_RETRY: Duration = Duration::from_millis(5);
/// How often: two seconds in all.
const LEASE_RETRIES: u32 = 400;
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

/// Why a proposal was not answered.
enum Refusal {
    /// The leader's lease is not live: nothing was written.
    Lease,
    /// Anything else.
    Final(Error),
}

impl<R: Replica, T: AsyncRuntime> Log<R, T> {
    /// Proposes an entry; returns when it is durable on a quorum and applied here, with its index
    /// and the replica's response. Proposals that wait together share writes and flushes.
    pub async fn propose(&self, bytes: Bytes) -> Result<(u64, R::Response)> {
        check_size(&bytes)?;
        for _ in 0..LEASE_RETRIES {
            let result = self.engine.client_write(Command(bytes.clone())).await;
            let result = match result {
                Ok(response) => Ok(response),
                Err(RaftError::APIError(error)) => Err(error),
                Err(RaftError::Fatal(fatal)) => return Err(self.fault.error(fatal)),
            };
            match answer(result) {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Final(error)) => return Err(error),
                Err(Refusal::Lease) => T::sleep(LEASE_RETRY).await,
            }
        }
        Err(no_lease())
    }

    /// Proposes entries that come to lie in the log in this order, as one message to the engine:
    /// the cheapest way for many at once. Each has its own result.
    pub async fn propose_all(
        &self,
        entries: Vec<Bytes>,
    ) -> Result<Vec<Result<(u64, R::Response)>>> {
        entries.iter().try_for_each(check_size)?;
        for _ in 0..LEASE_RETRIES {
            let commands: Vec<_> = entries.iter().cloned().map(Command).collect();
            let written = self.engine.client_write_many(commands).await;
            let mut written = written.map_err(|fatal| self.fault.error(fatal))?;
            let mut answers = Vec::with_capacity(entries.len());
            // One message is refused as a whole or not at all.
            let mut refused = false;
            while let Some(result) = written.next().await {
                let result = result.map_err(|fatal| self.fault.error(fatal))?;
                match answer(result.map(|write| ClientWriteResponse {
                    log_id: write.log_id,
                    data: write.response,
                    membership: None,
                })) {
                    Ok(answer) => answers.push(Ok(answer)),
                    Err(Refusal::Final(error)) => answers.push(Err(error)),
                    Err(Refusal::Lease) => refused = true,
                }
            }
            if !refused {
                return Ok(answers);
            }
            T::sleep(LEASE_RETRY).await;
        }
        Err(no_lease())
    }

    /// Waits until everything acknowledged anywhere before this call is applied here; returns the
    /// index up to which that is at least. By read index: no clock is trusted.
    pub async fn linearizable(&self) -> Result<u64> {
        match self.engine.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(read) => Ok(read.index()),
            Err(RaftError::Fatal(fatal)) => Err(self.fault.error(fatal)),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                Err(elsewhere(forward.leader_id))
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(error))) => {
                Err(Error::unavailable(format!(
                    "no quorum answers: {error}; ask again, or read locally"
                )))
            }
        }
    }

    /// Entries of a range, in order: those that are kept and committed, and after the first only
    /// as many as keep the sum of their bytes within `bytes_max`, which is cut to 4 MiB. None are
    /// left out in between. Those who read take turns.
    pub async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Item>> {
        let committed = self.raft_metrics().local_committed.map_or(0, |id| id.index + 1);
        let range = range.start..range.end.min(committed);
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
        let flush = self.store.stats().unwrap_or_else(|_| FlushStats::default());
        let kept = self.state().ok().filter(|state| state.last > state.purged);
        Metrics {
            term: seen.current_term,
            leader: seen.current_leader,
            leads: seen.state == ServerState::Leader,
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
        waited
            .map(|_| ())
            .map_err(|error| self.fault.error(format_args!("waiting for {what}: {error}")))
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

fn answer<A: Send + Sync + 'static, T: AsyncRuntime>(
    result: ClientWriteResult<Types<A, T>>,
) -> Result<(u64, A), Refusal> {
    let error = match result {
        Ok(ClientWriteResponse { log_id, data: Some(response), .. }) => {
            return Ok((log_id.index, response));
        }
        Ok(ClientWriteResponse { log_id, .. }) => {
            Error::internal(format!("entry {} was applied without a response", log_id.index))
        }
        Err(ClientWriteError::ForwardToLeader(forward))
            if forward.reason == ForwardReason::LeaseExpired =>
        {
            return Err(Refusal::Lease);
        }
        Err(ClientWriteError::ForwardToLeader(forward)) => elsewhere(forward.leader_id),
        Err(error @ ClientWriteError::LogEntryDiscarded(_)) => Error::unavailable(format!(
            "the leader changed: {error}; send the same instruction again, it takes effect once"
        )),
        Err(error) => Error::internal(format!("the entry was refused: {error}")),
    };
    Err(Refusal::Final(error))
}

fn elsewhere(leader: Option<u64>) -> Error {
    let text = match leader {
        Some(node) => format!("node {node} leads, not this one; ask there"),
        None => "no node leads at the moment; ask again".into(),
    };
    Error::unavailable(text).retry_after_ms(100)
}

fn no_lease() -> Error {
    Error::unavailable("the leader's lease is not live: no quorum answers it; ask again")
        .retry_after_ms(1_000)
}

fn item(record: Record) -> Item {
    let bytes = match record.body {
        Body::Command(bytes) => Some(bytes),
        Body::Blank | Body::Membership(_) => None,
    };
    Item { index: record.id.index, term: record.id.term, node: record.id.node, bytes }
}
