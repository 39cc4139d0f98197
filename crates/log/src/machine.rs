//! A [`Replica`] as the engine wants it.

use crate::fault::Fault;
use crate::membership;
use crate::replica::{Committed, Halt, Position, Replica, SnapshotFile};
use crate::store::{Id, log_id};
use crate::types::{
    Command, Entry, LogId, Membership, Payload, Snapshot, SnapshotMeta, StoredMembership, Types,
};
use futures::{Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{AsyncRuntime, OptionalSend, RaftSnapshotBuilder};
use std::io;
use std::sync::Arc;

/// Entries, and bytes, that the replica gets at once, at most. Answers go out after each batch.
const BATCH_ENTRIES_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 8 << 20;

pub(crate) struct Machine<R> {
    replica: Arc<R>,
    fault: Fault,
}

impl<R> Clone for Machine<R> {
    fn clone(&self) -> Self {
        Self { replica: self.replica.clone(), fault: self.fault.clone() }
    }
}

/// Entries on their way to the replica, with who waits for each.
struct Pending<A: Send + Sync + 'static, T: AsyncRuntime> {
    entries: Vec<Committed>,
    waiting: Vec<Waiting<A, T>>,
    bytes: usize,
}

struct Waiting<A: Send + Sync + 'static, T: AsyncRuntime> {
    /// Whether the replica answers; it says nothing to the engine's own entries.
    answered: bool,
    responder: Option<ApplyResponder<Types<A, T>>>,
}

impl<R: Replica> Machine<R> {
    pub(crate) fn new(replica: Arc<R>, fault: Fault) -> Self {
        Self { replica, fault }
    }

    fn halt(&self, what: &str, halt: Halt) -> io::Error {
        self.fault.set(format_args!("{what} failed: {halt}"));
        io::Error::other(halt.0)
    }

    async fn apply_batch<T: AsyncRuntime>(
        &self,
        pending: &mut Pending<R::Response, T>,
    ) -> io::Result<()> {
        let entries = std::mem::take(&mut pending.entries);
        pending.bytes = 0;
        if entries.is_empty() {
            return Ok(());
        }
        let commands = pending.waiting.iter().filter(|waiting| waiting.answered).count();
        let last = entries.last().map_or(0, |entry| entry.index);
        let responses =
            self.replica.apply(entries).await.map_err(|halt| self.halt("applying", halt))?;
        if responses.len() != commands {
            let halt =
                Halt(format!("{} responses to {commands} entries up to {last}", responses.len()));
            return Err(self.halt("applying", halt));
        }
        let mut responses = responses.into_iter();
        for Waiting { answered, responder } in pending.waiting.drain(..) {
            let response = if answered { responses.next() } else { None };
            if let Some(responder) = responder {
                responder.send(response);
            }
        }
        Ok(())
    }

    async fn snapshot(&self) -> io::Result<(SnapshotMeta, SnapshotFile)> {
        let file =
            self.replica.snapshot().await.map_err(|halt| self.halt("taking a snapshot", halt))?;
        let (last_log_id, last_membership) = parts(&file.position)?;
        Ok((SnapshotMeta { last_log_id, last_membership }, file))
    }
}

/// A position as the engine names it.
pub(crate) fn parts(position: &Position) -> io::Result<(Option<LogId>, StoredMembership)> {
    let membership = membership::decode_stored(&position.membership)?;
    let at = (!position.is_start())
        .then(|| log_id(Id { term: position.term, node: position.node, index: position.index }));
    Ok((at, membership))
}

fn position(meta: &SnapshotMeta) -> Position {
    let Some(at) = &meta.last_log_id else { return Position::default() };
    Position {
        index: at.index,
        term: at.leader_id.term,
        node: at.leader_id.node_id,
        membership: membership::encode_stored(&meta.last_membership),
    }
}

fn committed(entry: Entry) -> Committed {
    let at = entry.log_id;
    let stored =
        |members: Membership| membership::encode_stored(&StoredMembership::new(Some(at), members));
    let (bytes, membership) = match entry.payload {
        Payload::Blank => (None, None),
        Payload::Normal(Command(bytes)) => (Some(bytes), None),
        Payload::Membership(members) => (None, Some(stored(members))),
    };
    Committed {
        index: at.index,
        term: at.leader_id.term,
        node: at.leader_id.node_id,
        bytes,
        membership,
    }
}

impl<R: Replica, T: AsyncRuntime> RaftStateMachine<Types<R::Response, T>> for Machine<R> {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        parts(&self.replica.applied())
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<R::Response, T>>>> + Unpin + OptionalSend,
    {
        let mut pending = Pending { entries: Vec::new(), waiting: Vec::new(), bytes: 0 };
        while let Some(item) = entries.next().await {
            let (entry, responder) = item.inspect_err(|error| {
                self.fault.set(format_args!("reading what is to be applied failed: {error}"));
            })?;
            let entry = committed(entry);
            pending.bytes += entry.bytes.as_ref().map_or(0, |bytes| bytes.len());
            pending.waiting.push(Waiting { answered: entry.bytes.is_some(), responder });
            pending.entries.push(entry);
            if pending.entries.len() >= BATCH_ENTRIES_MAX || pending.bytes >= BATCH_BYTES_MAX {
                self.apply_batch(&mut pending).await?;
            }
        }
        self.apply_batch(&mut pending).await
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        mut file: SnapshotFile,
    ) -> io::Result<()> {
        file.position = position(meta);
        self.replica.install(file).await.map_err(|halt| self.halt("installing a snapshot", halt))
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let (meta, snapshot) = self.snapshot().await?;
        Ok(meta.last_log_id.is_some().then_some(Snapshot { meta, snapshot }))
    }
}

impl<R: Replica, T: AsyncRuntime> RaftSnapshotBuilder<Types<R::Response, T>> for Machine<R> {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (meta, snapshot) = self.snapshot().await?;
        Ok(Snapshot { meta, snapshot })
    }
}
