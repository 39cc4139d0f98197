//! What nodes say to each other, in bytes.
//!
//! Everything that arrives is checked as far as one message can be: one encoding only, terms and
//! nodes that the storage has room for, a vote of the node that sent it, entries in the order of a
//! log. The engine takes what passes for what a correct peer says.

use crate::NODE_MAX;
use crate::config::APPEND_ENTRIES_MAX;
use crate::membership::{self, AtMessage};
use crate::replica::Position;
use crate::store::{INDEX_MAX, TERM_MAX};
use crate::types::{Ballot, Command, Entry, LeaderId, LogId, Payload, Types};
use althing_protocol::{Error, Result};
use bytes::Bytes;
use openraft::AsyncRuntime;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message, Oneof};

/// A request is small: entries go through an exchange.
const ASK_BYTES_MAX: usize = 64 << 10;
/// Of the entries in an [`AppendMessage`].
const ENTRIES_TAG: u32 = 4;

#[derive(Clone, Copy, PartialEq, Message)]
struct VoteMessage {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    node: u64,
    #[prost(bool, tag = "3")]
    committed: bool,
}

#[derive(Clone, PartialEq, Message)]
struct AskMessage {
    #[prost(oneof = "AskBody", tags = "1, 2, 3, 4, 5")]
    body: Option<AskBody>,
}

#[derive(Clone, PartialEq, Oneof)]
enum AskBody {
    #[prost(message, tag = "1")]
    Vote(BallotMessage),
    #[prost(message, tag = "2")]
    PreVote(BallotMessage),
    #[prost(message, tag = "3")]
    Append(AppendMessage),
    #[prost(message, tag = "4")]
    Transfer(TransferMessage),
    /// Whether the node would take over.
    #[prost(message, tag = "5")]
    Willing(()),
}

#[derive(Clone, Copy, PartialEq, Message)]
struct BallotMessage {
    #[prost(message, required, tag = "1")]
    vote: VoteMessage,
    #[prost(message, optional, tag = "2")]
    last: Option<AtMessage>,
    /// Asked on behalf of the leader, whose lease does not count.
    #[prost(bool, tag = "3")]
    transfer: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct BallotAnswer {
    #[prost(message, required, tag = "1")]
    vote: VoteMessage,
    #[prost(message, optional, tag = "2")]
    last: Option<AtMessage>,
    #[prost(bool, tag = "3")]
    granted: bool,
}

#[derive(Clone, PartialEq, Message)]
struct AppendMessage {
    #[prost(message, required, tag = "1")]
    vote: VoteMessage,
    /// The entry before the first; none before entry 0.
    #[prost(message, optional, tag = "2")]
    prev: Option<AtMessage>,
    #[prost(message, optional, tag = "3")]
    commit: Option<AtMessage>,
    /// Their indexes count on from `prev`.
    #[prost(message, repeated, tag = "4")]
    entries: Vec<EntryMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct EntryMessage {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    node: u64,
    /// None for a leader's first entry.
    #[prost(oneof = "EntryBody", tags = "3, 4")]
    body: Option<EntryBody>,
}

#[derive(Clone, PartialEq, Oneof)]
enum EntryBody {
    #[prost(bytes = "bytes", tag = "3")]
    Command(Bytes),
    #[prost(bytes = "bytes", tag = "4")]
    Membership(Bytes),
}

#[derive(Clone, Copy, PartialEq, Message)]
struct TransferMessage {
    #[prost(message, required, tag = "1")]
    vote: VoteMessage,
    #[prost(uint64, tag = "2")]
    to: u64,
    #[prost(message, optional, tag = "3")]
    last: Option<AtMessage>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct AppendAnswer {
    #[prost(oneof = "AppendResult", tags = "1, 2, 3, 4")]
    result: Option<AppendResult>,
}

#[derive(Clone, Copy, PartialEq, Oneof)]
enum AppendResult {
    /// All up to this entry is durable there.
    #[prost(message, tag = "1")]
    Matched(AtMessage),
    /// Nothing was asked to be there.
    #[prost(message, tag = "2")]
    Nothing(()),
    /// This entry, the one before the first, is not there.
    #[prost(message, tag = "3")]
    Conflict(AtMessage),
    #[prost(message, tag = "4")]
    HigherVote(VoteMessage),
}

#[derive(Clone, PartialEq, Message)]
struct OfferMessage {
    #[prost(message, required, tag = "1")]
    vote: VoteMessage,
    #[prost(message, required, tag = "2")]
    at: AtMessage,
    #[prost(bytes = "vec", tag = "3")]
    membership: Vec<u8>,
}

/// What a node asks another.
pub(crate) enum Ask<A: Send + Sync + 'static, T: AsyncRuntime> {
    Vote(VoteRequest<Types<A, T>>),
    PreVote(VoteRequest<Types<A, T>>),
    Append(AppendEntriesRequest<Types<A, T>>),
    Transfer(TransferLeaderRequest<Types<A, T>>),
    Willing,
}

/// A snapshot, before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) vote: Ballot,
    pub(crate) position: Position,
}

impl<A: Send + Sync + 'static, T: AsyncRuntime> Ask<A, T> {
    pub(crate) fn encode(self) -> Bytes {
        let body = match self {
            Self::Vote(request) => AskBody::Vote(ballot(&request)),
            Self::PreVote(request) => AskBody::PreVote(ballot(&request)),
            Self::Append(request) => AskBody::Append(append(request)),
            Self::Transfer(request) => AskBody::Transfer(TransferMessage {
                vote: vote(request.from_leader()),
                to: *request.to_node_id(),
                last: request.last_log_id().map(at),
            }),
            Self::Willing => AskBody::Willing(()),
        };
        encode(&AskMessage { body: Some(body) })
    }

    pub(crate) fn decode(from: u64, bytes: Bytes) -> Result<Self> {
        if bytes.len() > ASK_BYTES_MAX {
            return Err(malformed("a request", "it is larger than the limit"));
        }
        let ask: AskMessage = parse("a request", bytes)?;
        Ok(match ask.body.ok_or_else(|| malformed("a request", "it asks nothing"))? {
            AskBody::Vote(message) => Self::Vote(parse_ballot(from, &message)?),
            AskBody::PreVote(message) => Self::PreVote(parse_ballot(from, &message)?),
            AskBody::Append(message) => Self::Append(parse_append(from, message)?),
            AskBody::Transfer(TransferMessage { vote, to, last }) => {
                let vote = leaders_vote(from, &vote)?;
                Self::Transfer(TransferLeaderRequest::new(vote, to, parse_at(last)?))
            }
            AskBody::Willing(()) => Self::Willing,
        })
    }
}

pub(crate) fn encode_append<A: Send + Sync + 'static, T: AsyncRuntime>(
    request: AppendEntriesRequest<Types<A, T>>,
) -> Bytes {
    encode(&append(request))
}

pub(crate) fn decode_append<A: Send + Sync + 'static, T: AsyncRuntime>(
    from: u64,
    bytes: Bytes,
) -> Result<AppendEntriesRequest<Types<A, T>>> {
    check_count(&bytes)?;
    parse_append(from, parse("an append", bytes)?)
}

/// An entry in memory takes many times what it can take in a message: they are counted before any is
/// read.
fn check_count(mut bytes: &[u8]) -> Result<()> {
    const WHAT: &str = "an append";
    let damaged = |error: DecodeError| malformed(WHAT, &error.to_string());
    let mut entries = 0;
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes).map_err(damaged)?;
        skip_field(wire_type, tag, &mut bytes, DecodeContext::default()).map_err(damaged)?;
        entries += u64::from(tag == ENTRIES_TAG);
        if entries > APPEND_ENTRIES_MAX {
            return Err(malformed(WHAT, "it has more entries than the limit"));
        }
    }
    Ok(())
}

pub(crate) fn encode_append_answer<A: Send + Sync + 'static, T: AsyncRuntime>(
    result: &StreamAppendResult<Types<A, T>>,
) -> Bytes {
    let result = match result {
        Ok(Some(id)) => AppendResult::Matched(at(id)),
        Ok(None) => AppendResult::Nothing(()),
        Err(StreamAppendError::Conflict(id)) => AppendResult::Conflict(at(id)),
        Err(StreamAppendError::HigherVote(higher)) => AppendResult::HigherVote(vote(higher)),
    };
    encode(&AppendAnswer { result: Some(result) })
}

/// The answer to an append under `own` vote that follows `prev` and ends with `last`: no other
/// entries can be its subject.
pub(crate) fn decode_append_answer<A: Send + Sync + 'static, T: AsyncRuntime>(
    bytes: Bytes,
    sent: &Sent,
) -> Result<StreamAppendResult<Types<A, T>>> {
    const WHAT: &str = "the answer to an append";
    let answer: AppendAnswer = parse(WHAT, bytes)?;
    let id = |message| parse_at(Some(message));
    match answer.result {
        Some(AppendResult::Matched(message)) => {
            let matched = id(message)?;
            (matched == sent.last).then_some(Ok(matched))
        }
        Some(AppendResult::Nothing(())) => sent.last.is_none().then_some(Ok(None)),
        Some(AppendResult::Conflict(message)) => id(message)?
            .filter(|_| id(message).ok() == Some(sent.prev))
            .map(|id| Err(StreamAppendError::Conflict(id))),
        Some(AppendResult::HigherVote(message)) => {
            let higher = parse_vote(&message)?;
            (higher > sent.vote).then_some(Err(StreamAppendError::HigherVote(higher)))
        }
        None => None,
    }
    .ok_or_else(|| malformed(WHAT, "it does not fit what was sent"))
}

/// What is remembered of an append until it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) vote: Ballot,
    pub(crate) prev: Option<LogId>,
    pub(crate) last: Option<LogId>,
}

impl Sent {
    pub(crate) fn of<A: Send + Sync + 'static, T: AsyncRuntime>(
        request: &AppendEntriesRequest<Types<A, T>>,
    ) -> Self {
        let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        Self { vote: request.vote, prev: request.prev_log_id, last }
    }
}

pub(crate) fn encode_vote_answer<A: Send + Sync + 'static, T: AsyncRuntime>(
    answer: &VoteResponse<Types<A, T>>,
) -> Bytes {
    encode(&BallotAnswer {
        vote: vote(&answer.vote),
        last: answer.last_log_id.as_ref().map(at),
        granted: answer.vote_granted,
    })
}

pub(crate) fn decode_vote_answer<A: Send + Sync + 'static, T: AsyncRuntime>(
    bytes: Bytes,
) -> Result<VoteResponse<Types<A, T>>> {
    let answer: BallotAnswer = parse("the answer to a vote", bytes)?;
    Ok(VoteResponse::new(parse_vote(&answer.vote)?, parse_at(answer.last)?, answer.granted))
}

impl Offer {
    pub(crate) fn encode(self) -> Bytes {
        let Position { index, term, node, membership } = self.position;
        encode(&OfferMessage {
            vote: vote(&self.vote),
            at: AtMessage { term, node, index },
            membership,
        })
    }

    pub(crate) fn decode(from: u64, bytes: Bytes) -> Result<Self> {
        const WHAT: &str = "the offer of a snapshot";
        let OfferMessage { vote, at, membership } = parse(WHAT, bytes)?;
        let vote = leaders_vote(from, &vote)?;
        let id = checked_at(&at)?;
        if id.leader_id > vote.leader_id {
            return Err(malformed(WHAT, "its entries are of a later leader than the sender"));
        }
        let stored = membership::decode_stored(&membership)
            .map_err(|error| malformed(WHAT, &error.to_string()))?;
        let is_ours = membership::encode_stored(&stored) == membership;
        // None where a realm began behind a snapshot of another.
        let is_behind = stored.log_id().is_none_or(|set| set <= id);
        if !is_ours || !is_behind || stored.voter_ids().next().is_none() {
            return Err(malformed(WHAT, "its membership is not one of its entries"));
        }
        let AtMessage { term, node, index } = at;
        Ok(Self { vote, position: Position { index, term, node, membership } })
    }
}

pub(crate) fn encode_snapshot_answer(answer: &Ballot) -> Bytes {
    encode(&vote(answer))
}

pub(crate) fn decode_snapshot_answer(bytes: Bytes) -> Result<Ballot> {
    parse_vote(&parse("the answer to a snapshot", bytes)?)
}

fn encode(message: &impl Message) -> Bytes {
    Bytes::from(message.encode_to_vec())
}

/// Refuses what it does not know and what could be said shorter; the bodies of entries are not
/// copied.
fn parse<M: Message + Default>(what: &str, bytes: Bytes) -> Result<M> {
    let length = bytes.len();
    let message = M::decode(bytes).map_err(|error| malformed(what, &error.to_string()))?;
    if message.encoded_len() != length {
        return Err(malformed(what, "it has unknown or repeated fields"));
    }
    Ok(message)
}

fn malformed(what: &str, why: &str) -> Error {
    Error::invalid(format!(
        "{what} from another node is malformed: {why}; run the same version on all nodes"
    ))
}

fn at(id: &LogId) -> AtMessage {
    AtMessage { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

fn parse_at(message: Option<AtMessage>) -> Result<Option<LogId>> {
    message.as_ref().map(checked_at).transpose()
}

fn checked_at(message: &AtMessage) -> Result<LogId> {
    if message.index > INDEX_MAX {
        return Err(malformed("the name of an entry", "its index is beyond any log"));
    }
    Ok(LogId::new(leader(message.term, message.node)?, message.index))
}

fn leader(term: u64, node_id: u64) -> Result<LeaderId> {
    if term > TERM_MAX || node_id > NODE_MAX {
        return Err(malformed("a leader", "its term or node is larger than any"));
    }
    Ok(LeaderId { term, node_id })
}

fn vote(vote: &Ballot) -> VoteMessage {
    let LeaderId { term, node_id: node } = vote.leader_id;
    VoteMessage { term, node, committed: vote.committed }
}

fn parse_vote(message: &VoteMessage) -> Result<Ballot> {
    let leader_id = leader(message.term, message.node)?;
    Ok(Ballot { leader_id, committed: message.committed })
}

/// The vote of the leader that sent it.
fn leaders_vote(from: u64, message: &VoteMessage) -> Result<Ballot> {
    let vote = parse_vote(message)?;
    if !vote.committed || vote.leader_id.node_id != from {
        return Err(malformed("a leader's message", "the sender is not the leader it names"));
    }
    Ok(vote)
}

fn ballot<A: Send + Sync + 'static, T: AsyncRuntime>(
    request: &VoteRequest<Types<A, T>>,
) -> BallotMessage {
    BallotMessage {
        vote: vote(&request.vote),
        last: request.last_log_id.as_ref().map(at),
        transfer: request.leadership_transfer,
    }
}

fn parse_ballot<A: Send + Sync + 'static, T: AsyncRuntime>(
    from: u64,
    message: &BallotMessage,
) -> Result<VoteRequest<Types<A, T>>> {
    let vote = parse_vote(&message.vote)?;
    if vote.committed || vote.leader_id.node_id != from {
        return Err(malformed("a candidate's message", "the sender is not the candidate"));
    }
    let mut request = VoteRequest::new(vote, parse_at(message.last)?);
    request.leadership_transfer = message.transfer;
    Ok(request)
}

fn append<A: Send + Sync + 'static, T: AsyncRuntime>(
    request: AppendEntriesRequest<Types<A, T>>,
) -> AppendMessage {
    let entry = |Entry { log_id, payload }: Entry| EntryMessage {
        term: log_id.leader_id.term,
        node: log_id.leader_id.node_id,
        body: match payload {
            Payload::Blank => None,
            Payload::Normal(Command(bytes)) => Some(EntryBody::Command(bytes)),
            Payload::Membership(members) => {
                Some(EntryBody::Membership(membership::encode(&members).into()))
            }
        },
    };
    AppendMessage {
        vote: vote(&request.vote),
        prev: request.prev_log_id.as_ref().map(at),
        commit: request.leader_commit.as_ref().map(at),
        entries: request.entries.into_iter().map(entry).collect(),
    }
}

fn parse_append<A: Send + Sync + 'static, T: AsyncRuntime>(
    from: u64,
    message: AppendMessage,
) -> Result<AppendEntriesRequest<Types<A, T>>> {
    const WHAT: &str = "an append";
    let vote = leaders_vote(from, &message.vote)?;
    let prev = parse_at(message.prev)?;
    let leader_commit = parse_at(message.commit)?;
    let mut last = prev;
    let mut entries = Vec::with_capacity(message.entries.len());
    for EntryMessage { term, node, body } in message.entries {
        let index = last.map_or(0, |last| last.index + 1);
        let log_id = checked_at(&AtMessage { term, node, index })?;
        if last.is_some_and(|last| last.leader_id > log_id.leader_id) {
            return Err(malformed(WHAT, "a later entry is of an earlier leader"));
        }
        last = Some(log_id);
        entries.push(Entry { log_id, payload: payload(body)? });
    }
    if last.max(leader_commit).is_some_and(|id| id.leader_id > vote.leader_id) {
        return Err(malformed(WHAT, "its entries are of a later leader than the sender"));
    }
    Ok(AppendEntriesRequest { vote, prev_log_id: prev, leader_commit, entries })
}

fn payload(body: Option<EntryBody>) -> Result<Payload> {
    Ok(match body {
        None => Payload::Blank,
        Some(EntryBody::Command(bytes)) => {
            if bytes.len() > crate::ENTRY_BYTES_MAX {
                return Err(malformed("an entry", "it is larger than the limit"));
            }
            Payload::Normal(Command(bytes))
        }
        Some(EntryBody::Membership(bytes)) => Payload::Membership(
            membership::decode(&bytes)
                .map_err(|error| malformed("an entry", &error.to_string()))?,
        ),
    })
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
