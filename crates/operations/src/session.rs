//! What node and client agree on about sessions: `query:session.list.v1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The operation that lists an author's sessions.
pub const LIST: &str = "query:session.list.v1";

/// Whose sessions.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListInput {
    /// Public key of the author, in hexadecimal; the caller's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// An author's sessions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListOutput {
    /// Public key of the author, in hexadecimal.
    pub author: String,
    /// The sequence number in session 0 that opens the next one: the count opened so far.
    pub next_open: u64,
    /// The open ones, oldest first.
    pub sessions: Vec<Session>,
}

/// An open session.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Its number.
    pub session: u64,
    /// What it is for.
    pub label: String,
    /// Sequence numbers below this one are decided.
    pub floor: u64,
    /// One above the highest sequence number that was used.
    pub next: u64,
    /// Index of the entry that used it last.
    pub used: u64,
}
