//! Uploading a blob in chunks.

use crate::{Client, retry::is_passing};
use althing_operations::{Freshness, blob, text::encode_base64};
use althing_protocol::{Error, Hash, Kind, Result, limits};
use serde_json::json;

/// Times an upload starts anew when the node dropped what it had.
const RESTARTS_MAX: u32 = 3;

impl Client {
    /// Uploads `bytes` unless the node has them, and returns their hash. Goes on where an earlier
    /// upload stopped. `progress` gets the number of bytes that the node has.
    ///
    /// # Errors
    /// What `action:blob.put.v1` says.
    pub async fn upload(&self, bytes: &[u8], mut progress: impl FnMut(u64)) -> Result<Hash> {
        let hash = Hash::of(bytes);
        let mut start = 0;
        let mut restarts = 0;
        loop {
            match self.upload_chunk(&hash, bytes, start).await {
                Ok(sent) => {
                    progress(sent.received);
                    if sent.complete {
                        return Ok(hash);
                    }
                    start = next_start(start, sent.received, bytes.len())?;
                }
                // The node lost its part, or its part was somebody's wrong bytes.
                Err(error)
                    if matches!(error.kind, Kind::Conflict | Kind::Invalid)
                        && start > 0
                        && restarts < RESTARTS_MAX =>
                {
                    restarts += 1;
                    start = 0;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends the chunk at `start`. Sending it twice does no harm, so it is tried again.
    async fn upload_chunk(
        &self,
        hash: &Hash,
        bytes: &[u8],
        start: usize,
    ) -> Result<blob::Progress> {
        let end = bytes.len().min(start + limits::CHUNK_BYTES_MAX);
        let chunk = &bytes[start..end];
        let input = blob::PutInput {
            hash: hash.to_string(),
            size: bytes.len() as u64,
            offset: start as u64,
            chunk_base64: encode_base64(chunk),
            chunk_hash: Hash::of(chunk).to_string(),
        };
        let read = Freshness::default();
        let output = self.call_remote(blob::PUT, &json!(input), read, is_passing).await?;
        serde_json::from_value(output)
            .map_err(|e| Error::internal(format!("answer to {}: {e}", blob::PUT)))
    }
}

/// Where the node wants the next chunk: further on, and within the blob.
fn next_start(start: usize, received: u64, size: usize) -> Result<usize> {
    usize::try_from(received).ok().filter(|next| *next > start && *next < size).ok_or_else(|| {
        Error::internal(format!("node has {received} bytes after a chunk at byte {start}"))
    })
}
