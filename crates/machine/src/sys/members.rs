//! Inviting, joining, changing and leaving.

use super::grants;
use crate::{
    Fault, Halt, Machine,
    grants::{Read, decode_stored},
    members::{self, invite_key},
    native::Call,
};
use althing_protocol::{
    Error, NODE_ROLE, PublicKey, RealmId, Result, check_address, check_labels, limits, v1,
};
use althing_state::View;
use data_encoding::HEXLOWER;
use prost::Message;

pub(super) fn check_invite(args: &v1::MemberInvite) -> Result<()> {
    PublicKey::try_from(args.invite.as_slice())?;
    v1::MemberRole::check(args.role).map(drop)
}

pub(super) fn check_uninvite(args: &v1::MemberUninvite) -> Result<()> {
    PublicKey::try_from(args.invite.as_slice()).map(drop)
}

/// The signature says that who makes the machine a member has the invitation's secret.
pub(super) fn check_join(realm: &RealmId, args: &v1::MemberJoin) -> Result<()> {
    PublicKey::try_from(args.key.as_slice())?;
    check_said(&args.address, &args.labels)?;
    args.verify(realm)
}

/// What a member says of itself. One that others cannot reach, but that reaches them, has no address.
pub(super) fn check_said(address: &str, labels: &[v1::Label]) -> Result<()> {
    if !address.is_empty() {
        check_address(address)?;
    }
    check_labels(labels)
}

pub(super) fn check_set(args: &v1::MemberSet) -> Result<()> {
    let v1::MemberSet { id, role, priority, address, given } = args;
    if role.is_none() && priority.is_none() && address.is_none() && given.is_none() {
        return Err(Error::invalid(format!(
            "member {id}: wants a change of role, priority, address or given labels"
        )));
    }
    role.map(v1::MemberRole::check).transpose()?;
    let given = given.as_ref().map_or(&[][..], |given| &given.labels);
    check_said(address.as_deref().unwrap_or_default(), given)
}

/// Those that expired go: nobody can use them.
pub(super) fn invite(call: &mut Call<'_>, args: &v1::MemberInvite) -> Result<Vec<u8>, Fault> {
    let now_us = call.context.timestamp_us;
    if args.expires_us <= now_us {
        return Err(Error::invalid(format!(
            "expiry of the invitation: {} is not after {now_us}, the time of this entry, both in \
             microseconds since the Unix epoch",
            args.expires_us
        ))
        .into());
    }
    let all = members::list(call.scope)?;
    let is_known = call.scope.get(&invite_key(&args.invite))?.is_some();
    if is_known || user(&all, &args.invite).is_some() {
        return Err(Error::conflict(format!(
            "invitation {}: is there already; each has a key of its own",
            HEXLOWER.encode(&args.invite)
        ))
        .into());
    }
    let open = members::invites(call.scope)?;
    let (open, expired): (Vec<_>, Vec<_>) =
        open.into_iter().partition(|(_, invite)| now_us < invite.expires_us);
    for (key, _) in &expired {
        call.scope.delete(invite_key(key.as_bytes()))?;
    }
    if open.len() >= limits::INVITES_MAX {
        return Err(Error::exhausted(format!(
            "invitations of the realm: {} are open, which is the limit; take some back with \
             `althing uninvite`",
            open.len()
        ))
        .into());
    }
    let v1::MemberInvite { role, expires_us, .. } = *args;
    let (index, author) = (call.context.index, call.context.author.0.to_vec());
    let invite = v1::Invite { role, expires_us, index, author };
    call.scope.put(invite_key(&args.invite), invite.encode_to_vec())?;
    Ok(Vec::new())
}

pub(super) fn uninvite(call: &mut Call<'_>, invite: &[u8]) -> Result<Vec<u8>, Fault> {
    if call.scope.get(&invite_key(invite))?.is_none() {
        return Err(not_invited(invite).into());
    }
    call.scope.delete(invite_key(invite))?;
    Ok(Vec::new())
}

/// Makes a machine a member, once for an invitation. The same machine may ask again, with the same
/// invitation, as long as it does not know what became of it.
pub(super) fn join(call: &mut Call<'_>, args: v1::MemberJoin) -> Result<v1::Member, Fault> {
    let all = members::list(call.scope)?;
    let role = match ask(call.scope, &all, &args, call.context.timestamp_us)? {
        Asker::Known(known) => return say(call, known.clone(), args.address, args.labels),
        Asker::Invited(role) => role,
    };
    check_member_room(&all)?;
    if role == v1::MemberRole::Voter {
        check_voter_room(&all)?;
    }
    let member = v1::Member {
        id: members::next_id(&all),
        key: args.key,
        role: role.into(),
        priority: limits::PRIORITY_DEFAULT,
        address: args.address,
        labels: args.labels,
        given: Vec::new(),
        joined: call.context.index,
        removed: 0,
        invite: args.invite,
    };
    call.scope.delete(invite_key(&member.invite))?;
    grants::role_add(call, &node_role(&member))?;
    save(call, &member, "member.joined")?;
    Ok(member)
}

impl Machine {
    /// What a node asks before it brings a join into the log whose signature is good: whoever holds no
    /// invitation leaves no entry. The inner error refuses it; an invitation that expired a moment ago
    /// may pass.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn check_join(&self, view: &View, join: &v1::MemberJoin) -> Result<Result<()>, Halt> {
        let all = members::list(view)?;
        match ask(view, &all, join, view.applied().timestamp_us) {
            Ok(_) => Ok(Ok(())),
            Err(Fault::Outcome(refusal)) => Ok(Err(refusal)),
            Err(Fault::Halt(halt)) => Err(halt),
        }
    }
}

/// Who may join.
enum Asker<'a> {
    /// A member that asks again.
    Known(&'a v1::Member),
    /// A machine with an open invitation to this role.
    Invited(v1::MemberRole),
}

/// Whether the machine of `args` may join the members in `all`, at the time `now_us`.
fn ask<'a>(
    state: &impl Read,
    all: &'a [v1::Member],
    args: &v1::MemberJoin,
    now_us: u64,
) -> Result<Asker<'a>, Fault> {
    if let Some(known) = all.iter().find(|member| member.key == args.key) {
        check_retry(known, &args.invite)?;
        return Ok(Asker::Known(known));
    }
    if let Some(user) = user(all, &args.invite) {
        return Err(Error::conflict(format!(
            "invitation {}: member {} joined with it, and it is for one machine; `althing invite` \
             makes another",
            HEXLOWER.encode(&args.invite),
            user.id
        ))
        .into());
    }
    accept(state, &args.invite, now_us).map(Asker::Invited)
}

/// The role that an open invitation gives.
fn accept(state: &impl Read, invite: &[u8], now_us: u64) -> Result<v1::MemberRole, Fault> {
    let Some(bytes) = state.read(&invite_key(invite))? else {
        return Err(not_invited(invite).into());
    };
    let open: v1::Invite = decode_stored("invitation", &bytes)?;
    if open.expires_us <= now_us {
        return Err(Error::denied(format!(
            "invitation {}: has expired; `althing invite` makes another",
            HEXLOWER.encode(invite)
        ))
        .into());
    }
    Ok(open.role())
}

/// # Errors
/// `conflict`, when `known` joined some other way, or is a member no more.
fn check_retry(known: &v1::Member, invite: &[u8]) -> Result<()> {
    let (id, key) = (known.id, HEXLOWER.encode(&known.key));
    if !known.is_current() {
        return Err(Error::conflict(format!(
            "key {key}: was member {id} until entry {}, and a key that was removed never comes \
             back; join with an empty data directory, which makes another key",
            known.removed
        )));
    }
    if known.invite != invite {
        return Err(Error::conflict(format!(
            "key {key}: is member {id} already; start its node, or join with an empty data directory"
        )));
    }
    Ok(())
}

pub(super) fn set(call: &mut Call<'_>, args: v1::MemberSet) -> Result<v1::Member, Fault> {
    let all = members::list(call.scope)?;
    let mut member = current(&all, args.id)?.clone();
    let role = args.role.map(v1::MemberRole::check).transpose()?;
    match role {
        Some(v1::MemberRole::Voter) if !member.is_voter() => check_voter_room(&all)?,
        Some(v1::MemberRole::Learner) => keep_a_voter(&all, args.id)?,
        _ => {}
    }
    member.role = args.role.unwrap_or(member.role);
    member.priority = args.priority.unwrap_or(member.priority);
    member.address = args.address.unwrap_or(member.address);
    member.given = args.given.map_or(member.given, |given| given.labels);
    save(call, &member, "member.changed")?;
    Ok(member)
}

pub(super) fn report(call: &mut Call<'_>, args: v1::MemberReport) -> Result<v1::Member, Fault> {
    let member = author(call)?;
    say(call, member, args.address, args.labels)
}

/// Nothing changes, and nobody is told, when nothing that is said is news.
fn say(
    call: &mut Call<'_>,
    mut member: v1::Member,
    address: String,
    labels: Vec<v1::Label>,
) -> Result<v1::Member, Fault> {
    if (&member.address, &member.labels) != (&address, &labels) {
        (member.address, member.labels) = (address, labels);
        save(call, &member, "member.changed")?;
    }
    Ok(member)
}

pub(super) fn leave(call: &mut Call<'_>) -> Result<v1::Member, Fault> {
    let id = author(call)?.id;
    remove(call, id)
}

pub(super) fn remove(call: &mut Call<'_>, id: u64) -> Result<v1::Member, Fault> {
    let all = members::list(call.scope)?;
    let mut member = current(&all, id)?.clone();
    keep_a_voter(&all, id)?;
    member.removed = call.context.index;
    grants::role_remove(call, &node_role(&member))?;
    save(call, &member, "member.removed")?;
    Ok(member)
}

fn save(call: &mut Call<'_>, member: &v1::Member, topic: &str) -> Result<(), Fault> {
    call.scope.put(members::key(member.id), member.encode_to_vec())?;
    Ok(call.emit(topic, member.id.to_string().as_bytes())?)
}

/// What a member may do in the log is granted to this role.
fn node_role(member: &v1::Member) -> v1::RoleMember {
    v1::RoleMember { role: NODE_ROLE.into(), key: member.key.clone() }
}

fn author(call: &Call<'_>) -> Result<v1::Member, Fault> {
    let author = call.context.author;
    let is_author = |member: &v1::Member| member.is_current() && member.key == author.0;
    members::list(call.scope)?.into_iter().find(is_author).ok_or_else(|| {
        Error::not_found(format!(
            "key {author}: is not that of a member, and only members speak of themselves; `althing \
             members` lists them"
        ))
        .into()
    })
}

fn current(all: &[v1::Member], id: u64) -> Result<&v1::Member> {
    match all.iter().find(|member| member.id == id) {
        Some(member) if member.is_current() => Ok(member),
        Some(member) => Err(Error::conflict(format!(
            "member {id}: was removed at entry {}, and does not come back",
            member.removed
        ))),
        None => Err(Error::not_found(format!(
            "member {id}: there never was one; `althing members` lists them"
        ))),
    }
}

/// Who joined with `invite`.
fn user<'a>(all: &'a [v1::Member], invite: &[u8]) -> Option<&'a v1::Member> {
    all.iter().find(|member| member.invite == invite)
}

/// # Errors
/// `conflict`, when no voter is left without member `id`.
fn keep_a_voter(all: &[v1::Member], id: u64) -> Result<()> {
    let is_other_voter = |member: &v1::Member| member.is_voter() && member.id != id;
    if all.iter().any(is_other_voter) {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "member {id}: is the last voter, and without one the realm could decide nothing any more; \
         make another member a voter first: althing promote ID"
    )))
}

fn check_member_room(all: &[v1::Member]) -> Result<()> {
    if all.len() < limits::MEMBERS_MAX {
        return Ok(());
    }
    Err(Error::exhausted(format!(
        "members of the realm: it had {} since its start, which is the limit",
        all.len()
    )))
}

fn check_voter_room(all: &[v1::Member]) -> Result<()> {
    let voters = all.iter().filter(|member| member.is_voter()).count();
    if voters < limits::VOTERS_MAX {
        return Ok(());
    }
    Err(Error::exhausted(format!(
        "voters of the realm: {voters}, which is the limit; more make it slower and no safer; be a \
         learner, or demote a voter first"
    )))
}

fn not_invited(invite: &[u8]) -> Error {
    Error::not_found(format!(
        "invitation {}: is not open: it was taken back, or expired, or never made; `althing invite` \
         makes another",
        HEXLOWER.encode(invite)
    ))
}
