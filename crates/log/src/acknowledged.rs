//! What another node has acknowledged to this one, while this one leads.

use crate::types::{Ballot, LogId, Types};
use crate::wire::Sent;
use openraft::AsyncRuntime;
use openraft::raft::{StreamAppendError, StreamAppendResult};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far a node has the leader's entries on its disk, by its own word. It cannot lose them but with
/// its disk. The engine counts on that; told of the contrary it would ask the same again, for ever.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged(Mutex<Word>);

#[derive(Debug, Default)]
struct Word {
    /// To whom.
    vote: Option<Ballot>,
    upto: Option<LogId>,
    /// Whether it was said that it went back.
    is_told: bool,
}

impl Acknowledged {
    /// How far, by all that has been heard: to be asked before something is sent.
    pub(crate) fn upto(&self, vote: &Ballot) -> Option<LogId> {
        let word = self.word();
        word.upto.filter(|_| word.vote == Some(*vote))
    }

    /// Hears an answer to what was sent when `known` was acknowledged.
    ///
    /// # Errors
    /// When it takes back what was acknowledged.
    pub(crate) fn hear<A: Send + Sync + 'static, T: AsyncRuntime>(
        &self,
        node: u64,
        sent: &Sent,
        known: Option<LogId>,
        answer: &StreamAppendResult<Types<A, T>>,
    ) -> Result<(), String> {
        let mut word = self.word();
        if word.vote != Some(sent.vote) {
            *word = Word { vote: Some(sent.vote), ..Word::default() };
        }
        match (answer, known) {
            (Ok(matched), _) => word.upto = word.upto.max(*matched),
            (Err(StreamAppendError::Conflict(missing)), Some(known))
                if missing.index <= known.index =>
            {
                let why = format!(
                    "it lost entries that it had acknowledged: it had all up to {}, and {} is not \
                     there any more",
                    known.index, missing.index
                );
                if !word.is_told {
                    tracing::error!(
                        node,
                        "{why}; its data is of an earlier time: remove the member, and let the \
                         machine join anew"
                    );
                    word.is_told = true;
                }
                return Err(why);
            }
            _ => {}
        }
        Ok(())
    }

    fn word(&self) -> MutexGuard<'_, Word> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::LeaderId;
    use openraft_rt_tokio::TokioRuntime;

    type Answer = StreamAppendResult<Types<u64, TokioRuntime>>;

    fn id(index: u64) -> LogId {
        LogId::new(LeaderId { term: 1, node_id: 1 }, index)
    }

    fn sent(term: u64) -> Sent {
        let vote = Ballot { leader_id: LeaderId { term, node_id: 1 }, committed: true };
        Sent { vote, prev: None, last: None }
    }

    #[test]
    fn only_what_was_acknowledged_before_it_was_sent_is_taken_back() {
        let node = Acknowledged::default();
        let hear = |term, known, answer: Answer| node.hear(2, &sent(term), known, &answer);
        let missing = |index| Err(StreamAppendError::Conflict(id(index)));
        let upto = |term| node.upto(&sent(term).vote).map(|id| id.index);
        // Before anything is known the leader looks for what they share.
        hear(1, None, missing(9)).unwrap();
        hear(1, None, Ok(Some(id(5)))).unwrap();
        hear(1, None, Ok(Some(id(3)))).unwrap();
        assert_eq!(upto(1), Some(5));
        // An answer to what was sent before.
        hear(1, None, missing(4)).unwrap();
        hear(1, Some(id(5)), missing(6)).unwrap();
        let error = hear(1, Some(id(5)), missing(5)).unwrap_err();
        assert!(error.contains("all up to 5, and 5 is not there"), "{error}");
        // To another leader it said nothing.
        assert_eq!(upto(2), None);
        hear(2, None, missing(5)).unwrap();
        assert_eq!(upto(1), None);
    }
}
