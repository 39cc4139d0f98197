//! What every part of Althing agrees on: messages, identities, signatures, limits, errors.
//!
//! No I/O, no clock, no randomness. The bytes are described in `docs/formats.md`.

pub mod actor;
mod chain;
mod checkpoint;
mod envelope;
mod error;
mod identity;
mod instruction;
mod join_token;
pub mod json;
pub mod limits;
mod member;
mod need;
mod publish;
mod strict;

/// The messages of `proto/althing/v1`.
#[allow(missing_docs, clippy::doc_markdown, unreachable_pub)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/althing.v1.rs"));
}

pub use actor::{ACTOR, ActorId};
pub use chain::{
    actor_chain_start, entry_seed, next_actor_chain, next_entry_chain, next_result_chain, realm_id,
};
pub use checkpoint::CheckpointValues;
pub use envelope::{Batch, sign, verify, verify_all};
pub use error::{Error, Kind, Result};
pub use identity::{Hash, PublicKey, RealmId, SecretKey};
pub use instruction::{ProgramId, SYS, sys};
pub use join_token::{Contact, JoinToken};
pub use member::{NODE_ROLE, check_address, check_labels};
pub use need::Need;
pub use publish::ImageClaim;
pub use strict::decode;

/// Number of the semantics this binary runs: engine features, fuel table, limits.
pub const SEMANTICS: u32 = 1;

/// Version of the formats that are signed and stored.
pub const FORMAT: u32 = 1;
