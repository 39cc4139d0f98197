//! Events: over SSE and gRPC, live, filtered, and picked up where one was cut off.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_protocol::{Hash, sys, v1};
use althing_rpc::v1::EventsRequest;
use common::{TestNode, json_line, line_with};
use data_encoding::BASE64;
use serde_json::{Value, json};

/// Does nothing, successfully.
const IDLE: &str = r#"(component
  (core module $idle
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "run") (param i32 i32 i32 i32) (result i32) (i32.const 16)))
  (core instance $idle (instantiate $idle))
  (func $run (param "method" string) (param "args" (list u8))
    (result (result (list u8) (error string)))
    (canon lift (core func $idle "run")
      (memory (core memory $idle "memory")) (realloc (core func $idle "realloc"))))
  (export "apply" (func $run))
  (export "query" (func $run)))"#;

async fn upload(test: &TestNode) -> Hash {
    let image = wat::parse_str(IDLE).unwrap();
    let hash = Hash::of(&image);
    let chunk = json!({
        "hash": hash.to_string(), "size": image.len(), "offset": 0,
        "chunk_base64": BASE64.encode(&image), "chunk_hash": hash.to_string(),
    });
    test.output("action:blob.put.v1", chunk).await;
    hash
}

/// One entry with two events: `program` is staged and activated.
async fn deploy(test: &TestNode, program: &str, image: &Hash) -> u64 {
    let image = image.0.to_vec();
    let manifest = Some(v1::Manifest::default());
    let stage =
        v1::Stage { program: program.into(), image: image.clone(), manifest, signature: None };
    let activate = v1::Activate { program: program.into(), image };
    let instruction = |each: v1::Instruction| {
        let args = BASE64.encode(&each.args);
        json!({"program": each.program_id, "method": each.method, "args_base64": args})
    };
    let instructions = [instruction(sys::stage(&stage)), instruction(sys::activate(&activate))];
    let input = json!({"instructions": instructions});
    test.output("action:instruction.submit.v1", input).await["index"].as_u64().unwrap()
}

#[tokio::test]
async fn sse_goes_on_after_the_last_event_received() {
    let test = TestNode::start().await;
    let image = upload(&test).await;
    let mut live = test.request("GET", "/v1/events?program=sys").open().await;
    line_with(&mut live, "HTTP/1.1 200").await;
    let index = deploy(&test, "idle", &image).await;
    for (position, topic) in ["program.staged", "program.activated"].into_iter().enumerate() {
        assert_eq!(line_with(&mut live, "id: ").await, format!("{index}.{position}"));
        let event: Value = serde_json::from_str(&line_with(&mut live, "data: ").await).unwrap();
        assert_eq!(event, json!({"program": "sys", "topic": topic, "data_text": "idle"}));
    }
    // Cut off between two events of one entry.
    let resume = test.request("GET", "/v1/events?program=sys");
    let mut resumed = resume.header("last-event-id", &format!("{index}.0")).open().await;
    assert_eq!(line_with(&mut resumed, "id: ").await, format!("{index}.1"));
    let later = deploy(&test, "idle2", &image).await;
    assert_eq!(line_with(&mut resumed, "id: ").await, format!("{later}.0"));
}

#[tokio::test]
async fn sse_from_an_index_by_topic() {
    let test = TestNode::start().await;
    let image = upload(&test).await;
    let index = deploy(&test, "idle", &image).await;
    let path = format!("/v1/events?program=sys&topic=program.activated&from={index}");
    let mut events = test.request("GET", &path).open().await;
    assert_eq!(line_with(&mut events, "id: ").await, format!("{index}.1"));
    let bad =
        test.request("GET", "/v1/events?program=sys").header("last-event-id", "x").send().await;
    assert_eq!((bad.status, bad.kind().as_str()), (400, "invalid"));
}

#[tokio::test]
async fn events_need_the_grant_of_their_program() {
    let test = TestNode::start().await;
    let made = test.output("action:token.create.v1", json!({"name": "display"})).await;
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let open = |path: &str| {
        common::HttpRequest::new(test.node.address(), "GET", path).header("authorization", &bearer)
    };
    let subject = format!("key:{}", made["key"].as_str().unwrap());
    let grant = json!({"subject": subject, "program": "sys", "method": "events"});
    test.output("action:grant.add.v1", grant).await;
    let mut granted = open("/v1/events?program=sys").open().await;
    line_with(&mut granted, "HTTP/1.1 200").await;
    for path in ["/v1/events", "/v1/events?program=other"] {
        let denied = open(path).send().await;
        assert_eq!((denied.status, denied.kind().as_str()), (403, "denied"), "{path}");
    }
}

#[tokio::test]
async fn grpc_has_the_same_events_and_the_log_their_data() {
    let test = TestNode::start().await;
    let image = upload(&test).await;
    let index = deploy(&test, "idle", &image).await;
    let request = EventsRequest { from: index, program: String::new(), topic: String::new() };
    let mut events = test.grpc().await.events(request).await.unwrap().into_inner();
    for (position, topic) in (0..).zip(["program.staged", "program.activated"]) {
        let at = events.message().await.unwrap().unwrap();
        assert_eq!((at.index, at.position), (index, position));
        assert_eq!(at.event.unwrap().topic, topic);
    }
    let mut log = test.request("GET", &format!("/v1/log?from={index}")).open().await;
    let line = json_line(&mut log).await;
    assert_eq!(line["instructions"][1]["args"]["image"], image.to_string());
    assert_eq!(line["instructions"][1]["outcome"]["events"][0]["topic"], "program.activated");
}
