//! The state a realm is born with.

use crate::{grants, keyspace, members};
use althing_protocol::{
    Error, FORMAT, NODE_ROLE, PublicKey, Result, SEMANTICS, SYS, decode, limits, v1,
};
use althing_state::{Key, Writes};
use prost::Message;

/// What members sign in the log.
const NODE_METHODS: &str = "member_join|member_report|member_leave";

/// Decodes a genesis that this binary can run.
///
/// # Errors
/// `invalid`, naming the field; `unavailable` when this binary cannot run the realm.
pub fn check_genesis(bytes: &[u8]) -> Result<v1::Genesis> {
    if bytes.len() > limits::VALUE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "genesis: {} bytes, the limit is {}; grant less at the start",
            bytes.len(),
            limits::VALUE_BYTES_MAX
        )));
    }
    let genesis: v1::Genesis = decode("genesis", bytes)?;
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
    for (who, key) in [("founder", &genesis.founder), ("first node", &genesis.node)] {
        PublicKey::try_from(key.as_slice())
            .map_err(|e| Error::invalid(format!("{who} of the realm: {}", e.message)))?;
    }
    if genesis.grants.len() > limits::GRANTS_MAX / 2 {
        return Err(Error::invalid(format!(
            "grants of the genesis: {}, the limit is {}; grant the rest later",
            genesis.grants.len(),
            limits::GRANTS_MAX / 2
        )));
    }
    genesis.grants.iter().try_for_each(grants::check_grant)?;
    Ok(genesis)
}

/// The writes of index 0: the founder holds every grant, the first node is a member, members may
/// do what members do, and the grants of the genesis are there.
///
/// # Errors
/// As [`check_genesis`].
pub fn genesis_writes(genesis: &[u8]) -> Result<Writes> {
    let genesis = check_genesis(genesis)?;
    let founder = PublicKey::try_from(genesis.founder.as_slice())?;
    let node = PublicKey::try_from(genesis.node.as_slice())?;
    let everything = v1::Grant {
        subject: format!("key:{founder}"),
        program: "*".into(),
        method: "*".into(),
        ..v1::Grant::default()
    };
    let for_nodes = v1::Grant {
        subject: format!("role:{NODE_ROLE}"),
        program: SYS.into(),
        method: NODE_METHODS.into(),
        ..v1::Grant::default()
    };
    let mut writes = Writes::new();
    for (id, grant) in (1_u64..).zip([&everything, &for_nodes].into_iter().chain(&genesis.grants)) {
        writes.put(Key::new(keyspace::GRANT, &id.to_be_bytes()), grant.encode_to_vec());
    }
    let member = members::first(&node);
    writes.put(members::key(member.id), member.encode_to_vec());
    writes.put(grants::role_key(NODE_ROLE, &node), Vec::new());
    Ok(writes)
}
