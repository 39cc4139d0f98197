//! `althing members`, `promote`, `demote`, and `remove` of a member.

use super::{confirm, lifecycle::Remove, number, rows, text};
use crate::{
    context::{Context, Remote},
    exit::Outcome,
    output::{fields, short, table, time},
};
use althing_protocol::{Error, Result, v1};
use serde_json::{Map, Value, json};

/// List the members of the realm and the invitations that are open
#[derive(Debug, clap::Args)]
pub(crate) struct Members {
    /// Those as well whose membership has ended
    #[arg(long)]
    removed: bool,
}

/// Make a member a voter, or change its priority
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It votes once it has caught up. Of the voters that could lead, the one with the highest priority
does; a member begins with 100.

Examples:
  althing promote 3
  althing promote 1 --priority 200")]
pub(crate) struct Promote {
    /// Number of the member, as `althing members` shows it
    member: u64,
    /// Its leader priority
    #[arg(long, value_name = "NUMBER")]
    priority: Option<u32>,
}

/// Make a voter a learner: it follows, and has no vote
#[derive(Debug, clap::Args)]
pub(crate) struct Demote {
    /// Number of the member, as `althing members` shows it
    member: u64,
}

/// Members and open invitations, as the realm has them.
pub(super) async fn list(remote: &Remote, removed: bool) -> Result<Value> {
    remote.call("query:member.list.v1", json!({ "removed": removed })).await
}

pub(crate) async fn members(context: &Context, args: Members) -> Outcome {
    let output = list(&context.remote().await?, args.removed).await?;
    context.out.show(&output, || {
        let mut parts = vec![listed(rows(&output, "members"))];
        let invites = rows(&output, "invites");
        parts.extend((!invites.is_empty()).then(|| invited(invites)));
        let old = text(&output, "unsettled");
        parts.extend((!old.is_empty()).then(|| format!("This may be old: {old}")));
        parts.join("\n\n")
    })
}

fn listed(members: &[Value]) -> String {
    let row = |member: &Value| {
        let role = match number(member, "removed") {
            0 => text(member, "role"),
            index => format!("removed at entry {index}"),
        };
        let live = member.get("live").unwrap_or(&Value::Null);
        vec![
            text(member, "id"),
            role,
            state(live),
            text(live, "behind"),
            heard(live),
            text(member, "priority"),
            text(member, "address"),
            labels(member),
            short(&text(member, "key")).to_owned(),
        ]
    };
    let titles = ["ID", "ROLE", "NOW", "BEHIND", "HEARD", "PRIORITY", "ADDRESS", "LABELS", "KEY"];
    let members_table = table(&titles, members.iter().map(row), "no members");
    let unfit = members.iter().filter_map(|member| {
        let why = member.pointer("/live/unfit")?.as_str()?;
        Some(format!("member {} cannot lead: {why}", number(member, "id")))
    });
    let unfit: Vec<_> = unfit.collect();
    if unfit.is_empty() {
        members_table
    } else {
        format!("{members_table}\n\n{}", unfit.join("\n"))
    }
}

/// What a member is in the log by now; its role says what it is to be.
fn state(live: &Value) -> String {
    match text(live, "is").as_str() {
        "leader" => "leads",
        "voter" => "votes",
        "learner" => "learns",
        "none" => "waits",
        _ => "",
    }
    .to_owned()
}

fn heard(live: &Value) -> String {
    // Those who answer are asked every second.
    const SILENT_MS: u64 = 3_000;
    match live.get("heard_ms_ago").and_then(Value::as_u64) {
        None if live.is_null() => String::new(),
        None => "never".to_owned(),
        Some(ms) if ms <= SILENT_MS => "now".to_owned(),
        Some(ms) => format!("{} s ago", ms / 1_000),
    }
}

fn labels(member: &Value) -> String {
    let labels = member.get("labels").and_then(Value::as_object);
    let label =
        |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
    labels.into_iter().flatten().map(label).collect::<Vec<_>>().join(" ")
}

fn invited(invites: &[Value]) -> String {
    let row = |invite: &Value| {
        vec![
            short(&text(invite, "invite")).to_owned(),
            text(invite, "role"),
            time(number(invite, "expires_us")),
            short(&text(invite, "author")).to_owned(),
        ]
    };
    table(&["INVITATION", "ROLE", "EXPIRES", "BY"], invites.iter().map(row), "")
}

pub(crate) async fn promote(context: &Context, args: Promote) -> Outcome {
    change(context, args.member, v1::MemberRole::Voter, args.priority).await
}

pub(crate) async fn demote(context: &Context, args: Demote) -> Outcome {
    change(context, args.member, v1::MemberRole::Learner, None).await
}

async fn change(
    context: &Context,
    id: u64,
    role: v1::MemberRole,
    priority: Option<u32>,
) -> Outcome {
    let mut input = Map::new();
    input.insert("id".into(), id.into());
    input.insert("role".into(), role.to_string().into());
    input.extend(priority.map(|priority| ("priority".to_owned(), priority.into())));
    let mut document = Value::Object(input.clone());
    let output = context.remote().await?.call("action:member.set.v1", input.into()).await?;
    document["index"] = number(&output, "index").into();
    context.out.show(&document, || {
        let with = priority.map(|priority| format!(" with priority {priority}"));
        format!(
            "member {id}: is to be a {role}{}, by entry {}; the node that leads sees to it",
            with.unwrap_or_default(),
            number(&document, "index")
        )
    })
}

pub(super) async fn remove(context: &Context, id: u64, args: &Remove) -> Outcome {
    let remote = context.remote().await?;
    let list = list(&remote, false).await?;
    let members = rows(&list, "members");
    let member = members.iter().find(|member| number(member, "id") == id).ok_or_else(|| {
        Error::not_found(format!(
            "member {id}: is none of the {} there are; `althing members` lists them",
            members.len()
        ))
    })?;
    let voters = voters_without(members, id);
    if args.dry_run {
        let mut document = member.clone();
        document["dry_run"] = true.into();
        document["voters_left"] = voters.into();
        return context.out.show(&document, || {
            fields(&[
                ("would remove", named(member)),
                ("key", text(member, "key")),
                ("then", consequence(voters)),
            ])
        });
    }
    // The last voter is refused by the realm, which says what to do: nobody need be asked.
    if voters > 0 && !args.yes {
        confirm(&format!("Remove {}? Then {}.", named(member), consequence(voters)), "--yes")?;
    }
    let output = remote.call("action:member.remove.v1", json!({ "id": id })).await?;
    let document = json!({ "id": id, "index": number(&output, "index") });
    context.out.show(&document, || {
        format!("member {id}: removed, by entry {}", number(&document, "index"))
    })
}

fn voters_without(members: &[Value], id: u64) -> usize {
    let voter = v1::MemberRole::Voter.to_string();
    let votes = |member: &&Value| text(member, "role") == voter && number(member, "id") != id;
    members.iter().filter(votes).count()
}

fn named(member: &Value) -> String {
    let place = match text(member, "address") {
        address if address.is_empty() => String::new(),
        address => format!(" at {address}"),
    };
    format!("member {}, a {}{place}", number(member, "id"), text(member, "role"))
}

/// What it takes to write with so many voters.
pub(super) fn consequence(voters: usize) -> String {
    match voters {
        0 => "nobody could vote, so the realm refuses".to_owned(),
        1 => "one voter is left, and writes need it".to_owned(),
        _ => format!("{voters} voters are left, and writes need {} of them", voters / 2 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Vec<Value> {
        let member = |id: u64, role: &str| json!({"id": id, "role": role});
        vec![member(1, "voter"), member(2, "learner"), member(3, "voter"), member(4, "voter")]
    }

    #[test]
    fn who_removes_a_member_is_told_what_is_left() {
        let then = |members: &[Value], id| consequence(voters_without(members, id));
        assert_eq!(then(&members(), 1), "2 voters are left, and writes need 2 of them");
        assert_eq!(then(&members(), 2), "3 voters are left, and writes need 2 of them");
        assert_eq!(then(&members()[..3], 1), "one voter is left, and writes need it");
        assert!(then(&members()[..2], 1).contains("refuses"));
    }

    #[test]
    fn members_and_labels_in_a_table() {
        let member = json!({
            "id": 2, "role": "voter", "priority": 100, "address": "pi:1", "key": "ab".repeat(32),
            "labels": {"arch": "arm64", "gpu": "yes"},
            "live": {"is": "leader", "behind": 0, "heard_ms_ago": 0},
        });
        let silent = json!({
            "id": 4, "role": "voter", "priority": 90, "key": "",
            "live": {"is": "learner", "behind": 7, "heard_ms_ago": 61_000, "unfit": "no disk"},
        });
        let gone = json!({"id": 3, "role": "voter", "priority": 100, "key": "", "removed": 9});
        assert_eq!(
            listed(&[member, gone, silent]),
            "ID  ROLE                NOW     BEHIND  HEARD     PRIORITY  ADDRESS  LABELS              KEY\n\
             2   voter               leads   0       now       100       pi:1     arch=arm64 gpu=yes  abababababab\n\
             3   removed at entry 9                            100\n\
             4   voter               learns  7       61 s ago  90\n\
             \n\
             member 4 cannot lead: no disk"
        );
    }
}
