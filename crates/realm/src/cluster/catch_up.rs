//! How far a node is that comes to a realm.

use crate::Realm;
use althing_log::Members;
use std::time::Duration;
use tokio::time::timeout;

/// For the leader to say how far it is.
const LEADER_WAIT: Duration = Duration::from_secs(1);
/// For this node to come as far: entries come all the time.
const LEVEL_WAIT: Duration = Duration::from_millis(200);

/// How far this node is.
#[derive(Clone, Debug)]
pub struct CatchUp {
    /// The last entry that is applied here.
    pub applied: u64,
    /// The last one that was decided when the leader was asked; none when it was not reached.
    pub decided: Option<u64>,
    /// Bytes of a snapshot that are here, and all of them, while one is received.
    pub snapshot: Option<(u64, u64)>,
    /// Whether the log has this node among its members.
    pub is_in_log: bool,
}

impl CatchUp {
    /// Whether the node has all that the realm has decided.
    pub fn is_done(&self) -> bool {
        self.is_in_log && self.decided.is_some_and(|decided| self.applied >= decided)
    }
}

impl Realm {
    /// How far this node is: the leader is asked.
    pub async fn catch_up(&self) -> CatchUp {
        let core = &self.core;
        let decided = timeout(LEADER_WAIT, core.read_index()).await.ok().and_then(Result::ok);
        let mut applied = core.applied.subscribe();
        if let Some(decided) = decided {
            // Not there in time is not there yet.
            let _ = timeout(LEVEL_WAIT, applied.wait_for(|now| *now >= decided)).await;
        }
        let has_me = |Members { voters, learners, .. }: Members| {
            voters.contains(&core.cluster.me) || learners.contains(&core.cluster.me)
        };
        let applied = *applied.borrow();
        CatchUp {
            applied,
            decided,
            snapshot: *core.cluster.received.borrow(),
            is_in_log: core.cluster.standing().is_ok_and(|standing| has_me(standing.members)),
        }
    }
}
