//! Members: inviting, changing, removing. A node joins with its own words, not through these.

use super::done;
use crate::{GrantNeeded, Operation, text};
use althing_protocol::{Result, SYS, sys, v1};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

pub(super) fn actions() -> Vec<Operation> {
    let key = "00".repeat(32);
    vec![
        Operation::action(
            "action:member.invite.v1",
            "Lets one machine join: the one that has the secret half of a key.",
            GrantNeeded::new(SYS, "member_invite"),
            |input: InviteInput| Ok(vec![sys::member_invite(&invite(input)?)]),
            done,
        )
        .example(json!({"invite": key, "role": "voter", "expires_us": 4_102_444_800_000_000_u64})),
        Operation::action(
            "action:member.uninvite.v1",
            "Takes an invitation back that was not used.",
            GrantNeeded::new(SYS, "member_uninvite"),
            |input: UninviteInput| {
                Ok(vec![sys::member_uninvite(&text::public_key("invite", &input.invite)?)])
            },
            done,
        )
        .example(json!({"invite": key})),
        Operation::action(
            "action:member.set.v1",
            "Changes role, leader priority, address or given labels of a member; what is left out \
             stays.",
            GrantNeeded::new(SYS, "member_set"),
            |input: SetInput| Ok(vec![sys::member_set(&set(input))]),
            done,
        )
        .example(json!({"id": 2, "role": "learner", "priority": 50, "given": {"rack": "2"}})),
        Operation::action(
            "action:member.remove.v1",
            "Ends a membership for good: the machine may be invited again, with another key.",
            GrantNeeded::new(SYS, "member_remove"),
            |input: RemoveInput| Ok(vec![sys::member_remove(input.id)]),
            done,
        )
        .example(json!({"id": 2})),
    ]
}

/// An invitation.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InviteInput {
    /// Public half of a key made for it, in hexadecimal. The secret half stays with who invites.
    invite: String,
    /// What the machine becomes.
    role: Role,
    /// Not valid from this time on, in microseconds since the Unix epoch.
    expires_us: u64,
}

/// Names an invitation.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UninviteInput {
    /// Its public key, in hexadecimal, as query:member.list.v1 shows it.
    invite: String,
}

/// What a member is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetInput {
    /// The member's number, as query:member.list.v1 shows it.
    id: u64,
    /// Whether it votes.
    role: Option<Role>,
    /// Leader priority: of the voters that could lead, the one with the highest number does.
    priority: Option<u32>,
    /// HOST:PORT at which other members reach it, until it says another; empty is nowhere.
    address: Option<String>,
    /// All labels that others give it, by name. They count more than those it reports.
    given: Option<BTreeMap<String, String>>,
}

/// Names a member.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RemoveInput {
    /// The member's number, as query:member.list.v1 shows it.
    id: u64,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Role {
    Voter,
    Learner,
}

impl From<Role> for i32 {
    fn from(role: Role) -> Self {
        match role {
            Role::Voter => v1::MemberRole::Voter.into(),
            Role::Learner => v1::MemberRole::Learner.into(),
        }
    }
}

fn invite(input: InviteInput) -> Result<v1::MemberInvite> {
    let invite = text::public_key("invite", &input.invite)?.0.to_vec();
    Ok(v1::MemberInvite { invite, role: input.role.into(), expires_us: input.expires_us })
}

fn set(input: SetInput) -> v1::MemberSet {
    let label = |(name, value)| v1::Label { name, value };
    let given = input.given.map(|given| given.into_iter().map(label).collect());
    v1::MemberSet {
        id: input.id,
        role: input.role.map(Into::into),
        priority: input.priority,
        address: input.address,
        given: given.map(|labels| v1::Labels { labels }),
    }
}
