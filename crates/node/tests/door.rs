//! Who is let in: tokens, Host, Origin, and how much.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use althing_rpc::{from_status, v1::CallRequest};
use common::{HttpRequest, TestNode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn nothing_but_health_is_open_without_a_token() {
    let test = TestNode::start().await;
    let address = test.node.address();
    let paths = ["/v1/operations", "/v1/log", "/v1/events", "/metrics", "/", "/no/such"];
    for path in paths {
        let reply = HttpRequest::new(address, "GET", path).send().await;
        assert_eq!((reply.status, reply.kind().as_str()), (401, "denied"), "{path}");
        assert!(reply.message().contains("local.token"), "{}", reply.message());
        assert_eq!(reply.header("www-authenticate"), Some("bearer"));
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(HttpRequest::new(address, "GET", path).send().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_no_token() {
    let test = TestNode::start().await;
    let almost = format!("{}x", test.token);
    for token in [almost.as_str(), "", "Bearer", &test.token[1..]] {
        let reply = test.call_as(token, "query:realm.status.v1", json!({})).await;
        assert_eq!(reply.status, 401, "{token}");
        assert!(!reply.body.contains(&test.token));
    }
    let request = CallRequest { operation: "query:realm.status.v1".into(), ..Default::default() };
    let refused = test.grpc_as(&almost).await.call(request).await.unwrap_err();
    assert_eq!(from_status(&refused).kind, althing_protocol::Kind::Denied);
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused_even_with_a_token() {
    let test = TestNode::start().await;
    let port = test.node.address().port();
    let rebound = format!("evil.example:{port}");
    for host in [Some(rebound.as_str()), Some("127.0.0.1"), Some("127.0.0.1:1"), None] {
        let reply = test.request("GET", "/v1/operations").host(host).send().await;
        // HTTP/1.1 without a Host is refused by the parser or by the guard.
        assert!(matches!(reply.status, 400 | 403), "{host:?}: {reply:?}");
    }
    for origin in ["http://evil.example", "null", "https://localhost"] {
        let reply = test.request("GET", "/healthz").header("origin", origin).send().await;
        assert_eq!((reply.status, reply.kind().as_str()), (403, "denied"), "{origin}");
    }
    let own = format!("http://localhost:{port}");
    let reply = test.request("GET", "/v1/operations").header("origin", &own);
    assert_eq!(reply.host(Some(&format!("localhost:{port}"))).send().await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_revoked_is_gone_and_never_shown_again() {
    let test = TestNode::start().await;
    let made = test.output("action:token.create.v1", json!({"name": "phone"})).await;
    let token = made["token"].as_str().unwrap();
    // It came in, and may do nothing yet.
    let denied = test.call_as(token, "query:kv.get.v1", json!({"key": "/a"})).await;
    assert_eq!((denied.status, denied.kind().as_str()), (403, "denied"));
    assert!(denied.message().contains("grant"), "{}", denied.message());

    let listed = test.get("/metrics").await.body
        + &test.output("query:token.list.v1", json!({})).await.to_string();
    assert!(listed.contains("phone") && !listed.contains(token));
    test.output("action:token.revoke.v1", json!({"name": "phone"})).await;
    let gone = test.call_as(token, "query:kv.get.v1", json!({"key": "/a"})).await;
    assert_eq!(gone.status, 401);
}

#[tokio::test]
async fn a_caller_does_what_its_key_is_granted() {
    let test = TestNode::start().await;
    let made = test.output("action:token.create.v1", json!({"name": "phone"})).await;
    let (token, key) = (made["token"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_ne!(key, test.founder.public().to_string());
    assert_ne!(key, test.node.key().to_string());
    let grant = json!({
        "subject": format!("key:{key}"), "program": "sys", "method": "put", "prefix": "/phone",
    });
    test.output("action:grant.add.v1", grant).await;
    let put = |key: &str| json!({"key": key, "value": "x"});
    assert_eq!(test.call_as(token, "action:kv.put.v1", put("/phone/a")).await.status, 200);
    let outside = test.call_as(token, "action:kv.put.v1", put("/desk/a")).await;
    assert_eq!((outside.status, outside.kind().as_str()), (403, "denied"));
    let read = test.call_as(token, "query:kv.get.v1", json!({"key": "/phone/a"})).await;
    assert_eq!(read.status, 403, "{}", read.body);
}

#[tokio::test]
async fn a_rate_that_is_used_up_says_when_to_come_back() {
    let flags = [("limits.rate_per_second", "1"), ("limits.burst", "256")];
    let test = TestNode::start_with(&flags).await;
    let instruction = json!({"program": "sys", "method": "put", "args_base64": "CgFhEgFi"});
    let batch = json!({"instructions": vec![instruction; 200]});
    assert_eq!(test.call("action:instruction.submit.v1", batch.clone()).await.status, 200);
    let refused = test.call("action:instruction.submit.v1", batch).await;
    assert_eq!((refused.status, refused.kind().as_str()), (429, "exhausted"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    let ms = refused.json()["error"]["retry_after_ms"].as_u64().unwrap();
    assert!(seconds >= 1 && ms.div_ceil(1_000) == seconds, "{refused:?}");
}

#[tokio::test]
async fn one_stream_more_than_the_limit_is_refused_until_one_ends() {
    let test = TestNode::start_with(&[("limits.streams_max", "1")]).await;
    let mut first = test.request("GET", "/v1/log?follow").open().await;
    common::json_line(&mut first).await;
    let refused = test.get("/v1/log?follow").await;
    assert_eq!((refused.status, refused.kind().as_str()), (429, "exhausted"));
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn one_connection_more_than_the_limit_is_told_so() {
    let test = TestNode::start_with(&[("http.connections_max", "1")]).await;
    let mut first = test.request("GET", "/v1/log?follow").open().await;
    common::json_line(&mut first).await;
    let reply = HttpRequest::new(test.node.address(), "GET", "/healthz").send().await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("retry-after").is_some());
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_first_request_is_cut_off() {
    let test = TestNode::start_with(&[("http.head_timeout_ms", "100")]).await;
    // The first bytes of both HTTP versions: nobody can tell yet which it is.
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: a"] {
        let mut stream = TcpStream::connect(test.node.address()).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Ends because the node hangs up; the test hangs if it does not.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{beginning:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_or_does_not_come_is_refused() {
    let test = TestNode::start_with(&[("http.body_timeout_ms", "100")]).await;
    let large = "x".repeat(althing_rpc::REQUEST_BYTES_MAX + 1);
    let reply = test.request("POST", "/v1/call").body(large).send().await;
    assert_eq!((reply.status, reply.kind().as_str()), (413, "invalid"));

    let mut stream = TcpStream::connect(test.node.address()).await.unwrap();
    let head = format!(
        "POST /v1/call HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-length: 9\r\n\r\n{{",
        test.node.address(),
        test.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reader = tokio::io::BufReader::new(stream);
    assert!(common::line_with(&mut reader, "HTTP/1.1 ").await.starts_with("408"));
}
