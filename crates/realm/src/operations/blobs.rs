//! Uploading content-addressed files to this node, in verified chunks.

use super::{blocking, need_sys, on_sys};
use crate::Realm;
use althing_blobs::{BlobError, Chunk};
use althing_operations::{Operation, blob, text};
use althing_protocol::Result;
use serde_json::json;
use std::sync::Arc;

pub(super) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    let (for_put, for_stat) = (Arc::clone(realm), Arc::clone(realm));
    vec![
        Operation::local_action(
            blob::PUT,
            "Takes one chunk of a blob; chunks come in order, and an upload can be resumed.",
            on_sys("blob_put"),
            |_: &blob::PutInput| need_sys("blob_put"),
            move |_, input| put(Arc::clone(&for_put), input),
        ),
        Operation::query(
            blob::STAT,
            "Says how much of a blob this node has.",
            on_sys("blob_stat"),
            |_: &blob::StatInput| need_sys("blob_stat"),
            move |_, input| stat(Arc::clone(&for_stat), input),
        )
        .example(json!({"hash": "00".repeat(32)})),
    ]
}

async fn put(realm: Arc<Realm>, input: blob::PutInput) -> Result<blob::Progress> {
    realm.core.check_disk()?;
    let hash = text::hash("hash", &input.hash)?;
    let chunk_hash = text::hash("chunk_hash", &input.chunk_hash)?;
    let bytes = text::decode_base64("chunk_base64", &input.chunk_base64)?;
    blocking(move || {
        let chunk = Chunk { offset: input.offset, bytes: &bytes, hash: chunk_hash };
        progress(realm.blobs().receive(&hash, input.size, chunk))
    })
    .await
}

async fn stat(realm: Arc<Realm>, input: blob::StatInput) -> Result<blob::Progress> {
    let hash = text::hash("hash", &input.hash)?;
    blocking(move || progress(realm.blobs().stat(&hash))).await
}

fn progress(received: Result<althing_blobs::Received, BlobError>) -> Result<blob::Progress> {
    let received = received.map_err(althing_protocol::Error::from)?;
    Ok(blob::Progress { received: received.received, complete: received.complete })
}
