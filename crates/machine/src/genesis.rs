//! The state a realm is born with.

use crate::{grants, keyspace};
use althing_protocol::{Error, FORMAT, PublicKey, Result, SEMANTICS, decode, limits, v1};
use althing_state::{Key, Writes};
use prost::Message;

/// Checks a genesis and gives the writes of index 0: the founder holds every grant, and `initial`
/// is granted beside it.
///
/// # Errors
/// `invalid`, naming the field; `unavailable` when this binary cannot run the realm.
pub fn genesis_writes(genesis: &[u8], initial: &[v1::Grant]) -> Result<Writes> {
    let genesis: v1::Genesis = decode("genesis", genesis)?;
    if genesis.format != FORMAT || genesis.semantics != SEMANTICS {
        return Err(Error::unavailable(format!(
            "genesis of realm {:?}: format {} and semantics {}; this binary runs format {FORMAT} \
             and semantics {SEMANTICS}; use one that matches",
            genesis.name, genesis.format, genesis.semantics
        )));
    }
    if genesis.name.is_empty() || genesis.name.len() > limits::PROGRAM_ID_BYTES_MAX {
        return Err(Error::invalid(format!(
            "name of the realm: {} bytes, wants 1 to {}",
            genesis.name.len(),
            limits::PROGRAM_ID_BYTES_MAX
        )));
    }
    let founder = PublicKey::try_from(genesis.founder.as_slice())?;
    let everything = v1::Grant {
        subject: format!("key:{founder}"),
        program: "*".into(),
        method: "*".into(),
        ..v1::Grant::default()
    };
    let mut writes = Writes::new();
    for (id, grant) in (1_u64..).zip(std::iter::once(&everything).chain(initial)) {
        grants::check_grant(grant)?;
        writes.put(Key::new(keyspace::GRANT, &id.to_be_bytes()), grant.encode_to_vec());
    }
    Ok(writes)
}
