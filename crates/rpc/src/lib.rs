//! gRPC between a node and its clients: the messages and stubs of `proto/althing/rpc/v1`, and how
//! errors travel.

mod status;

/// The messages and stubs of `proto/althing/rpc/v1`.
#[allow(missing_docs, clippy::doc_markdown, clippy::default_trait_access, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("althing.rpc.v1");
}

pub use status::{from_status, to_status};
pub use v1::{node_client::NodeClient, node_server::Node, node_server::NodeServer};

use althing_protocol::limits;

/// A request, in bytes: an envelope, or one of that size as base64 in JSON.
pub const REQUEST_BYTES_MAX: usize = limits::ENVELOPE_BYTES_MAX / 3 * 4 + SLACK_BYTES;
/// A reply, in bytes: every outcome of a full batch, as base64 in JSON.
pub const REPLY_BYTES_MAX: usize =
    limits::BATCH_PAYLOADS_MAX * limits::OUTCOME_BYTES_MAX / 3 * 4 + SLACK_BYTES;
/// Names, numbers and punctuation around the bytes.
const SLACK_BYTES: usize = 64 << 10;

/// `service` with our limits on message sizes.
pub fn server<T: Node>(service: T) -> NodeServer<T> {
    NodeServer::new(service)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(REPLY_BYTES_MAX)
}
