//! HTTP: calls, the log, events, metrics.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{HttpRequest, TestNode, json_line, line_with};
use data_encoding::BASE64;
use prost::Message;
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_put_is_got_under_either_spelling() {
    let test = TestNode::start().await;
    let put = json!({"key": "/a", "value": "one"});
    let first = test.output("action:kv.put.v1", put).await;
    let alias = json!({"key": "/a", "value": "two"});
    let second = test.output("action:kv.put.input.v1", alias).await;
    assert_eq!(first["create"], second["create"]);
    assert!(second["modify"].as_u64() > first["modify"].as_u64());
    let got = test.output("query:kv.get.v1", json!({"key": "/a"})).await;
    assert_eq!(got["value"], "two");
}

#[tokio::test]
async fn a_value_of_the_largest_size_fits_as_base64() {
    let test = TestNode::start().await;
    // An instruction has room for the value, its key and their frame.
    let value = BASE64.encode(&vec![0xff; (1 << 20) - 64]);
    test.output("action:kv.put.v1", json!({"key": "/a", "value_base64": value})).await;
    let got = test.output("query:kv.get.v1", json!({"key": "/a"})).await;
    assert_eq!(got["value_base64"], value);
}

#[tokio::test]
async fn what_is_not_understood_is_named() {
    let test = TestNode::start().await;
    let call =
        async |body: Value| test.request("POST", "/v1/call").body(body.to_string()).send().await;
    let field = call(json!({"operation": "query:kv.get.v1", "input": {"kee": "/a"}})).await;
    assert_eq!((field.status, field.kind().as_str()), (400, "invalid"));
    assert!(field.message().contains("kee"), "{}", field.message());

    let operation = call(json!({"operation": "query:kv.got.v1"})).await;
    assert_eq!((operation.status, operation.kind().as_str()), (404, "not-found"));
    assert!(operation.message().contains("query:kv.get.v1"), "{}", operation.message());

    let request = call(json!({"operation": "query:kv.get.v1", "inputs": {}})).await;
    assert!(request.status == 400 && request.message().contains("inputs"), "{request:?}");
    let read = call(json!({"operation": "query:kv.get.v1", "read": "fresh"})).await;
    assert!(read.status == 400 && read.message().contains("fresh"), "{read:?}");
    let no_json = test.request("POST", "/v1/call").body("{".into()).send().await;
    assert_eq!((no_json.status, no_json.kind().as_str()), (400, "invalid"));

    let method = test.get("/v1/call").await;
    assert_eq!((method.status, method.kind().as_str()), (405, "invalid"));
    let path = test.get("/v2/call").await;
    assert_eq!((path.status, path.kind().as_str()), (404, "not-found"));
    let parameter = test.get("/v1/log?form=1").await;
    assert!(parameter.status == 400 && parameter.message().contains("form"), "{parameter:?}");
}

#[tokio::test]
async fn reads_are_as_fresh_as_asked() {
    let test = TestNode::start().await;
    let put = test.output("action:kv.put.v1", json!({"key": "/a", "value": "b"})).await;
    for read in [json!("linearizable"), json!("local"), json!({"at-least": put["modify"]})] {
        let body = json!({"operation": "query:kv.get.v1", "input": {"key": "/a"}, "read": read});
        let reply = test.request("POST", "/v1/call").body(body.to_string()).send().await;
        assert_eq!(reply.json()["output"]["value"], "b", "{reply:?}");
    }
}

#[tokio::test]
async fn the_operations_describe_themselves() {
    let test = TestNode::start().await;
    let listed = test.get("/v1/operations").await.json();
    let operations = listed["operations"].as_array().unwrap();
    let names: Vec<_> = operations.iter().map(|each| each["name"].as_str().unwrap()).collect();
    for name in
        ["action:kv.put.v1", "query:kv.get.v1", "action:token.create.v1", "query:operation.list.v1"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert!(operations.iter().all(|each| each["input"]["type"] == "object"), "{listed}");
}

#[tokio::test]
async fn a_log_that_is_followed_shows_a_later_write() {
    let test = TestNode::start().await;
    test.output("action:kv.put.v1", json!({"key": "/before", "value": "1"})).await;
    let mut log = test.request("GET", "/v1/log?follow").open().await;
    let is_put = |line: &Value, key: &str| {
        line["instructions"][0]["method"] == "put" && line["instructions"][0]["args"]["key"] == key
    };
    let mut last = json_line(&mut log).await["index"].as_u64().unwrap();
    loop {
        let line = json_line(&mut log).await;
        last += 1;
        assert_eq!(line["index"], last, "{line}");
        if is_put(&line, "/before") {
            break;
        }
    }
    test.output("action:kv.put.v1", json!({"key": "/after", "value": "2"})).await;
    let line = json_line(&mut log).await;
    assert!(is_put(&line, "/after"), "{line}");
    assert_eq!(line["index"], last + 1);
    assert_eq!(line["author"], test.made.local.to_string());
    assert_eq!(line["instructions"][0]["outcome"]["output"]["modify"], last + 1);
}

#[tokio::test]
async fn a_log_that_is_not_followed_ends() {
    let test = TestNode::start().await;
    for n in 0..5 {
        test.output("action:kv.put.v1", json!({"key": format!("/{n}"), "value": "x"})).await;
    }
    let whole = test.get("/v1/log").await;
    let lines: Vec<Value> =
        whole.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 5 && lines.iter().any(|line| line["kind"] == "signed"), "{lines:?}");
    let from = lines[lines.len() - 3]["index"].as_u64().unwrap();
    let part = test.get(&format!("/v1/log?from={from}&limit=2")).await;
    assert_eq!(part.body.lines().count(), 2);
    assert!(part.body.starts_with(&lines[lines.len() - 3].to_string()[..8]));
}

#[tokio::test]
async fn a_log_that_is_followed_ends_with_the_node_and_with_the_grant() {
    let test = TestNode::start().await;
    let made = test.output("action:token.create.v1", json!({"name": "reader"})).await;
    let denied = HttpRequest::new(test.node.address(), "GET", "/v1/log")
        .header("authorization", &format!("Bearer {}", made["token"].as_str().unwrap()))
        .send()
        .await;
    assert_eq!((denied.status, denied.kind().as_str()), (403, "denied"));
    let subject = format!("key:{}", made["key"].as_str().unwrap());
    let grant = json!({"subject": subject, "program": "sys", "method": "log_read"});
    let granted = test.output("action:grant.add.v1", grant).await;

    let mut log = HttpRequest::new(test.node.address(), "GET", "/v1/log?follow")
        .header("authorization", &format!("Bearer {}", made["token"].as_str().unwrap()))
        .open()
        .await;
    let mut own = test.request("GET", "/v1/log?follow").open().await;
    json_line(&mut log).await;
    json_line(&mut own).await;
    test.output("action:grant.revoke.v1", json!({"id": granted["id"]})).await;
    let error = line_with(&mut log, "{\"error\":").await;
    assert!(error.contains("denied"), "{error}");
    test.node.shutdown().await.unwrap();
    line_with(&mut own, "0").await;
}

#[tokio::test]
async fn health_readiness_and_metrics() {
    let test = TestNode::start().await;
    test.output("action:kv.put.v1", json!({"key": "/a", "value": "b"})).await;
    test.call("query:no.such.v1", json!({})).await;
    let text = test.get("/metrics").await.body;
    for line in [
        "althing_requests_total{operation=\"action:kv.put.v1\",result=\"ok\"} 1",
        "althing_requests_total{operation=\"unknown\",result=\"not-found\"} 1",
        "althing_request_seconds_count{operation=\"action:kv.put.v1\"} 1",
        "althing_realm_leads 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn an_envelope_may_come_over_http_in_either_form() {
    let test = TestNode::start().await;
    let open = vec![althing_protocol::sys::session_open("http")];
    let envelope = test.signed(&test.founder, 0, 1, open).encode_to_vec();
    let body = json!({"envelope_base64": BASE64.encode(&envelope)}).to_string();
    let submit = || test.request("POST", "/v1/submit").header("content-type", "application/json");
    let first = submit().body(body.clone()).send().await;
    assert_eq!(first.status, 200, "{first:?}");
    let session = first.json()["outcomes"][0]["output"]["session"].as_u64();
    assert!(session.is_some(), "{first:?}");
    // The same envelope again has the same outcome.
    assert_eq!(submit().body(body).send().await.json(), first.json());
    let cut = json!({"envelope_base64": BASE64.encode(&envelope[..20])}).to_string();
    let cut = submit().body(cut).send().await;
    assert_eq!((cut.status, cut.kind().as_str()), (400, "invalid"));
}
