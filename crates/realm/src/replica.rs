//! How the log drives the realm.

use crate::{
    cluster,
    realm::{Core, Gate},
    transfer, verifier,
};
use althing_log::{Committed, Halt, Log, Position, Replica, SnapshotFile};
use althing_protocol::{Error, v1};
use althing_state::Applied;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

pub(crate) type RealmLog = Log<LogReplica>;

#[cfg(test)]
mod tests;

/// What a proposer gets back.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcomes: Vec<v1::Outcome>,
}

/// What the apply thread does.
pub(crate) enum Work {
    /// Applies committed entries.
    Entries(Vec<Committed>, oneshot::Sender<Result<Vec<Arc<Ran>>, Halt>>),
    /// Puts the state of a snapshot in the place of its own.
    Install(SnapshotFile, oneshot::Sender<Result<(), Halt>>),
}

/// The realm as the log sees it.
pub(crate) struct LogReplica {
    pub(crate) core: Arc<Core>,
    pub(crate) work: Gate<std::sync::mpsc::Sender<Work>>,
    /// Entries that may stage an image, when they come into the log.
    pub(crate) staged: mpsc::Sender<Bytes>,
    /// Entries of other leaders, when they come into the log.
    pub(crate) appended: Gate<verifier::Appended>,
}

impl Replica for LogReplica {
    type Response = Arc<Ran>;

    fn applied(&self) -> Position {
        position(self.core.store.view().applied())
    }

    async fn apply(&self, entries: Vec<Committed>) -> Result<Vec<Self::Response>, Halt> {
        self.work(|done| Work::Entries(entries, done)).await
    }

    fn appended(&self, index: u64, bytes: &Bytes) {
        if cluster::may_stage(bytes) {
            // One that finds no room is looked at when it is applied.
            self.staged.try_send(bytes.clone()).ok();
        }
        // What this node proposed, its door has checked.
        if !self.core.cluster.leads()
            && let Some(appended) = self.appended.get()
        {
            appended.check(index, bytes);
        }
    }

    /// A file that other nodes are offered counts as the snapshot: the log is kept behind it.
    async fn snapshot(&self) -> Result<SnapshotFile, Halt> {
        let durable = position(&self.core.store.durable());
        let needed = self.core.outbox.needed_from();
        let needed = needed.filter(|needed| needed.index < durable.index);
        Ok(SnapshotFile { position: needed.unwrap_or(durable), path: None })
    }

    async fn snapshot_file(&self) -> Result<SnapshotFile, Error> {
        Ok(self.core.outbox.offer(&self.core).await?.as_file())
    }

    async fn install(&self, file: SnapshotFile) -> Result<(), Halt> {
        let received = file.path.clone();
        self.work(|done| Work::Install(file, done)).await?;
        // The state is durable: the file has served.
        if let Some(path) = received {
            transfer::discard(&path);
        }
        Ok(())
    }
}

impl LogReplica {
    /// Has the apply thread do something.
    async fn work<T>(
        &self,
        what: impl FnOnce(oneshot::Sender<Result<T, Halt>>) -> Work,
    ) -> Result<T, Halt> {
        let (done, answer) = oneshot::channel();
        let stopped = || Halt(self.core.stop.reason().unwrap_or("apply has ended").to_owned());
        let work = self.work.get().ok_or_else(stopped)?;
        work.send(what(done)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

pub(crate) fn position(applied: &Applied) -> Position {
    Position {
        index: applied.index,
        term: applied.term,
        node: applied.node,
        membership: applied.membership.to_vec(),
    }
}
