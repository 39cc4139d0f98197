//! The hash chains, and what is derived from an entry's bytes.

use crate::{Hash, RealmId};
use blake3::Hasher;

const ENTRY_CHAIN: &str = "althing entry chain v1";
const RESULT_CHAIN: &str = "althing result chain v1";
const REALM_ID: &str = "althing realm id v1";
const ACTOR_CHAIN: &str = "althing actor chain v1";
const SEED: &str = "althing instruction seed v1";

/// The realm's id: the hash of its encoded genesis.
pub fn realm_id(genesis: &[u8]) -> RealmId {
    RealmId(*Hasher::new_derive_key(REALM_ID).update(genesis).finalize().as_bytes())
}

/// Chain over entries: `previous`, the index, and the entry's bytes as stored.
pub fn next_entry_chain(previous: &Hash, index: u64, entry: &[u8]) -> Hash {
    link(ENTRY_CHAIN, previous, index, entry)
}

/// Chain over results: `previous`, the index, and the encoded [`Result`](crate::v1::Result).
pub fn next_result_chain(previous: &Hash, index: u64, result: &[u8]) -> Hash {
    link(RESULT_CHAIN, previous, index, result)
}

/// Chain over the steps of an actor before the first one: it names the actor.
pub fn actor_chain_start(actor: &str) -> Hash {
    Hash(*Hasher::new_derive_key(ACTOR_CHAIN).update(actor.as_bytes()).finalize().as_bytes())
}

/// Chain over the steps of an actor: `previous`, and the encoded [`ActorStep`](crate::v1::ActorStep) as
/// stored.
pub fn next_actor_chain(previous: &Hash, step: &[u8]) -> Hash {
    let hash = Hasher::new_derive_key(ACTOR_CHAIN).update(&previous.0).update(step).finalize();
    Hash(*hash.as_bytes())
}

/// The seed of the instruction at `position` of an entry.
pub fn entry_seed(seed: &[u8], index: u64, position: u32) -> [u8; 32] {
    *Hasher::new_derive_key(SEED)
        .update(&index.to_le_bytes())
        .update(&position.to_le_bytes())
        .update(seed)
        .finalize()
        .as_bytes()
}

fn link(domain: &str, previous: &Hash, index: u64, bytes: &[u8]) -> Hash {
    let hash = Hasher::new_derive_key(domain)
        .update(&previous.0)
        .update(&index.to_le_bytes())
        .update(bytes)
        .finalize();
    Hash(*hash.as_bytes())
}
