//! Which members the realm is to have, how they are, and who is invited.

use super::{blocking, need_sys, on_sys};
use crate::{
    Freshness, Realm, View,
    cluster::{InLog, Live, LiveMember},
    halt::internal,
};
use althing_operations::{Context, Operation};
use althing_protocol::{Kind, PublicKey, Result, v1};
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

pub(super) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    let (for_members, for_leader) = (Arc::clone(realm), Arc::clone(realm));
    vec![
        Operation::query(
            "query:member.list.v1",
            "Lists the members of the realm, how they are, and the invitations that are open.",
            on_sys("members"),
            |_: &ListInput| need_sys("members"),
            move |context, input| list(Arc::clone(&for_members), context, input),
        )
        .example(json!({})),
        Operation::local_action(
            "action:leader.transfer.v1",
            "Has the member that leads hand over to another voter.",
            on_sys("transfer_leader"),
            |_: &TransferInput| need_sys("transfer_leader"),
            move |_, input| transfer(Arc::clone(&for_leader), input),
        )
        .example(json!({})),
    ]
}

/// Which members.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListInput {
    /// Those as well whose membership has ended.
    #[serde(default)]
    removed: bool,
}

/// To whom.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TransferInput {
    /// The voter that is to lead; absent for the fittest that does not.
    to: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Transferred {
    /// The member that leads now.
    leader: u64,
    /// The voter that gets the leadership back when it has been well for a while: its priority is
    /// higher.
    #[serde(skip_serializing_if = "Option::is_none")]
    returns_to: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Listed {
    /// Id of the realm.
    realm: String,
    /// The member that leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<u64>,
    /// The member that says how the others are: the leader, where it is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_by: Option<u64>,
    /// Why the list is what this node knew last, and may be old.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsettled: Option<String>,
    /// By id.
    members: Vec<Member>,
    /// Neither used nor taken back; some may have expired.
    invites: Vec<Invite>,
}

/// A member, as it is to be, and as it is.
#[derive(Serialize, JsonSchema)]
struct Member {
    /// Its number, which no other member ever has.
    id: u64,
    /// The node's public key, in hexadecimal.
    key: String,
    /// `voter` or `learner`.
    role: String,
    /// The voter with the highest number leads, where it can.
    priority: u32,
    /// `HOST:PORT` at which other members reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// What it says of itself, and what others say of it, which counts more.
    labels: BTreeMap<String, String>,
    /// Index of the entry that made it a member; 0 for the first one.
    joined: u64,
    /// Index of the entry that ended its membership.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<u64>,
    /// How it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Now>,
}

/// How a member is, as another one sees it.
#[derive(Serialize, JsonSchema)]
struct Now {
    /// What it is in the log: `leader`, `voter`, `learner`, or `none` before it is added.
    is: String,
    /// Entries that the leader has and it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<u64>,
    /// Since it was heard last, in milliseconds; absent when it never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_ms_ago: Option<u64>,
    /// Why it cannot lead, by its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    unfit: Option<String>,
    /// Version of its binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Number of the semantics that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    semantics: Option<u32>,
    /// Its clock less that of the member that says so, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_us: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Invite {
    /// Its public key, in hexadecimal: what takes it back.
    invite: String,
    /// What the machine becomes: `voter` or `learner`.
    role: String,
    /// Not valid from this time on, in microseconds since the Unix epoch.
    expires_us: u64,
    /// Index of the entry that made it.
    index: u64,
    /// Public key of who made it.
    author: String,
}

async fn list(realm: Arc<Realm>, context: Context, input: ListInput) -> Result<Listed> {
    let (view, unsettled) = view(&realm, context.read).await?;
    let live = realm.core.live().await.ok();
    blocking(move || {
        let machine = &realm.core.machine;
        let members = machine.members(&view).map_err(internal)?;
        let invites = machine.invites(&view).map_err(internal)?;
        let wanted = |member: &v1::Member| input.removed || member.is_current();
        let with_life = |listed: v1::Member| {
            let now = live.as_ref().and_then(|live| now(live, listed.id));
            Member { live: now, ..member(listed) }
        };
        Ok(Listed {
            realm: realm.id().to_string(),
            leader: live.as_ref().and_then(|live| live.leader),
            seen_by: live.as_ref().map(|live| live.by),
            unsettled,
            members: members.into_iter().filter(wanted).map(with_life).collect(),
            invites: invites.into_iter().map(invite).collect(),
        })
    })
    .await
}

/// Without a leader nothing is linearizable, and that is when people want to see the members: then it
/// is what this node has, and why.
async fn view(realm: &Realm, read: Freshness) -> Result<(View, Option<String>)> {
    match realm.view(read).await {
        Ok(view) => Ok((view, None)),
        Err(error) if error.kind == Kind::Unavailable => {
            Ok((realm.view(Freshness::Local).await?, Some(error.message)))
        }
        Err(error) => Err(error),
    }
}

async fn transfer(realm: Arc<Realm>, input: TransferInput) -> Result<Transferred> {
    let leader = realm.transfer_leader(input.to).await?;
    blocking(move || {
        let members = realm.members()?;
        let voters = members.iter().filter(|member| member.is_voter());
        let first = voters.max_by_key(|member| (member.priority, u64::MAX - member.id));
        let priority = |id: u64| members.iter().find(|m| m.id == id).map_or(0, |m| m.priority);
        let above = first.filter(|first| first.priority > priority(leader));
        Ok(Transferred { leader, returns_to: above.map(|member| member.id) })
    })
    .await
}

fn now(live: &Live, id: u64) -> Option<Now> {
    let LiveMember { behind, heard_ms_ago, health, clock_us, .. } = live.members.get(&id)?;
    let is = match live.members[&id].in_log() {
        _ if live.leader == Some(id) => "leader",
        InLog::Voter => "voter",
        InLog::Learner => "learner",
        InLog::Not => "none",
    };
    let health = health.as_ref();
    Some(Now {
        is: is.to_owned(),
        behind: *behind,
        heard_ms_ago: *heard_ms_ago,
        unfit: health.map(|health| health.unfit.clone()).filter(|why| !why.is_empty()),
        version: health.map(|health| health.version.clone()),
        semantics: health.map(|health| health.semantics),
        clock_us: *clock_us,
    })
}

fn member(member: v1::Member) -> Member {
    let labels = member.labels();
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Member {
        id: member.id,
        key: HEXLOWER.encode(&member.key),
        role: member.role().to_string(),
        priority: member.priority,
        labels: labels.collect(),
        joined: member.joined,
        removed: (!member.is_current()).then_some(member.removed),
        address: Some(member.address).filter(|address| !address.is_empty()),
        live: None,
    }
}

fn invite((key, invite): (PublicKey, v1::Invite)) -> Invite {
    Invite {
        invite: key.to_string(),
        role: invite.role().to_string(),
        expires_us: invite.expires_us,
        index: invite.index,
        author: HEXLOWER.encode(&invite.author),
    }
}
