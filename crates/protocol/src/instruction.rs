//! Instructions, and the methods of `sys`.

use crate::{Error, Result, limits, v1};
use prost::Message;
use std::fmt;

/// The native program that every realm has.
pub const SYS: &str = "sys";

/// A valid program id: 1 to 64 of `a-z 0-9 - _`, a letter first.
///
/// A keyspace is named after its program; the internal ones of `sys` have a dot, so no program
/// can name them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramId(String);

impl ProgramId {
    /// Checks `id`.
    ///
    /// # Errors
    /// `invalid`, saying what an id looks like.
    pub fn new(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let valid = id.len() <= limits::PROGRAM_ID_BYTES_MAX
            && id.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
            && id.bytes().all(inner);
        if valid {
            return Ok(Self(id));
        }
        let shown: String = id.chars().take(limits::PROGRAM_ID_BYTES_MAX).collect();
        Err(Error::invalid(format!(
            "program {shown:?}: not a program id; use 1 to {} of a-z 0-9 - _, a letter first",
            limits::PROGRAM_ID_BYTES_MAX
        )))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProgramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl v1::Instruction {
    /// An instruction with encoded args.
    pub fn new(program: impl Into<String>, method: impl Into<String>, args: Vec<u8>) -> Self {
        Self { program_id: program.into(), method: method.into(), args }
    }

    /// Checks names and sizes.
    ///
    /// # Errors
    /// `invalid`, naming the field and its limit.
    pub fn check(&self) -> Result<()> {
        ProgramId::new(self.program_id.as_str())?;
        let method = &self.method;
        let printable = method.bytes().all(|b| b.is_ascii_graphic());
        if method.is_empty() || method.len() > limits::METHOD_BYTES_MAX || !printable {
            return Err(Error::invalid(format!(
                "method of program {}: wants 1 to {} printable ASCII characters",
                self.program_id,
                limits::METHOD_BYTES_MAX
            )));
        }
        if self.args.len() > limits::INSTRUCTION_BYTES_MAX {
            return Err(Error::invalid(format!(
                "args of {}/{method}: {} bytes, the limit is {}",
                self.program_id,
                self.args.len(),
                limits::INSTRUCTION_BYTES_MAX
            )));
        }
        Ok(())
    }
}

impl v1::Payload {
    /// The instruction this payload stands for; legacy operations become `sys` instructions.
    ///
    /// # Errors
    /// `invalid` when the payload is empty.
    #[allow(deprecated)]
    pub fn into_instruction(self) -> Result<v1::Instruction> {
        use v1::payload::Payload;
        match self.payload {
            Some(Payload::Instruction(instruction)) => Ok(instruction),
            Some(Payload::Put(put)) => Ok(sys::instruction("put", &put)),
            Some(Payload::Delete(delete)) => Ok(sys::instruction("delete", &delete)),
            None => Err(Error::invalid("payload: empty; wants an instruction")),
        }
    }
}

impl From<v1::Instruction> for v1::Payload {
    fn from(instruction: v1::Instruction) -> Self {
        Self { payload: Some(v1::payload::Payload::Instruction(instruction)) }
    }
}

/// Builders of `sys` instructions.
pub mod sys {
    use super::{Message, SYS, v1};
    use crate::PublicKey;

    pub(super) fn instruction(method: &str, args: &impl Message) -> v1::Instruction {
        v1::Instruction::new(SYS, method, args.encode_to_vec())
    }

    /// Writes a key.
    pub fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> v1::Instruction {
        instruction("put", &v1::Put { key: key.into(), value: value.into() })
    }

    /// Deletes a key, if it is there.
    pub fn delete(key: impl Into<Vec<u8>>) -> v1::Instruction {
        instruction("delete", &v1::Delete { key: key.into() })
    }

    /// Writes a key if it is as expected.
    pub fn compare_and_swap(args: &v1::CompareAndSwap) -> v1::Instruction {
        instruction("compare_and_swap", args)
    }

    /// Several reads and writes, all or nothing.
    pub fn txn(args: &v1::Txn) -> v1::Instruction {
        instruction("txn", args)
    }

    /// Opens a session.
    pub fn session_open(label: impl Into<String>) -> v1::Instruction {
        instruction("session_open", &v1::SessionOpen { label: label.into() })
    }

    /// Closes a session of the author.
    pub fn session_close(session: u64) -> v1::Instruction {
        instruction("session_close", &v1::SessionClose { session })
    }

    /// Adds a grant.
    pub fn grant(grant: &v1::Grant) -> v1::Instruction {
        instruction("grant", grant)
    }

    /// Removes a grant.
    pub fn revoke(id: u64) -> v1::Instruction {
        instruction("revoke", &v1::GrantId { id })
    }

    /// Gives a key a role.
    pub fn role_add(member: &v1::RoleMember) -> v1::Instruction {
        instruction("role_add", member)
    }

    /// Takes a role from a key.
    pub fn role_remove(member: &v1::RoleMember) -> v1::Instruction {
        instruction("role_remove", member)
    }

    /// Makes an image the next version of a program.
    pub fn stage(args: &v1::Stage) -> v1::Instruction {
        instruction("stage", args)
    }

    /// Runs the staged image from this entry on.
    pub fn activate(args: &v1::Activate) -> v1::Instruction {
        instruction("activate", args)
    }

    /// Runs an image that was active before from this entry on.
    pub fn rollback(args: &v1::Rollback) -> v1::Instruction {
        instruction("rollback", args)
    }

    /// Lets a program refuse calls and queries.
    pub fn disable(program: impl Into<String>) -> v1::Instruction {
        instruction("disable", &v1::ProgramName { program: program.into() })
    }

    /// Lets a disabled program run again.
    pub fn enable(program: impl Into<String>) -> v1::Instruction {
        instruction("enable", &v1::ProgramName { program: program.into() })
    }

    /// Deletes some keys of a disabled program; with the last of them the program itself.
    pub fn remove(program: impl Into<String>) -> v1::Instruction {
        instruction("remove", &v1::ProgramName { program: program.into() })
    }

    /// Changes who may manage a program.
    pub fn program_rules(args: &v1::ProgramRules) -> v1::Instruction {
        instruction("program_rules", args)
    }

    /// Lets one machine join.
    pub fn member_invite(args: &v1::MemberInvite) -> v1::Instruction {
        instruction("member_invite", args)
    }

    /// Takes an invitation back; `invite` is its public key.
    pub fn member_uninvite(invite: &PublicKey) -> v1::Instruction {
        instruction("member_uninvite", &v1::MemberUninvite { invite: invite.0.to_vec() })
    }

    /// Makes a machine that was invited a member; [`JoinToken::join`](crate::JoinToken::join) makes
    /// the args.
    pub fn member_join(args: &v1::MemberJoin) -> v1::Instruction {
        instruction("member_join", args)
    }

    /// Changes a member's role, priority, address or given labels.
    pub fn member_set(args: &v1::MemberSet) -> v1::Instruction {
        instruction("member_set", args)
    }

    /// Says where the author, a member, is reached, and what it has.
    pub fn member_report(args: &v1::MemberReport) -> v1::Instruction {
        instruction("member_report", args)
    }

    /// Ends a membership.
    pub fn member_remove(id: u64) -> v1::Instruction {
        instruction("member_remove", &v1::MemberId { id })
    }

    /// Ends the membership of the author.
    pub fn member_leave() -> v1::Instruction {
        instruction("member_leave", &v1::MemberLeave {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in ["sys", "a", "tag-2_x", &"a".repeat(64)] {
            assert!(ProgramId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Sys", "1a", "a.b", "a/b", "a\0", "ä", &"a".repeat(65)] {
            assert!(ProgramId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    #[allow(deprecated)]
    fn legacy_operations_are_sys_instructions() {
        use v1::payload::Payload;
        let put = Payload::Put(v1::Put { key: b"k".to_vec(), value: b"v".to_vec() });
        let delete = Payload::Delete(v1::Delete { key: b"k".to_vec() });
        let as_instruction = |payload| v1::Payload { payload: Some(payload) }.into_instruction();
        assert_eq!(as_instruction(put), Ok(sys::put("k", "v")));
        assert_eq!(as_instruction(delete), Ok(sys::delete("k")));
        assert!(v1::Payload { payload: None }.into_instruction().is_err());
    }
}
