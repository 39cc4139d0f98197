//! Messages between nodes that are nobody else's business.

use althing_protocol::v1;
use prost::Message;

/// All members there ever were, as one node tells another.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Members {
    /// The last entry that the state had from which they are.
    #[prost(uint64, tag = "2")]
    pub(crate) as_of: u64,
    #[prost(message, repeated, tag = "1")]
    pub(crate) members: Vec<v1::Member>,
}

/// What a leader did with an envelope.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Outcomes {
    #[prost(message, repeated, tag = "1")]
    pub(crate) outcomes: Vec<v1::Outcome>,
    /// Why it did not begin.
    #[prost(message, optional, tag = "2")]
    pub(crate) not_begun: Option<v1::Failure>,
}

/// What a machine needs that was let in.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Joined {
    /// It, as a member.
    #[prost(message, optional, tag = "1")]
    pub(crate) member: Option<v1::Member>,
    /// The realm's, whose hash is its id.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) genesis: Vec<u8>,
    /// It is among them.
    #[prost(message, optional, tag = "3")]
    pub(crate) members: Option<Members>,
}
