//! Files named after the BLAKE3 hash of their bytes.
//!
//! ```text
//! DIR/format               "althing blobs 1"
//! DIR/whole/ab/abcd...     a blob: whole, verified, flushed before it got this name
//! DIR/partial/abcd....SIZE an upload that is not finished; its length is what was received
//! DIR/damaged/abcd...      a blob whose bytes no longer have its hash, kept for people
//! ```
//!
//! A name under `whole` appears only after its bytes and before its directory are flushed, so a
//! crash leaves no blob, or a whole one. A partial is not flushed: what a crash does to it is
//! found by the hash of the whole. Every read verifies. No runtime: callers choose the thread.

mod dir;
mod error;
mod receive;
mod store;

pub use error::BlobError;
pub use receive::{Chunk, PARTIAL_IDLE_MAX, PARTIALS_MAX, Received};
pub use store::Blobs;
