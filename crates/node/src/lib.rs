//! One node: the surfaces of a realm. HTTP and gRPC on one port, who may come in, how much at once,
//! and the configuration of all of it.
//!
//! ```text
//!   connection ─> guard: Host, Origin, token ─> http | grpc ─> Host: admission, registry ─> realm
//! ```
//!
//! The surfaces are thin: what the node can do is an operation, and every request, whatever way it
//! came, goes through `host` and is counted there.
//!
//! What is not an operation of the realm needs a grant too: reading the log (`/v1/log`, gRPC `Log`)
//! sys/log_read; events of a program PROGRAM/events, those of all programs sys/log_read; the node's
//! own operations node/token_create, node/token_revoke (at the caller's name), node/token_list,
//! node/operation_list and node/leave; the caller `local` needs none for those and for sys/status. `/metrics` takes any token, `/healthz` and `/readyz` take none.

mod admission;
mod callers;
mod catalog;
mod config;
mod data_dir;
mod feed;
mod host;
mod init;
mod join;
mod labels;
mod membership;
mod metrics;
mod node;
mod repair;
mod restore;
mod server;
mod tokens;

pub use callers::LOCAL;
pub use config::{
    Config, Data, Http, Limits, Listen, Log, Machine, Overrides, Peers, Sandbox, Settings,
};
pub use init::{InitOptions, Initialised, init};
pub use join::{JoinOptions, Joined, join};
pub use node::Node;
pub use repair::repair;
pub use restore::{Restored, restore};
