//! `althing invite` and `uninvite`: who may join.

use super::{members, number, rows, text};
use crate::{
    context::Context,
    exit::Outcome,
    output::{short, time},
    values,
};
use althing_protocol::{Contact, Error, JoinToken, Result, limits, v1};
use serde_json::{Value, json};
use std::time::Duration;

/// Let one machine join the realm, and print the token that it joins with
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The token is a secret: the first machine that brings it becomes a member. It names the members to
ask, so one of them needs an address that others reach: peers.advertise in its configuration.

A voter counts for writes, which wait for more than half of the voters, and may lead. A learner has
all the realm has, and no vote. `althing promote` and `demote` change it later.

Examples:
  althing invite
  althing invite --role learner --ttl 10m
  althing invite --json | jq -r .token")]
pub(crate) struct Invite {
    /// What the machine becomes: voter or learner
    #[arg(long, value_name = "ROLE", default_value = "voter")]
    role: v1::MemberRole,
    /// How long the token is good: 90s, 12h, 30d
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = values::duration)]
    ttl: Duration,
}

/// Take an invitation back that nobody used
#[derive(Debug, clap::Args)]
pub(crate) struct Uninvite {
    /// The invitation, as `althing members` shows it, or the beginning of it
    invite: String,
}

/// The key is made here, so its secret half is in the token and nowhere else.
pub(crate) async fn invite(context: &Context, args: Invite) -> Outcome {
    let expires_us = values::from_now_us(args.ttl)
        .ok_or_else(|| Error::invalid("--ttl: too far away; give a shorter time"))?;
    let remote = context.remote().await?;
    let list = members::list(&remote, false).await?;
    let token = JoinToken {
        realm: text(&list, "realm").parse()?,
        secret: althing_client::generate()?,
        contacts: contacts(rows(&list, "members"))?,
    };
    let (invite, role) = (token.invite().to_string(), args.role.to_string());
    let input = json!({ "invite": invite, "role": role, "expires_us": expires_us });
    let output = remote.call("action:member.invite.v1", input).await?;
    let token = token.text();
    let document = json!({
        "token": *token, "invite": invite, "role": role, "expires_us": expires_us,
        "index": number(&output, "index"),
    });
    context.out.show(&document, || {
        format!(
            "althing join {}\n\nOne machine can join with it, as a {role}, until {}. Until then it \
             is a secret.\nTo take it back: althing uninvite {}",
            *token,
            time(expires_us),
            short(&invite)
        )
    })
}

/// Members that a machine can ask to let it in, voters first: one of them is near the leader.
fn contacts(members: &[Value]) -> Result<Vec<Contact>> {
    let reached = |member: &&Value| !text(member, "address").is_empty();
    let mut reached: Vec<_> = members.iter().filter(reached).collect();
    if reached.is_empty() {
        return Err(Error::conflict(
            "members of the realm: no member says at which address other machines reach it, so \
             nobody could join; set peers.advertise in the node's configuration (config/host.toml \
             beside its data) and start the node again",
        ));
    }
    reached.sort_by_key(|member| text(member, "role") != v1::MemberRole::Voter.to_string());
    let contact = |member: &&Value| {
        Ok(Contact { address: text(member, "address"), key: text(member, "key").parse()? })
    };
    reached.iter().take(limits::JOIN_CONTACTS_MAX).map(contact).collect()
}

pub(crate) async fn uninvite(context: &Context, args: Uninvite) -> Outcome {
    let remote = context.remote().await?;
    let list = members::list(&remote, false).await?;
    let invite = find(rows(&list, "invites"), &args.invite)?;
    let output = remote.call("action:member.uninvite.v1", json!({ "invite": invite })).await?;
    let document = json!({ "invite": invite, "index": number(&output, "index") });
    context.out.show(&document, || format!("took invitation {} back", short(&invite)))
}

/// The one invitation that begins with `wanted`.
fn find(invites: &[Value], wanted: &str) -> Result<String> {
    let keys = invites.iter().map(|invite| text(invite, "invite"));
    let mut found = keys.filter(|key| wanted.len() >= 6 && key.starts_with(wanted));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(one), Some(other)) => Err(Error::invalid(format!(
            "invitation {wanted}: is {one} and {other}; give more of one of them"
        ))),
        (None, _) => Err(Error::not_found(format!(
            "invitation {wanted}: is none of the {} that are open; `althing members` lists them",
            invites.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::Kind;

    fn member(n: u8, role: &str, address: Option<&str>) -> Value {
        json!({"id": n, "key": format!("{n:02}").repeat(32), "role": role, "address": address})
    }

    #[test]
    fn voters_that_are_reached_are_asked_first() {
        let members = [
            member(1, "voter", None),
            member(2, "learner", Some("pi:1")),
            member(3, "voter", Some("nas:1")),
        ];
        let addresses = |members: &[Value]| {
            let contacts = contacts(members).unwrap().into_iter();
            contacts.map(|contact| contact.address).collect::<Vec<_>>()
        };
        assert_eq!(addresses(&members), ["nas:1", "pi:1"]);
        let many: Vec<_> = (10..90).map(|n| member(n, "voter", Some("pi:1"))).collect();
        assert_eq!(addresses(&many).len(), limits::JOIN_CONTACTS_MAX);
        let error = contacts(&members[..1]).unwrap_err();
        assert!(
            error.kind == Kind::Conflict && error.message.contains("peers.advertise"),
            "{error}"
        );
    }

    #[test]
    fn an_invitation_is_named_by_its_beginning() {
        let invites =
            [json!({"invite": "ab".repeat(32)}), json!({"invite": format!("{:c<64}", "ababab")})];
        assert_eq!(find(&invites, "abababa"), Ok("ab".repeat(32)));
        assert_eq!(find(&invites, &"ab".repeat(32)), Ok("ab".repeat(32)));
        assert_eq!(find(&invites, "ababab").unwrap_err().kind, Kind::Invalid);
        for none in ["", "ababa", "cccccc"] {
            assert_eq!(find(&invites, none).unwrap_err().kind, Kind::NotFound, "{none}");
        }
    }
}
