//! What other nodes ask of this one.

use crate::flight::{Flight, Landing};
use crate::replica::{Position, Replica};
use crate::store::Id;
use crate::types::{Ballot, Snapshot, SnapshotMeta};
use crate::wire::{self, Ask, Offer, Sent};
use crate::{Log, SnapshotFile, machine};
use althing_protocol::{Error, Result};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use openraft::AsyncRuntime;
use openraft::raft::{AppendEntriesResponse, StreamAppendError, StreamAppendResult};
use std::fmt::Display;
use std::sync::atomic::Ordering;

impl<R: Replica, T: AsyncRuntime> Log<R, T> {
    /// Answers what node `from` asks: votes, heartbeats, to take over leadership. The caller knows
    /// that it is `from` who asks.
    pub async fn handle_call(&self, from: u64, message: Bytes) -> Result<Bytes> {
        Ok(match Ask::<R::Response, T>::decode(from, message)? {
            Ask::Vote(request) => {
                let answer = self.engine.vote(request).await;
                wire::encode_vote_answer(&answer.map_err(|error| self.stopped(error))?)
            }
            Ask::PreVote(request) => {
                let answer = self.engine.pre_vote(request).await;
                wire::encode_vote_answer(&answer.map_err(|error| self.stopped(error))?)
            }
            Ask::Append(request) => {
                let sent = Sent::of(&request);
                let answer = self.engine.append_entries(request).await;
                let answer = answer.map_err(|error| self.stopped(error))?;
                wire::encode_append_answer::<R::Response, T>(&as_of_stream(answer, &sent))
            }
            Ask::Transfer(request) => {
                // The others among the voters only learn that the lease of the leader is over.
                if *request.to_node_id() == self.config.node {
                    self.check_campaigns()?;
                }
                let answer = self.engine.handle_transfer_leader(request).await;
                answer
                    .map_err(|error| self.stopped(error))?
                    .map_err(|error| Error::conflict(error.to_string()))?;
                Bytes::new()
            }
            Ask::Willing => {
                self.check_campaigns()?;
                Bytes::new()
            }
        })
    }

    /// Answers the appends of node `from`, in order. The stream ends at the first that is
    /// malformed or refused; when it is dropped, so is `frames`.
    pub fn handle_exchange(
        &self,
        from: u64,
        frames: BoxStream<'static, Bytes>,
    ) -> BoxStream<'static, Bytes> {
        let flight = Flight::new(frames);
        let landing = Landing::of(flight.clone());
        let requests = stream::poll_fn(move |cx| {
            flight.poll_next(cx, |frame| {
                let size = frame.len();
                match wire::decode_append::<R::Response, T>(from, frame) {
                    Ok(request) => Some((request, size, ())),
                    Err(error) => {
                        tracing::warn!(from, %error, "the exchange is ended");
                        None
                    }
                }
            })
        });
        let answers = self.engine.stream_append(requests);
        let encoded = answers.scan(landing, |landing, answer| {
            landing.land();
            futures::future::ready(answer.ok().map(|answer| wire::encode_append_answer(&answer)))
        });
        encoded.boxed()
    }

    /// What a snapshot holds that node `from` offers: to be looked at before it is received.
    pub fn offered(&self, from: u64, offer: Bytes) -> Result<Position> {
        Ok(self.useful(from, offer)?.position)
    }

    /// Replaces the state by a snapshot that node `from` sent, unless this node has moved on. The
    /// position of `file` is what the file itself says: it must be what was offered.
    pub async fn handle_snapshot(
        &self,
        from: u64,
        offer: Bytes,
        file: SnapshotFile,
    ) -> Result<Bytes> {
        let Offer { vote, position } = self.useful(from, offer)?;
        if file.position != position {
            return Err(Error::invalid(format!(
                "node {from} offered a snapshot of entry {}, but the file holds entry {}",
                position.index, file.position.index
            )));
        }
        if self.reaches_behind(&vote, &position)? {
            // The answer says that all of it is durable here.
            let flushed = self.store.durably(|_| Ok(())).await;
            flushed.map_err(|error| self.stopped(error))?;
            return Ok(wire::encode_snapshot_answer(&vote));
        }
        let parts = machine::parts(&position);
        let (last_log_id, last_membership) =
            parts.map_err(|error| Error::invalid(format!("the snapshot's {error}")))?;
        let meta = SnapshotMeta { last_log_id, last_membership };
        let snapshot = Snapshot { meta, snapshot: file };
        let answer = self.engine.install_full_snapshot(vote, snapshot).await;
        Ok(wire::encode_snapshot_answer(&answer.map_err(|error| self.stopped(error))?.vote))
    }

    /// An offer of who leads, as far as this node knows, that can follow what is decided here.
    fn useful(&self, from: u64, offer: Bytes) -> Result<Offer> {
        let offer = Offer::decode(from, offer)?;
        let Position { index, term, node, .. } = offer.position;
        let seen = self.raft_metrics();
        if seen.vote > offer.vote {
            return Err(Error::conflict(format!(
                "node {from} offers a snapshot as the leader of term {}, but this node is in term {}",
                offer.vote.leader_id.term, seen.current_term
            )));
        }
        let contradicts = |id: crate::types::LogId| {
            let later = (term, node) > (id.leader_id.term, id.leader_id.node_id);
            later && index <= id.index
        };
        if seen.local_committed.is_some_and(contradicts) {
            return Err(Error::conflict(format!(
                "node {from} offers a snapshot of entry {index} that contradicts what is decided here; one of the two nodes is damaged: compare their logs"
            )));
        }
        Ok(offer)
    }

    /// Whether this node has the entry at `at` from the same leader already, and entries behind it:
    /// it only does not know yet that they are decided. It needs no snapshot, and the engine cannot
    /// take one: what is written would seem to go back.
    fn reaches_behind(&self, vote: &Ballot, at: &Position) -> Result<bool> {
        let last = self.store.state().map_err(|error| self.stopped(error))?.last;
        if self.raft_metrics().vote != *vote || last.is_none_or(|last| last.index <= at.index) {
            return Ok(false);
        }
        let found = self.store.read_page(at.index..at.index + 1, 1);
        let found = found.map_err(|error| self.stopped(error))?;
        let id = Id { term: at.term, node: at.node, index: at.index };
        Ok(found.first().is_some_and(|record| record.id == id))
    }

    fn check_campaigns(&self) -> Result<()> {
        if self.campaigns.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Error::conflict(format!(
            "node {} does not stand for election now; choose another",
            self.config.node
        )))
    }

    fn stopped(&self, error: impl Display) -> Error {
        self.fault.error(error)
    }
}

/// The answer to a call says less than one of a stream: the rest is what was sent.
fn as_of_stream<C>(answer: AppendEntriesResponse<C>, sent: &Sent) -> StreamAppendResult<C>
where
    C: openraft::RaftTypeConfig<LeaderId = crate::types::LeaderId, Vote = crate::types::Ballot>,
{
    match (answer, sent.prev) {
        (AppendEntriesResponse::Success, _) => Ok(sent.last),
        (AppendEntriesResponse::PartialSuccess(matched), _) => Ok(matched),
        (AppendEntriesResponse::HigherVote(vote), _) => Err(StreamAppendError::HigherVote(vote)),
        (AppendEntriesResponse::Conflict, Some(prev)) => Err(StreamAppendError::Conflict(prev)),
        // Nothing was asked to be there, so nothing can be missing.
        (AppendEntriesResponse::Conflict, None) => Ok(None),
    }
}
