//! Who manages a program, whether it runs, and its end.

use super::programs::{existing, save};
use crate::{
    Fault,
    grants::{Read, check_role, decode_stored, touch},
    keyspace,
    native::Call,
    programs,
};
use althing_protocol::{Error, ProgramId, PublicKey, Result, limits, v1};
use althing_state::Key;
use std::ops::Bound;

pub(super) fn check_rules(rules: &v1::ProgramRules) -> Result<()> {
    let program = &rules.program;
    ProgramId::new(program.as_str())?;
    if rules.owner.is_none() && rules.role.is_none() && rules.publishers.is_none() {
        return Err(Error::invalid(format!(
            "rules of program {program}: want a change of owner, role or publishers"
        )));
    }
    if let Some(owner) = &rules.owner {
        PublicKey::try_from(owner.as_slice())?;
    }
    if let Some(role) = rules.role.as_deref().filter(|role| !role.is_empty()) {
        check_role(role)?;
    }
    let publishers = rules.publishers.as_ref().map_or(&[][..], |publishers| &publishers.keys);
    if publishers.len() > limits::PUBLISHERS_MAX {
        return Err(Error::invalid(format!(
            "publishers of program {program}: {}, the limit is {}",
            publishers.len(),
            limits::PUBLISHERS_MAX
        )));
    }
    for (at, publisher) in publishers.iter().enumerate() {
        let key = PublicKey::try_from(publisher.as_slice())?;
        if publishers[..at].contains(publisher) {
            return Err(Error::invalid(format!("publishers of program {program}: {key} twice")));
        }
    }
    Ok(())
}

pub(super) fn set_rules(
    call: &mut Call<'_>,
    rules: v1::ProgramRules,
) -> Result<v1::ProgramInfo, Fault> {
    let mut info = existing(call, &rules.program)?;
    info.owner = rules.owner.unwrap_or(info.owner);
    info.role = rules.role.unwrap_or(info.role);
    if let Some(publishers) = rules.publishers {
        info.publishers = Some(publishers).filter(|publishers| !publishers.keys.is_empty());
    }
    save(call, &info)?;
    call.emit("program.rules", info.program.as_bytes())?;
    Ok(info)
}

pub(super) fn disable(call: &mut Call<'_>, program: &str) -> Result<v1::ProgramInfo, Fault> {
    let mut info = existing(call, program)?;
    if let Some(disabled) = &info.disabled {
        return Err(programs::not_running(program, disabled).into());
    }
    let (index, author) = (call.context.index, call.context.author.0.to_vec());
    info.disabled = Some(v1::Disabled { index, author, removing: false });
    save(call, &info)?;
    call.emit("program.disabled", program.as_bytes())?;
    Ok(info)
}

pub(super) fn enable(call: &mut Call<'_>, program: &str) -> Result<v1::ProgramInfo, Fault> {
    let mut info = existing(call, program)?;
    if info.disabled.take().is_none() {
        return Err(Error::conflict(format!("program {program}: is not disabled")).into());
    }
    save(call, &info)?;
    call.actors().resume(program)?;
    call.emit("program.enabled", program.as_bytes())?;
    Ok(info)
}

/// Deletes what one instruction may delete of a disabled program's keys. From the first of them on
/// it cannot be enabled again: nobody calls a program that lost half of its keys.
pub(super) fn remove(call: &mut Call<'_>, program: &str) -> Result<v1::Removed, Fault> {
    let mut info =
        programs::find(call.scope, program)?.ok_or_else(|| programs::unknown(program))?;
    let Some(disabled) = &mut info.disabled else {
        return Err(Error::conflict(format!(
            "program {program}: is not disabled; `althing disable {program}` before removing it"
        ))
        .into());
    };
    call.actors().forget_program(program)?;
    let (pairs, bytes) = (limits::REMOVE_KEYS_MAX, limits::REMOVE_BYTES_MAX);
    let page = call.scope.scan(program, Bound::Unbounded, b"", pairs, bytes)?;
    for (key, _) in &page.pairs {
        call.scope.delete(Key::new(program, key))?;
    }
    let mut removed = v1::Removed { keys: page.pairs.len() as u64, more: page.more, grants: 0 };
    if page.more {
        disabled.removing = true;
        save(call, &info)?;
    } else {
        removed.grants = revoke_of(call, program)?;
        call.scope.delete(programs::key(program))?;
        call.emit("program.removed", program.as_bytes())?;
    }
    Ok(removed)
}

/// Takes away what was granted to the program: the next one of its name is not trusted for it.
fn revoke_of(call: &mut Call<'_>, program: &str) -> Result<u64, Fault> {
    let subject = format!("program:{program}");
    let mut revoked = 0;
    for (id, bytes) in call.scope.pairs(keyspace::GRANT, b"", usize::MAX)? {
        let grant: v1::Grant = decode_stored("grant", &bytes)?;
        if grant.subject == subject {
            call.scope.delete(Key::new(keyspace::GRANT, &id))?;
            touch(call.scope, &id)?;
            revoked += 1;
        }
    }
    Ok(revoked)
}
