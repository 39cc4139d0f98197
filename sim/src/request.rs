//! What clients and nodes say to each other.

use althing_protocol::v1;
use prost::Message;

/// To a node. One of the fields is there.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Request {
    /// Instructions to run.
    #[prost(message, optional, tag = "1")]
    pub(crate) submit: Option<v1::Envelope>,
    /// A key to read, linearizably.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) read: Option<Vec<u8>>,
}

/// From a node.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Answer {
    /// Why there is nothing else.
    #[prost(string, optional, tag = "1")]
    pub(crate) error: Option<String>,
    /// The node that leads, as far as this one knows.
    #[prost(uint64, optional, tag = "2")]
    pub(crate) leader: Option<u64>,
    /// What was submitted ran.
    #[prost(message, optional, tag = "3")]
    pub(crate) result: Option<v1::Result>,
    /// What is stored at the key.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) stored: Option<Vec<u8>>,
    /// The node that answers.
    #[prost(uint64, tag = "5")]
    pub(crate) node: u64,
}
