//! What is said arrives; what nobody would say is refused.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::types::Membership;
use openraft_rt_tokio::TokioRuntime;
use proptest::prelude::*;
use std::collections::BTreeSet;

type Request = AppendEntriesRequest<Types<u64, TokioRuntime>>;
type AnyAsk = Ask<u64, TokioRuntime>;
type Answer = StreamAppendResult<Types<u64, TokioRuntime>>;

const NOBODY: LeaderId = LeaderId { term: 0, node_id: 0 };

fn leaders() -> impl Strategy<Value = LeaderId> {
    (0..=TERM_MAX, 0..=NODE_MAX).prop_map(|(term, node_id)| LeaderId { term, node_id })
}

fn ids() -> impl Strategy<Value = LogId> {
    (leaders(), 0..=INDEX_MAX).prop_map(|(leader, index)| LogId::new(leader, index))
}

fn payloads() -> impl Strategy<Value = Payload> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let members = proptest::collection::btree_set(0..=NODE_MAX, 1..5)
        .prop_map(|voters| Membership::new_with_defaults(vec![voters], []));
    prop_oneof![
        Just(Payload::Blank),
        bytes.prop_map(|bytes| Payload::Normal(Command(bytes))),
        members.prop_map(Payload::Membership),
    ]
}

fn requests() -> impl Strategy<Value = Request> {
    let prev = proptest::option::of((leaders(), 0..1_u64 << 40));
    (prev, proptest::option::of(ids()), proptest::collection::vec((leaders(), payloads()), 0..6))
        .prop_map(|(prev, commit, mut entries)| {
            let prev_log_id = prev.map(|(leader, index)| LogId::new(leader, index));
            let first = prev_log_id.map_or(0, |id: LogId| id.index + 1);
            let mut leaders: Vec<_> = entries.iter().map(|(leader, _)| *leader).collect();
            leaders.sort();
            let lowest = prev_log_id.map_or(NOBODY, |id| id.leader_id);
            let entries: Vec<_> = (first..)
                .zip(leaders.into_iter().zip(entries.drain(..)))
                .map(|(index, (leader, (_, payload)))| Entry {
                    log_id: LogId::new(leader.max(lowest), index),
                    payload,
                })
                .collect();
            let ids = entries.iter().map(|entry| entry.log_id).chain(prev_log_id).chain(commit);
            let leader_id = ids.map(|id| id.leader_id).max().unwrap_or(NOBODY);
            let vote = Ballot { leader_id, committed: true };
            Request { vote, prev_log_id, leader_commit: commit, entries }
        })
}

fn sender(request: &Request) -> u64 {
    request.vote.leader_id.node_id
}

fn assert_same(a: &Request, b: &Request) {
    let parts = |r: &Request| (r.vote, r.prev_log_id, r.leader_commit, r.entries.clone());
    assert_eq!(parts(a), parts(b));
}

proptest! {
    #[test]
    fn an_append_survives_alone_and_in_an_exchange(request in requests()) {
        let from = sender(&request);
        let bytes = encode_append(request.clone());
        assert_same(&request, &decode_append(from, bytes.clone()).unwrap());
        let AnyAsk::Append(asked) =
            Ask::decode(from, AnyAsk::Append(request.clone()).encode()).unwrap()
        else { panic!("not an append") };
        assert_same(&request, &asked);
        let other = from ^ 1;
        prop_assert!(decode_append::<u64, TokioRuntime>(other, bytes).is_err());
    }

    #[test]
    fn damage_is_refused_or_says_something_as_long(
        request in requests(), place: prop::sample::Index, bit in 0..8_u32, cut: prop::sample::Index,
    ) {
        let from = sender(&request);
        let bytes = encode_append(request).to_vec();
        let mut changed = bytes.clone();
        let place = place.index(bytes.len());
        changed[place] ^= 1 << bit;
        if let Ok(read) = decode_append::<u64, TokioRuntime>(from, changed.clone().into()) {
            prop_assert_eq!(encode_append(read).len(), changed.len());
        }
        let _ = AnyAsk::decode(from, changed.into());
        let mut longer = bytes.clone();
        longer.extend([0x78, 1]);
        prop_assert!(decode_append::<u64, TokioRuntime>(from, longer.into()).is_err());
        let _ = decode_append::<u64, TokioRuntime>(from, bytes[..cut.index(bytes.len())].to_vec().into());
    }

    #[test]
    fn noise_is_no_message(noise in proptest::collection::vec(any::<u8>(), 0..200), from in 0..=NODE_MAX) {
        let bytes = Bytes::from(noise);
        let _ = AnyAsk::decode(from, bytes.clone());
        let _ = decode_append::<u64, TokioRuntime>(from, bytes.clone());
        let _ = decode_vote_answer::<u64, TokioRuntime>(bytes.clone());
        let _ = Offer::decode(from, bytes.clone());
        let _ = decode_snapshot_answer(bytes);
    }

    #[test]
    fn votes_survive(leader in leaders(), last in proptest::option::of(ids()), yes: bool) {
        let vote = Ballot { leader_id: leader, committed: false };
        let mut request = VoteRequest::new(vote, last);
        request.leadership_transfer = yes;
        let AnyAsk::Vote(asked) =
            Ask::decode(leader.node_id, AnyAsk::Vote(request.clone()).encode()).unwrap()
        else { panic!("not a vote") };
        prop_assert_eq!(&asked, &request);
        prop_assert!(AnyAsk::decode(leader.node_id ^ 1, AnyAsk::PreVote(request).encode()).is_err());
        let answer = VoteResponse::<Types<u64, TokioRuntime>>::new(vote, last, yes);
        prop_assert_eq!(decode_vote_answer(encode_vote_answer(&answer)).unwrap(), answer);
    }

    #[test]
    fn an_offer_survives(leader in leaders(), index in 0..=INDEX_MAX) {
        let vote = Ballot { leader_id: leader, committed: true };
        let members = Membership::new_with_defaults(vec![BTreeSet::from([1, 2])], [3]);
        let stored = crate::types::StoredMembership::new(Some(LogId::new(leader, index)), members);
        let membership = membership::encode_stored(&stored);
        let position = Position { index, term: leader.term, node: leader.node_id, membership };
        let offer = Offer { vote, position };
        prop_assert_eq!(&Offer::decode(leader.node_id, offer.clone().encode()).unwrap(), &offer);
        let nobody = Offer { position: Position { membership: Vec::new(), ..offer.position }, ..offer };
        prop_assert!(Offer::decode(leader.node_id, nobody.encode()).is_err());
    }
}

/// An answer is only taken as one to what was sent.
#[test]
fn answers_fit_what_was_sent() {
    let id = |term, index| LogId::new(LeaderId { term, node_id: 1 }, index);
    let ballot = |term| Ballot { leader_id: LeaderId { term, node_id: 1 }, committed: true };
    let sent = Sent { vote: ballot(3), prev: Some(id(2, 4)), last: Some(id(3, 9)) };
    let nothing = Sent { prev: None, last: None, ..sent.clone() };
    let cases: [(Answer, &Sent, bool); 9] = [
        (Ok(sent.last), &sent, true),
        (Ok(None), &nothing, true),
        (Ok(None), &sent, false),
        (Ok(Some(id(3, 10))), &sent, false),
        (Err(StreamAppendError::Conflict(id(2, 4))), &sent, true),
        (Err(StreamAppendError::Conflict(id(2, 5))), &sent, false),
        (Err(StreamAppendError::Conflict(id(2, 4))), &nothing, false),
        (Err(StreamAppendError::HigherVote(ballot(4))), &sent, true),
        (Err(StreamAppendError::HigherVote(ballot(3))), &sent, false),
    ];
    for (answer, sent, fits) in cases {
        let read = decode_append_answer::<u64, TokioRuntime>(encode_append_answer(&answer), sent);
        assert_eq!(read.is_ok(), fits, "{answer:?} to {sent:?}");
        if fits {
            assert_eq!(read.unwrap(), answer);
        }
    }
}

/// Eight million entries fit into a frame of the network; they would take a thousand megabytes.
#[test]
fn entries_are_counted_before_they_are_read() {
    let message = |count: u64| AppendMessage {
        vote: VoteMessage { term: 5, node: 1, committed: true },
        prev: None,
        commit: None,
        entries: vec![EntryMessage { term: 1, node: 1, body: None }; count as usize],
    };
    let decode = |count| decode_append::<u64, TokioRuntime>(1, encode(&message(count)));
    assert_eq!(decode(APPEND_ENTRIES_MAX).unwrap().entries.len() as u64, APPEND_ENTRIES_MAX);
    let error = decode(APPEND_ENTRIES_MAX + 1).unwrap_err();
    assert!(error.message.contains("more entries than the limit"), "{error}");
    // Before: what is no entry at all is found only when it is read.
    let mut noise = vec![0x22, 0x01, 0xff];
    noise.extend([0x22, 0x00].repeat(APPEND_ENTRIES_MAX as usize));
    let error = decode_append::<u64, TokioRuntime>(1, noise.into()).unwrap_err();
    assert!(error.message.contains("more entries than the limit"), "{error}");
    // What goes by a call has none.
    let entries = message(16 << 10);
    let ask = encode(&AskMessage { body: Some(AskBody::Append(entries)) });
    let error = AnyAsk::decode(1, ask).err().unwrap();
    assert!(error.message.contains("larger than the limit"), "{error}");
}

#[test]
fn what_no_log_can_hold_is_refused() {
    let check = |change: fn(&mut AppendMessage)| {
        let entry = |term| EntryMessage { term, node: 1, body: None };
        let mut message = AppendMessage {
            vote: VoteMessage { term: 5, node: 1, committed: true },
            prev: Some(AtMessage { term: 1, node: 1, index: 7 }),
            commit: None,
            entries: vec![entry(2), entry(3)],
        };
        change(&mut message);
        decode_append::<u64, TokioRuntime>(1, encode(&message))
    };
    assert!(check(|_| ()).is_ok());
    let changes: [fn(&mut AppendMessage); 9] = [
        |m| m.vote.term = TERM_MAX + 1,
        |m| m.vote.node = NODE_MAX + 1,
        |m| m.vote.committed = false,
        |m| m.vote.term = 2,
        |m| m.entries[1].term = 1,
        |m| m.entries[0].term = 0,
        |m| m.prev = Some(AtMessage { term: 1, node: 1, index: u64::MAX }),
        |m| m.commit = Some(AtMessage { term: 6, node: 1, index: 1 }),
        |m| m.entries[0].body = Some(EntryBody::Membership(Bytes::from_static(&[0xff]))),
    ];
    for (case, change) in changes.into_iter().enumerate() {
        assert!(check(change).is_err(), "case {case}");
    }
}
