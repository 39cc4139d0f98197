//! What talks to a node: keys on disk, signing, submitting, trying again.
//!
//! An envelope is signed once and sent as often as it takes: the node knows it by session and
//! sequence number, so nothing is done twice. What a node does in the name of a token is not sent
//! again when its fate is unknown.

mod client;
mod endpoint;
mod keystore;
mod retry;
mod session;
mod stream;
mod upload;

pub use althing_operations::Descriptor;
pub use althing_rpc::v1::{EventAt, LogEntry};
pub use client::{Client, Options};
pub use endpoint::{Endpoint, Token};
pub use keystore::{KeyInfo, Keystore, generate, read_key, write_key};
pub use retry::RetryPolicy;
pub use stream::{Pending, SubmitStream};
