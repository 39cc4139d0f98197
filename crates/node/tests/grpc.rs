//! gRPC: calls, envelopes good and bad, streams.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Batch, Error, Kind, RealmId, SecretKey, sign, sys, v1};
use althing_rpc::from_status;
use althing_rpc::v1::{CallRequest, LogRequest};
use common::{Grpc, TestNode};
use prost::Message;
use serde_json::{Value, json};

async fn submit(grpc: &mut Grpc, envelope: v1::Envelope) -> Result<Vec<v1::Outcome>, Error> {
    let reply = grpc.submit(envelope).await.map_err(|status| from_status(&status))?;
    Ok(reply.into_inner().outcomes)
}

/// Opens a session of the founder.
async fn open(test: &TestNode, grpc: &mut Grpc) -> u64 {
    let envelope = test.signed(&test.founder, 0, 1, vec![sys::session_open("test")]);
    let outcomes = submit(grpc, envelope).await.unwrap();
    match &outcomes[0].result {
        Some(v1::outcome::Result::Output(output)) => {
            v1::SessionOpened::decode(output.as_slice()).unwrap().session
        }
        other => panic!("{other:?}"),
    }
}

fn failure(outcome: &v1::Outcome) -> Option<Kind> {
    match &outcome.result {
        Some(v1::outcome::Result::Failure(failure)) => Some(Error::from(failure).kind),
        _ => None,
    }
}

#[tokio::test]
async fn what_is_put_is_got() {
    let test = TestNode::start().await;
    let mut grpc = test.grpc().await;
    let mut call = async |operation: &str, input: Value| {
        let request = CallRequest {
            operation: operation.into(),
            input_json: input.to_string(),
            read_json: String::new(),
        };
        let reply = grpc.call(request).await.map_err(|status| from_status(&status))?;
        Ok::<Value, Error>(serde_json::from_str(&reply.into_inner().output_json).unwrap())
    };
    call("action:kv.put.v1", json!({"key": "/a", "value": "b"})).await.unwrap();
    assert_eq!(call("query:kv.get.v1", json!({"key": "/a"})).await.unwrap()["value"], "b");
    let unknown = call("query:kv.got.v1", json!({})).await.unwrap_err();
    assert_eq!(unknown.kind, Kind::NotFound);
    assert!(unknown.message.contains("query:kv.get.v1"), "{unknown}");
}

#[tokio::test]
async fn the_author_acts_and_a_retry_is_done_once() {
    let test = TestNode::start().await;
    let mut grpc = test.grpc().await;
    let session = open(&test, &mut grpc).await;
    let envelope = test.signed(&test.founder, session, 1, vec![sys::put("/a", "b")]);
    let first = submit(&mut grpc, envelope.clone()).await.unwrap();
    assert_eq!(failure(&first[0]), None, "{first:?}");
    assert_eq!(submit(&mut grpc, envelope).await.unwrap(), first);
}

#[tokio::test]
async fn bad_envelopes_are_refused_by_kind() {
    let test = TestNode::start().await;
    let mut grpc = test.grpc().await;
    let session = open(&test, &mut grpc).await;
    let put = || vec![sys::put("/a", "b")];
    let good = test.signed(&test.founder, session, 1, put());

    let mut truncated = good.clone();
    truncated.body.truncate(good.body.len() / 2);
    let mut other_body = good.clone();
    *other_body.body.last_mut().unwrap() ^= 1;
    let mut short_signature = good.clone();
    short_signature.signature.pop();
    let stranger = SecretKey::from_seed(&[9; 32]);
    let elsewhere = Batch {
        realm: RealmId([7; 32]),
        author: test.founder.public(),
        session,
        sequence: 1,
        instructions: put(),
    };
    let unknown_program = vec![v1::Instruction::new("nobody", "do", Vec::new())];
    let unknown_method = vec![v1::Instruction::new("sys", "conjure", Vec::new())];
    let cases = [
        ("truncated", truncated, vec![Kind::Invalid, Kind::Denied]),
        ("another body", other_body, vec![Kind::Denied, Kind::Invalid]),
        ("short signature", short_signature, vec![Kind::Denied, Kind::Invalid]),
        ("another realm", sign(&test.founder, elsewhere), vec![Kind::Invalid]),
        (
            "a key without grants",
            test.signed(&stranger, 0, 1, put()),
            vec![Kind::Denied, Kind::Invalid],
        ),
        (
            "an unknown session",
            test.signed(&test.founder, session + 40, 1, put()),
            vec![Kind::NotFound],
        ),
        (
            "out of the window",
            test.signed(&test.founder, session, 1 << 20, put()),
            vec![Kind::Invalid, Kind::Conflict],
        ),
        (
            "an unknown program",
            test.signed(&test.founder, session, 1, unknown_program),
            vec![Kind::NotFound],
        ),
        (
            "an unknown method",
            test.signed(&test.founder, session, 1, unknown_method),
            vec![Kind::NotFound, Kind::Invalid],
        ),
        ("no body", v1::Envelope::default(), vec![Kind::Invalid]),
    ];
    let before = test.output("query:realm.status.v1", json!({})).await["instructions"].clone();
    for (what, envelope, expected) in cases {
        let refused = submit(&mut grpc, envelope).await.expect_err(what);
        assert!(expected.contains(&refused.kind), "{what}: {refused}");
    }
    let after = test.output("query:realm.status.v1", json!({})).await["instructions"].clone();
    assert_eq!(before, after, "none of them reached the log");
    assert_eq!(failure(&submit(&mut grpc, good).await.unwrap()[0]), None, "the node is well");
}

#[tokio::test]
async fn an_envelope_over_the_limit_is_refused() {
    let test = TestNode::start().await;
    let mut grpc = test.grpc().await;
    let large = vec![sys::put("/a", vec![0; (1 << 20) - 64]); 5];
    let refused = submit(&mut grpc, test.signed(&test.founder, 0, 1, large)).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Invalid);
    let huge =
        v1::Envelope { body: vec![0; althing_rpc::REQUEST_BYTES_MAX + 1], signature: vec![] };
    let refused = submit(&mut grpc, huge).await.unwrap_err();
    assert!(matches!(refused.kind, Kind::Invalid | Kind::Unavailable), "{refused}");
}

#[tokio::test]
async fn a_stream_answers_in_order_and_goes_on_after_a_refusal() {
    let test = TestNode::start().await;
    let mut grpc = test.grpc().await;
    let session = open(&test, &mut grpc).await;
    const BATCHES: u64 = 200;
    let mut envelopes: Vec<_> = (0..BATCHES)
        .map(|n| test.signed(&test.founder, session, 1 + n, vec![sys::put("/n", n.to_string())]))
        .collect();
    let mut forged = envelopes[7].clone();
    forged.signature[0] ^= 1;
    envelopes.insert(7, forged);
    let mut replies = grpc.submit_stream(tokio_stream::iter(envelopes)).await.unwrap().into_inner();
    let mut sequences = Vec::new();
    while let Some(reply) = replies.message().await.unwrap() {
        match reply.failure {
            Some(refused) => assert_eq!((refused.kind(), reply.sequence), (v1::Kind::Denied, 8)),
            None => {
                assert_eq!((failure(&reply.outcomes[0]), reply.session), (None, session));
                sequences.push(reply.sequence);
            }
        }
    }
    assert_eq!(sequences, (1..=BATCHES).collect::<Vec<_>>());
    let last = test.output("query:kv.get.v1", json!({"key": "/n"})).await;
    assert_eq!(last["value"], (BATCHES - 1).to_string(), "done in the order they were sent");
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_not_read_either() {
    const STALLED: std::time::Duration = std::time::Duration::from_secs(1);
    let test = TestNode::start_with(&[("limits.stream_window", "4")]).await;
    let mut grpc = test.grpc().await;
    let session = open(&test, &mut grpc).await;
    let large = vec![sys::put("/large", vec![0; 60_000])];
    submit(&mut grpc, test.signed(&test.founder, session, 1, large)).await.unwrap();
    // Question and answer are both large: what the transport holds is soon full.
    let get = v1::Op { op: Some(v1::op::Op::Get(v1::Get { key: b"/large".to_vec() })) };
    let unused = v1::Put { key: b"/unused".to_vec(), value: vec![0; 200_000] };
    let unused = v1::Op { op: Some(v1::op::Op::Put(unused)) };
    let read = v1::Txn { success: vec![get], failure: vec![unused], ..Default::default() };

    let (send, receive) = tokio::sync::mpsc::channel(1);
    let incoming = tokio_stream::wrappers::ReceiverStream::new(receive);
    let mut replies = grpc.submit_stream(incoming).await.unwrap().into_inner();
    let mut sent = 0;
    loop {
        let read = vec![sys::txn(&read)];
        let envelope = test.signed(&test.founder, session, 2 + sent, read);
        if tokio::time::timeout(STALLED, send.send(envelope)).await.is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 2_000, "taken without an answer being read");
    }
    drop(send);
    let mut answered = 0;
    while let Some(reply) = replies.message().await.unwrap() {
        assert_eq!((failure(&reply.outcomes[0]), reply.sequence), (None, 2 + answered));
        answered += 1;
    }
    assert_eq!(answered, sent);
}

#[tokio::test]
async fn the_log_is_the_bytes_as_stored() {
    let test = TestNode::start().await;
    let mut grpc = test.grpc().await;
    let session = open(&test, &mut grpc).await;
    let envelope = test.signed(&test.founder, session, 1, vec![sys::put("/a", "b")]);
    let outcomes = submit(&mut grpc, envelope.clone()).await.unwrap();
    let request = LogRequest { from: outcomes[0].index, limit: 1, follow: false };
    let mut log = grpc.log(request).await.unwrap().into_inner();
    let stored = log.message().await.unwrap().unwrap();
    assert_eq!(stored.index, outcomes[0].index);
    let entry = v1::Entry::decode(stored.entry.as_ref()).unwrap();
    match entry.kind {
        Some(v1::entry::Kind::Signed(signed)) => assert_eq!(signed.envelope, Some(envelope)),
        other => panic!("{other:?}"),
    }
    let result = v1::Result::decode(stored.result.unwrap().as_ref()).unwrap();
    assert_eq!(result.outcomes, outcomes);
    assert!(log.message().await.unwrap().is_none());
}
