//! Authenticated, encrypted connections between nodes, one per pair, with many streams on each.
//!
//! ```text
//! call, pipe         frames: length, tag, body                      frame, pipe, serve
//! streams            yamux, a window each                           link, wire
//! one connection     who dialled, greeting, backoff                 table, dial, accept, greeting
//! TLS 1.3            both sides prove their node's ed25519 key      tls
//! TCP                whether bytes still move                       pulse
//! ```
//!
//! This crate knows keys, addresses, realm ids and opaque bytes. What a message means, and who may
//! send it, its [`Handler`] says. A stream names its realm, so one connection serves all.
//!
//! Delivery is at most once. A call that fails without a word of the peer may have been done: who
//! repeats it must be able to bear that.

mod accept;
mod backoff;
mod dial;
mod frame;
mod greeting;
mod handler;
mod header;
pub mod limits;
mod link;
mod notices;
mod peers;
mod pipe;
mod pulse;
mod serve;
mod shared;
mod source;
mod table;
mod tls;
mod traffic;
mod wire;

pub use handler::{Handler, Kind, Standing};
pub use peers::{Peer, Peers, PeersConfig, call_once};
pub use pipe::{Pipe, PipeReceiver, PipeSender};
pub use traffic::PeerStats;
