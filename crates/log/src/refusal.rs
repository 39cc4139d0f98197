//! Why the log did not do what it was asked.

use althing_protocol::Error;

/// Why the log did not answer a proposal, or a question that only a leader answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This node does not lead, and did nothing: ask the leader, when one is known.
    #[error("{}", elsewhere(*.leader))]
    Elsewhere {
        /// Who leads, as far as this node knows.
        leader: Option<u64>,
    },
    /// Anything else. What was proposed may take effect all the same.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Elsewhere { leader } => {
                Self::unavailable(elsewhere(leader)).retry_after_ms(100)
            }
            Refusal::Failed(error) => error,
        }
    }
}

fn elsewhere(leader: Option<u64>) -> String {
    match leader {
        Some(node) => format!("node {node} leads, not this one; ask there"),
        None => "no node leads at the moment; ask again".into(),
    }
}
