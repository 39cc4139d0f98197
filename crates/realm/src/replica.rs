//! How the log drives the realm.

use crate::realm::{Core, Gate};
use althing_log::{Committed, Halt, Log, Position, Replica, SnapshotFile};
use althing_protocol::v1;
use althing_state::Applied;
use std::sync::Arc;
use tokio::sync::oneshot;

pub(crate) type RealmLog = Log<LogReplica>;

/// What a proposer gets back.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcomes: Vec<v1::Outcome>,
}

/// Committed entries for the apply thread.
pub(crate) struct Work {
    pub(crate) entries: Vec<Committed>,
    pub(crate) done: oneshot::Sender<Result<Vec<Arc<Ran>>, Halt>>,
}

/// The realm as the log sees it.
pub(crate) struct LogReplica {
    pub(crate) core: Arc<Core>,
    pub(crate) work: Gate<std::sync::mpsc::Sender<Work>>,
}

impl Replica for LogReplica {
    type Response = Arc<Ran>;

    fn applied(&self) -> Position {
        position(self.core.store.view().applied())
    }

    async fn apply(&self, entries: Vec<Committed>) -> Result<Vec<Self::Response>, Halt> {
        let (done, answer) = oneshot::channel();
        let stopped = || Halt(self.core.stop.reason().unwrap_or("apply has ended").to_owned());
        let work = self.work.get().ok_or_else(stopped)?;
        work.send(Work { entries, done }).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    async fn snapshot(&self) -> Result<SnapshotFile, Halt> {
        Ok(SnapshotFile { position: position(&self.core.store.durable()), path: None })
    }

    async fn install(&self, _: SnapshotFile) -> Result<(), Halt> {
        Err(Halt("a realm of one node receives no snapshots: there is no peer to send one".into()))
    }
}

fn position(applied: &Applied) -> Position {
    Position {
        index: applied.index,
        term: applied.term,
        node: applied.node,
        membership: applied.membership.to_vec(),
    }
}
