//! What node and client agree on to upload a blob: `action:blob.put.v1`, chunk by chunk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The operation that takes one chunk.
pub const PUT: &str = "action:blob.put.v1";
/// The operation that says how much of a blob is there.
pub const STAT: &str = "query:blob.stat.v1";

/// One chunk of a blob. Chunks come in order; each says its own hash and the whole's.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutInput {
    /// BLAKE3 of the whole blob, in hexadecimal.
    pub hash: String,
    /// Size of the whole blob, in bytes.
    pub size: u64,
    /// Where this chunk starts, in bytes.
    pub offset: u64,
    /// The chunk, in base64; at most 1 MiB.
    pub chunk_base64: String,
    /// BLAKE3 of this chunk, in hexadecimal.
    pub chunk_hash: String,
}

/// Names a blob.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatInput {
    /// BLAKE3 of the blob, in hexadecimal.
    pub hash: String,
}

/// How much of a blob the node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Bytes received from the start on: where the next chunk starts.
    pub received: u64,
    /// Whether the blob is whole, verified and on disk.
    pub complete: bool,
}
