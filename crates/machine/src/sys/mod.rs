//! The native program `sys`: keys and values, transactions, sessions, grants, programs, members.

mod grants;
mod kv;
mod lifecycle;
mod members;
mod programs;
mod sessions;
mod txn;

use crate::{Fault, Images, Native, native::Call};
use althing_protocol::{Error, Need, ProgramId, RealmId, Result, SYS, decode, v1};
use prost::Message;
use std::sync::Arc;

pub use kv::{Pair, decode_pair};

/// The program's code; its state is in the scope.
pub(crate) struct Sys {
    realm: RealmId,
    images: Arc<dyn Images>,
}

impl Sys {
    pub(crate) fn new(realm: RealmId, images: Arc<dyn Images>) -> Self {
        Self { realm, images }
    }
}

/// A decoded call.
enum Args {
    Put(v1::Put),
    Delete(v1::Delete),
    CompareAndSwap(v1::CompareAndSwap),
    Txn(v1::Txn),
    SessionOpen(v1::SessionOpen),
    SessionClose(v1::SessionClose),
    Grant(v1::Grant),
    Revoke(v1::GrantId),
    RoleAdd(v1::RoleMember),
    RoleRemove(v1::RoleMember),
    Stage(v1::Stage),
    Activate(v1::Activate),
    Rollback(v1::Rollback),
    Disable(v1::ProgramName),
    Enable(v1::ProgramName),
    Remove(v1::ProgramName),
    ProgramRules(v1::ProgramRules),
    MemberInvite(v1::MemberInvite),
    MemberUninvite(v1::MemberUninvite),
    MemberJoin(v1::MemberJoin),
    MemberSet(v1::MemberSet),
    MemberReport(v1::MemberReport),
    MemberRemove(v1::MemberId),
    MemberLeave,
}

/// The methods of `sys`, for people who mistyped one.
const METHODS: &str = "put, delete, compare_and_swap, txn, session_open, session_close, grant, \
                       revoke, role_add, role_remove, stage, activate, rollback, disable, enable, remove, \
                       program_rules, member_invite, member_uninvite, member_join, member_set, \
                       member_report, member_remove, member_leave";

impl Args {
    fn decode(method: &str, args: &[u8]) -> Result<Self> {
        let what = "args of sys";
        Ok(match method {
            "put" => Self::Put(decode(what, args)?),
            "delete" => Self::Delete(decode(what, args)?),
            "compare_and_swap" => Self::CompareAndSwap(decode(what, args)?),
            "txn" => Self::Txn(decode(what, args)?),
            "session_open" => Self::SessionOpen(decode(what, args)?),
            "session_close" => Self::SessionClose(decode(what, args)?),
            "grant" => Self::Grant(decode(what, args)?),
            "revoke" => Self::Revoke(decode(what, args)?),
            "role_add" => Self::RoleAdd(decode(what, args)?),
            "role_remove" => Self::RoleRemove(decode(what, args)?),
            "stage" => Self::Stage(decode(what, args)?),
            "activate" => Self::Activate(decode(what, args)?),
            "rollback" => Self::Rollback(decode(what, args)?),
            "disable" => Self::Disable(decode(what, args)?),
            "enable" => Self::Enable(decode(what, args)?),
            "remove" => Self::Remove(decode(what, args)?),
            "program_rules" => Self::ProgramRules(decode(what, args)?),
            "member_invite" => Self::MemberInvite(decode(what, args)?),
            "member_uninvite" => Self::MemberUninvite(decode(what, args)?),
            "member_join" => Self::MemberJoin(decode(what, args)?),
            "member_set" => Self::MemberSet(decode(what, args)?),
            "member_report" => Self::MemberReport(decode(what, args)?),
            "member_remove" => Self::MemberRemove(decode(what, args)?),
            "member_leave" => {
                decode::<v1::MemberLeave>(what, args)?;
                Self::MemberLeave
            }
            _ => {
                return Err(Error::not_found(format!(
                    "method {method} of sys: does not exist; there are {METHODS}"
                )));
            }
        })
    }

    fn needs(&self, realm: &RealmId) -> Result<Vec<Need>> {
        let at = |method: &str, path: &[u8]| vec![Need::new(SYS, method).at(path)];
        Ok(match self {
            Self::Put(put) => {
                kv::check_put(put)?;
                at("put", &put.key)
            }
            Self::Delete(delete) => {
                kv::check_key(&delete.key)?;
                at("delete", &delete.key)
            }
            Self::CompareAndSwap(args) => {
                kv::check_swap(args)?;
                let at = |method| Need::new(SYS, method).at(args.key.as_slice());
                vec![at("get"), at("put")]
            }
            Self::Txn(txn) => txn::needs(txn)?,
            Self::SessionOpen(open) => {
                sessions::check(open)?;
                Vec::new()
            }
            // An author's sessions are its own.
            Self::SessionClose(_) => Vec::new(),
            Self::Grant(grant) => {
                crate::grants::check_grant(grant)?;
                at("grant", b"")
            }
            Self::Revoke(_) => at("revoke", b""),
            Self::RoleAdd(member) => {
                grants::check_member(member)?;
                at("role_add", b"")
            }
            Self::RoleRemove(member) => {
                grants::check_member(member)?;
                at("role_remove", b"")
            }
            Self::Stage(stage) => {
                programs::check(stage)?;
                program_need("stage", &stage.program)?
            }
            Self::Activate(args) => program_need("activate", &args.program)?,
            Self::Rollback(args) => {
                programs::check_rollback(args)?;
                program_need("rollback", &args.program)?
            }
            Self::Disable(args) => program_need("disable", &args.program)?,
            Self::Enable(args) => program_need("enable", &args.program)?,
            Self::Remove(args) => program_need("remove", &args.program)?,
            Self::ProgramRules(args) => {
                lifecycle::check_rules(args)?;
                program_need("program_rules", &args.program)?
            }
            Self::MemberInvite(args) => {
                members::check_invite(args)?;
                at("member_invite", b"")
            }
            Self::MemberUninvite(args) => {
                members::check_uninvite(args)?;
                at("member_uninvite", b"")
            }
            Self::MemberJoin(args) => {
                members::check_join(realm, args)?;
                at("member_join", b"")
            }
            Self::MemberSet(args) => {
                members::check_set(args)?;
                at("member_set", b"")
            }
            Self::MemberReport(args) => {
                members::check_said(&args.address, &args.labels)?;
                at("member_report", b"")
            }
            Self::MemberRemove(_) => at("member_remove", b""),
            Self::MemberLeave => at("member_leave", b""),
        })
    }
}

/// What manages a program is granted at the program's id.
fn program_need(method: &str, program: &str) -> Result<Vec<Need>> {
    ProgramId::new(program)?;
    Ok(vec![Need::new(SYS, method).at(program)])
}

impl Native for Sys {
    fn id(&self) -> &'static str {
        SYS
    }

    fn needs(&self, method: &str, args: &[u8]) -> Result<Vec<Need>> {
        Args::decode(method, args)?.needs(&self.realm)
    }

    fn apply(&self, call: &mut Call<'_>, method: &str, args: &[u8]) -> Result<Vec<u8>, Fault> {
        let images = &*self.images;
        Ok(match Args::decode(method, args)? {
            Args::Put(put) => kv::put(call, put)?.encode_to_vec(),
            Args::Delete(delete) => kv::delete(call, &delete.key)?.encode_to_vec(),
            Args::CompareAndSwap(args) => kv::compare_and_swap(call, args)?.encode_to_vec(),
            Args::Txn(txn) => txn::run(call, txn)?.encode_to_vec(),
            Args::SessionOpen(open) => sessions::open(call, open)?.encode_to_vec(),
            Args::SessionClose(close) => sessions::close(call, close.session)?,
            Args::Grant(grant) => grants::add(call, &grant)?.encode_to_vec(),
            Args::Revoke(id) => grants::revoke(call, id.id)?,
            Args::RoleAdd(member) => grants::role_add(call, &member)?,
            Args::RoleRemove(member) => grants::role_remove(call, &member)?,
            Args::Stage(stage) => programs::stage(call, images, stage)?.encode_to_vec(),
            Args::Activate(args) => programs::activate(call, &args)?.encode_to_vec(),
            Args::Rollback(args) => programs::rollback(call, &args)?.encode_to_vec(),
            Args::Disable(args) => lifecycle::disable(call, &args.program)?.encode_to_vec(),
            Args::Enable(args) => lifecycle::enable(call, &args.program)?.encode_to_vec(),
            Args::Remove(args) => lifecycle::remove(call, &args.program)?.encode_to_vec(),
            Args::ProgramRules(args) => lifecycle::set_rules(call, args)?.encode_to_vec(),
            Args::MemberInvite(args) => members::invite(call, &args)?,
            Args::MemberUninvite(args) => members::uninvite(call, &args.invite)?,
            Args::MemberJoin(args) => members::join(call, args)?.encode_to_vec(),
            Args::MemberSet(args) => members::set(call, args)?.encode_to_vec(),
            Args::MemberReport(args) => members::report(call, args)?.encode_to_vec(),
            Args::MemberRemove(args) => members::remove(call, args.id)?.encode_to_vec(),
            Args::MemberLeave => members::leave(call)?.encode_to_vec(),
        })
    }
}
