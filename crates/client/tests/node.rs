//! Everything else that a client asks of a node: uploads, the log, events; and no node at all.
#![allow(clippy::unwrap_used)]

mod common;

use althing_blobs::{Blobs, Chunk};
use althing_client::{Client, Endpoint, Token};
use althing_operations::Freshness;
use althing_protocol::{Error, Hash, Kind, limits};
use common::{Fault, start};
use futures::StreamExt;
use serde_json::json;

fn image() -> Vec<u8> {
    (0..limits::CHUNK_BYTES_MAX * 5 / 2).map(|n| ((n * n) >> 7) as u8).collect()
}

async fn start_with_blobs() -> (tempfile::TempDir, common::Running) {
    let dir = tempfile::tempdir().unwrap();
    let node = start().await;
    node.state().blobs = Some(Blobs::open(dir.path()).unwrap());
    (dir, node)
}

fn has(node: &common::Running, hash: &Hash) -> Option<Vec<u8>> {
    node.state().blobs.as_ref().unwrap().get(hash).unwrap()
}

#[tokio::test]
async fn an_upload_in_chunks_survives_refusals() {
    let (_dir, node) = start_with_blobs().await;
    let client = node.client_without_key().await;
    node.fail([
        Fault::Refuse(Error::exhausted("queue: full").retry_after_ms(1)),
        Fault::DoThenFail(Error::unavailable("node: stops")),
    ]);
    let mut seen = Vec::new();
    let hash = client.upload(&image(), |received| seen.push(received)).await.unwrap();
    assert_eq!(seen.last(), Some(&(image().len() as u64)));
    assert!(seen.is_sorted());
    assert_eq!(has(&node, &hash).unwrap(), image());

    node.state().calls.clear();
    assert_eq!(client.upload(&image(), |_| {}).await, Ok(hash));
    assert_eq!(node.state().calls.len(), 1, "what is there is not sent again");
}

#[tokio::test]
async fn an_upload_goes_on_where_another_stopped() {
    let (_dir, node) = start_with_blobs().await;
    let image = image();
    let (hash, size) = (Hash::of(&image), image.len() as u64);
    let part = &image[..limits::CHUNK_BYTES_MAX];
    for offset in [0, part.len()] {
        let bytes = &image[offset..offset + part.len()];
        let chunk = Chunk { offset: offset as u64, bytes, hash: Hash::of(bytes) };
        node.state().blobs.as_ref().unwrap().receive(&hash, size, chunk).unwrap();
    }
    let client = node.client_without_key().await;
    client.upload(&image, |_| {}).await.unwrap();
    assert_eq!(node.state().calls.len(), 2);
    assert_eq!(has(&node, &hash).unwrap(), image);
}

#[tokio::test]
async fn wrong_bytes_of_another_upload_are_replaced() {
    let (_dir, node) = start_with_blobs().await;
    let image = image();
    let hash = Hash::of(&image);
    let mut wrong = image[..limits::CHUNK_BYTES_MAX].to_vec();
    for (offset, flip) in [(0, 0), (wrong.len() as u64, 1)] {
        wrong[9] ^= flip;
        let chunk = Chunk { offset, bytes: &wrong, hash: Hash::of(&wrong) };
        let blobs = node.state();
        blobs.blobs.as_ref().unwrap().receive(&hash, image.len() as u64, chunk).unwrap();
    }
    let client = node.client_without_key().await;
    client.upload(&image, |_| {}).await.unwrap();
    assert_eq!(has(&node, &hash).unwrap(), image);
}

#[tokio::test]
async fn a_node_that_keeps_refusing_an_upload_is_believed() {
    let (_dir, node) = start_with_blobs().await;
    let client = node.client_without_key().await;
    let refusal = Error::conflict("blob: gone");
    node.fail((0..20).map(|n| match n % 2 {
        0 => Fault::Nothing,
        _ => Fault::Refuse(refusal.clone()),
    }));
    assert_eq!(client.upload(&image(), |_| {}).await, Err(refusal));
}

#[tokio::test]
async fn log_and_events_carry_errors() {
    let node = start().await;
    let client = node.client_without_key().await;
    let entries: Vec<_> = client.log(7, false).await.unwrap().collect().await;
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[1].as_ref().unwrap().index, 8);
    assert_eq!(entries[2].as_ref().unwrap_err().kind, Kind::NotFound);

    let events: Vec<_> = client.events(3, "tagger", "tagged").await.unwrap().collect().await;
    let event = events[0].as_ref().unwrap();
    assert_eq!((event.index, event.event.as_ref().unwrap().topic.as_str()), (3, "tagged"));
}

#[tokio::test]
async fn a_wrong_token_is_denied() {
    let node = start().await;
    let endpoint = Endpoint { token: Token::new("guess"), ..node.endpoint.clone() };
    let client = Client::connect(&endpoint, None).await.unwrap();
    let error = client.call("query:x.v1", json!({}), Freshness::Local).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
}

#[tokio::test]
async fn nobody_there() {
    // Bound and dropped: nobody listens on that port.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = Endpoint::new(&address.to_string(), Token::new("x"));
    let error = Client::connect(&endpoint, None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("althing up"), "{error}");
    let endpoint = Endpoint::new("not a url", Token::new("x"));
    assert_eq!(Client::connect(&endpoint, None).await.unwrap_err().kind, Kind::Invalid);
}
