//! Checkpoints: the three values at an index, in the log for all to compare.

use crate::{door::entry, proposer::Proposal, realm::Core};
use althing_protocol::v1;
use althing_state::CheckpointValues;
use std::sync::atomic::Ordering;

impl Core {
    /// Proposes what this node found. While the log replays there is nobody to tell, and the entry
    /// is in the log already; when the queue is full the next checkpoint will do.
    pub(crate) fn propose_checkpoint(&self, values: &CheckpointValues) {
        if values.index <= self.replayed_to.load(Ordering::Acquire) {
            return;
        }
        let checkpoint = v1::Checkpoint {
            index: values.index,
            entry_chain: values.entry_chain.0.to_vec(),
            result_chain: values.result_chain.0.to_vec(),
            state_hash: values.state_hash.0.to_vec(),
            // Voters sign once there is more than one.
            signatures: Vec::new(),
        };
        let entry = entry(v1::entry::Kind::Checkpoint(checkpoint));
        let proposal = Proposal { entry, answer: None, _permits: None };
        let sent = self.proposals.get().is_some_and(|p| p.try_send(vec![proposal]).is_ok());
        if !sent {
            tracing::warn!(
                index = values.index,
                "checkpoint not proposed: the queue is full or closed"
            );
        }
    }
}
