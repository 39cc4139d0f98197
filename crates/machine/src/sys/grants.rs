//! Changing the grant table.

use crate::{
    Fault,
    grants::{GrantTable, Read, check_role, role_key, touch},
    keyspace,
    native::Call,
};
use althing_protocol::{Error, NODE_ROLE, PublicKey, Result, limits, v1};
use althing_state::Key;
use prost::Message;

pub(super) fn check_member(member: &v1::RoleMember) -> Result<()> {
    check_role(&member.role)?;
    if member.role == NODE_ROLE {
        return Err(Error::invalid(format!(
            "role {NODE_ROLE}: the keys of members have it, and no others; `althing invite` lets a \
             machine become a member"
        )));
    }
    PublicKey::try_from(member.key.as_slice()).map(drop)
}

pub(super) fn add(call: &mut Call<'_>, grant: &v1::Grant) -> Result<v1::GrantId, Fault> {
    check_room(call, keyspace::GRANT, "grants")?;
    let id = call.context.index << 8 | u64::from(call.context.position);
    let bytes = grant.encode_to_vec();
    touch(call.scope, &bytes)?;
    call.scope.put(grant_key(id), bytes)?;
    Ok(v1::GrantId { id })
}

pub(super) fn revoke(call: &mut Call<'_>, id: u64) -> Result<Vec<u8>, Fault> {
    if call.scope.get(&grant_key(id))?.is_none() {
        return Err(Error::not_found(format!(
            "grant {id}: does not exist; `althing grants` lists them"
        ))
        .into());
    }
    touch(call.scope, &id.to_be_bytes())?;
    call.scope.delete(grant_key(id))?;
    keep_a_grantor(call)
}

pub(super) fn role_add(call: &mut Call<'_>, member: &v1::RoleMember) -> Result<Vec<u8>, Fault> {
    let key = PublicKey::try_from(member.key.as_slice())?;
    let stored = role_key(&member.role, &key);
    // What changes nothing marks nothing as changed: it would have the mark of a removal.
    if call.scope.get(&stored)?.is_some() {
        return Ok(Vec::new());
    }
    check_room(call, keyspace::ROLE, "roles")?;
    touch(call.scope, &member.encode_to_vec())?;
    call.scope.put(stored, Vec::new())?;
    Ok(Vec::new())
}

pub(super) fn role_remove(call: &mut Call<'_>, member: &v1::RoleMember) -> Result<Vec<u8>, Fault> {
    let key = PublicKey::try_from(member.key.as_slice())?;
    let stored = role_key(&member.role, &key);
    if call.scope.get(&stored)?.is_none() {
        return Err(
            Error::not_found(format!("key {key}: does not hold role {}", member.role)).into()
        );
    }
    touch(call.scope, &member.encode_to_vec())?;
    call.scope.delete(stored)?;
    keep_a_grantor(call)
}

/// Refuses to leave a realm that nobody can administer: it could never be mended.
fn keep_a_grantor(call: &Call<'_>) -> Result<Vec<u8>, Fault> {
    if GrantTable::load(&*call.scope)?.has_grantor() {
        return Ok(Vec::new());
    }
    Err(Error::conflict(
        "the last lasting grant of sys/grant that a key holds: without it nobody could grant \
         anything again; grant it to another key first",
    )
    .into())
}

fn check_room(call: &Call<'_>, keyspace: &str, what: &str) -> Result<(), Fault> {
    let count = call.scope.pairs(keyspace, b"", limits::GRANTS_MAX)?.len();
    if count < limits::GRANTS_MAX {
        return Ok(());
    }
    Err(Error::exhausted(format!(
        "{what} of the realm: {count}, which is the limit; remove some, or use roles"
    ))
    .into())
}

fn grant_key(id: u64) -> Key {
    Key::new(keyspace::GRANT, &id.to_be_bytes())
}
