//! Another node, as the engine sees it.

use crate::SnapshotFile;
use crate::acknowledged::Acknowledged;
use crate::flight::{Flight, Landing};
use crate::replica::Replica;
use crate::transport::Transport;
use crate::types::{Ballot, LogId, Snapshot, Types};
use crate::wire::{self, Ask, Offer, Sent};
use althing_protocol::Error;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use openraft::async_runtime::Select2;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AsyncRuntime, Instant, OptionalSend};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long an append may wait for its answer, and an exchange to begin. A follower flushes first,
/// which takes seconds on a card that is busy with itself.
const ANSWER_WAIT: Duration = Duration::from_secs(3);

type Config<R, T> = Types<<R as Replica>::Response, T>;
type Append<R, T> = AppendEntriesRequest<Config<R, T>>;
type Asked<V, R, T> = Result<V, RPCError<Config<R, T>>>;
type Appended<R, T> = Asked<StreamAppendResult<Config<R, T>>, R, T>;
type Appends<R, T> = BoxStream<'static, Append<R, T>>;

/// Makes the remotes of a log.
pub(crate) struct Remotes<R, X> {
    pub(crate) replica: Arc<R>,
    pub(crate) transport: X,
    /// By node: the engine makes several remotes of one.
    pub(crate) acknowledged: BTreeMap<u64, Arc<Acknowledged>>,
}

/// One other node.
pub(crate) struct Remote<R, X> {
    replica: Arc<R>,
    transport: X,
    node: u64,
    acknowledged: Arc<Acknowledged>,
}

impl<R: Replica, X: Transport, T: AsyncRuntime> RaftNetworkFactory<Config<R, T>> for Remotes<R, X> {
    type Network = Remote<R, X>;

    async fn new_client(&mut self, node: u64, _: &BasicNode) -> Remote<R, X> {
        let acknowledged = self.acknowledged.entry(node).or_default().clone();
        let (replica, transport) = (self.replica.clone(), self.transport.clone());
        Remote { replica, transport, node, acknowledged }
    }
}

/// Where a stream of appends is.
enum Phase<R: Replica, T: AsyncRuntime> {
    /// All that was sent is answered, and no exchange is open.
    Idle(Appends<R, T>),
    /// An exchange is open until the end.
    Open(Exchange<R, T>),
    Over,
}

/// Appends sent without waiting for the answers to those before.
struct Exchange<R: Replica, T: AsyncRuntime> {
    sent: Landing<Appends<R, T>, Flying<T>>,
    answers: BoxStream<'static, io::Result<Bytes>>,
}

/// An append on its way.
struct Flying<T: AsyncRuntime> {
    sent: Sent,
    /// What was acknowledged when it was sent.
    known: Option<LogId>,
    at: T::Instant,
}

impl<R: Replica, X: Transport> Remote<R, X> {
    fn unreachable<T: AsyncRuntime>(&self, why: impl Display) -> Unreachable<Config<R, T>> {
        Unreachable::from_string(format!("node {}: {why}", self.node))
    }

    /// Asks, and reads the answer.
    async fn ask<V, T: AsyncRuntime>(
        &self,
        ask: Ask<R::Response, T>,
        deadline: Duration,
        read: impl FnOnce(Bytes) -> Result<V, Error> + Send,
    ) -> Asked<V, R, T> {
        let call = self.transport.call(self.node, ask.encode(), deadline);
        let answer = T::timeout(deadline, call).await;
        let answer = answer.map_err(|_| self.unreachable("no answer in time"))?;
        let answer = answer.map_err(|error| self.unreachable(error))?;
        Ok(read(answer).map_err(|error| self.unreachable(error))?)
    }

    async fn append<T: AsyncRuntime>(&self, request: Append<R, T>) -> Appended<R, T> {
        let sent = Sent::of(&request);
        let known = self.acknowledged.upto(&sent.vote);
        let read = |bytes| wire::decode_append_answer(bytes, &sent);
        let answer = self.ask(Ask::Append(request), ANSWER_WAIT, read).await?;
        let heard = self.acknowledged.hear(self.node, &sent, known, &answer);
        heard.map_err(|why| self.unreachable(why))?;
        Ok(answer)
    }

    /// One step of a stream of appends. Heartbeats, and all else that carries no entries, are
    /// calls; an exchange begins with the first entries. Nothing is sent, and nobody is connected
    /// to, before the engine has a request: it waits there before it tries a lost node again.
    async fn step<T: AsyncRuntime>(
        &self,
        mut phase: Phase<R, T>,
    ) -> Option<(Appended<R, T>, Phase<R, T>)> {
        loop {
            let (answer, next) = match phase {
                Phase::Idle(mut requests) => {
                    let request = requests.next().await?;
                    if request.entries.is_empty() {
                        (self.append(request).await, Phase::Idle(requests))
                    } else {
                        let requests = stream::iter([request]).chain(requests).boxed();
                        match self.open(requests).await {
                            Ok(exchange) => {
                                phase = Phase::Open(exchange);
                                continue;
                            }
                            Err(error) => (Err(error), Phase::Over),
                        }
                    }
                }
                Phase::Open(mut exchange) => {
                    (self.next_answer(&mut exchange).await?, Phase::Open(exchange))
                }
                Phase::Over => return None,
            };
            // What goes on after a failure is decided anew.
            let next = if matches!(answer, Ok(Ok(_))) { next } else { Phase::Over };
            return Some((answer, next));
        }
    }

    async fn open<T: AsyncRuntime>(&self, requests: Appends<R, T>) -> Asked<Exchange<R, T>, R, T> {
        let flight = Flight::new(requests);
        let sent = Landing::of(flight.clone());
        let acknowledged = self.acknowledged.clone();
        let frames = stream::poll_fn(move |cx| {
            flight.poll_next(cx, |request| {
                let sent = Sent::of(&request);
                let known = acknowledged.upto(&sent.vote);
                let frame = wire::encode_append(request);
                let flying = Flying { sent, known, at: T::Instant::now() };
                Some((frame.clone(), frame.len(), flying))
            })
        });
        let opening = self.transport.exchange(self.node, frames.boxed());
        let answers = T::timeout(ANSWER_WAIT, opening).await;
        let answers = answers.map_err(|_| self.unreachable("no exchange in time"))?;
        Ok(Exchange { sent, answers: answers.map_err(|error| self.unreachable(error))? })
    }

    fn read<T: AsyncRuntime>(
        &self,
        bytes: Bytes,
        done: &Flying<T>,
    ) -> Result<StreamAppendResult<Config<R, T>>, String> {
        let answer = wire::decode_append_answer(bytes, &done.sent);
        let answer = answer.map_err(|error| error.to_string())?;
        self.acknowledged.hear(self.node, &done.sent, done.known, &answer)?;
        Ok(answer)
    }

    /// The engine notes the time when it yields a request, and takes an answer for one to every
    /// request that ends with the same entry: also to one that was sent later, to say no more than
    /// what is decided. A read that came between them would count as confirmed by what was said
    /// before it. So of such answers it sees the last one alone, and yields no request between an
    /// answer and its counting.
    async fn next_answer<T: AsyncRuntime>(
        &self,
        exchange: &mut Exchange<R, T>,
    ) -> Option<Appended<R, T>> {
        let Exchange { sent, answers } = exchange;
        loop {
            sent.release();
            if sent.is_over() {
                return None;
            }
            let left = |flying: &Flying<T>| ANSWER_WAIT.saturating_sub(flying.at.elapsed());
            // With nothing on its way this wakes up for nothing, now and then.
            let wait = sent.oldest(left).unwrap_or(ANSWER_WAIT);
            let why = match T::timeout(wait, answers.next()).await {
                Ok(Some(Ok(bytes))) => match sent.land_and_hold() {
                    Some(done) => match self.read(bytes, &done) {
                        Ok(Ok(_))
                            if sent.oldest(|next| next.sent.last == done.sent.last)
                                == Some(true) =>
                        {
                            continue;
                        }
                        Ok(answer) => return Some(Ok(answer)),
                        Err(why) => why,
                    },
                    None => "an answer to nothing".into(),
                },
                Ok(Some(Err(error))) => error.to_string(),
                Ok(None) if sent.is_over() => return None,
                Ok(None) => "it ended the exchange".into(),
                Err(_) if sent.oldest(left).is_some_and(|left| left.is_zero()) => {
                    "no answer to an append in time".into()
                }
                Err(_) => continue,
            };
            return Some(Err(self.unreachable(why).into()));
        }
    }

    async fn send_snapshot(&self, vote: Ballot, needed: Snapshot) -> Result<Ballot, Error> {
        let file = self.replica.snapshot_file().await?;
        let needed = needed.meta.last_log_id.map_or(0, |id| id.index);
        if file.position.is_start() || file.position.index < needed {
            return Err(Error::internal(format!(
                "the snapshot file holds entry {}, but {needed} is durable here",
                file.position.index
            )));
        }
        let offer = Offer { vote, position: file.position.clone() }.encode();
        let answer = self.transport.snapshot(self.node, offer, file).await;
        wire::decode_snapshot_answer(answer.map_err(|error| Error::unavailable(error.to_string()))?)
    }
}

impl<R: Replica, X: Transport, T: AsyncRuntime> RaftNetworkV2<Config<R, T>> for Remote<R, X> {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: Append<R, T>,
        _: RPCOption,
    ) -> Asked<AppendEntriesResponse<Config<R, T>>, R, T> {
        self.append(request).await.map(Into::into)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _: RPCOption,
    ) -> BoxFuture<'s, Asked<BoxStream<'s, Appended<R, T>>, R, T>>
    where
        S: Stream<Item = Append<R, T>> + OptionalSend + Unpin + 'static,
    {
        let this: &'s Self = self;
        let answers = stream::unfold(Phase::Idle(input.boxed()), |phase| this.step(phase));
        futures::future::ready(Ok(answers.boxed())).boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Config<R, T>>,
        option: RPCOption,
    ) -> Asked<VoteResponse<Config<R, T>>, R, T> {
        self.ask(Ask::Vote(request), option.soft_ttl(), wire::decode_vote_answer).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Config<R, T>>,
        option: RPCOption,
    ) -> Asked<VoteResponse<Config<R, T>>, R, T> {
        self.ask(Ask::PreVote(request), option.soft_ttl(), wire::decode_vote_answer).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Ballot,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Config<R, T>>, StreamingError<Config<R, T>>> {
        match T::select2(cancel, self.send_snapshot(vote, snapshot)).await {
            Select2::First(closed) => Err(closed.into()),
            Select2::Second(Ok(vote)) => Ok(SnapshotResponse::new(vote)),
            Select2::Second(Err(error)) => Err(self.unreachable(error).into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Config<R, T>>,
        option: RPCOption,
    ) -> Asked<TransferLeaderResponse<Config<R, T>>, R, T> {
        self.ask(Ask::Transfer(request), option.soft_ttl(), |_| Ok(Ok(()))).await
    }
}
