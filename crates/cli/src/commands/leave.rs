//! `althing leave` and `transfer-leader`: what a node does about its own place.

use super::{confirm, members::consequence, number, text};
use crate::{context::Context, exit::Outcome, output::fields};
use serde_json::{Map, Value, json};

/// End the membership of the node of this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The node signs that itself; its realm stops on this machine, and its data directory is of no more
use. The machine can be invited again; it joins with an empty data directory, as another member.
For a machine that is gone there is `althing remove MEMBER`, on another one.

Examples:
  althing leave --dry-run
  althing leave")]
pub(crate) struct Leave {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
}

/// Have another voter lead
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Any node takes this to the one that leads. Of the voters that could lead, the one with the highest
priority gets the leadership back after a while: `althing promote MEMBER --priority N` is for good.

Examples:
  althing transfer-leader
  althing transfer-leader 2")]
pub(crate) struct TransferLeader {
    /// Number of the voter, as `althing members` shows it [default: the fittest]
    member: Option<u64>,
}

pub(crate) async fn leave(context: &Context, args: Leave) -> Outcome {
    let remote = context.remote().await?;
    let status = remote.call("query:realm.status.v1", json!({})).await?;
    let (id, role) = (number(&status, "member"), text(&status, "role"));
    let voters = number(&status, "voters") - u64::from(role == "voter");
    let then = consequence(usize::try_from(voters).unwrap_or(usize::MAX));
    if args.dry_run {
        let document = json!({
            "member": id, "role": role, "realm": status["realm"], "voters_left": voters,
            "dry_run": true,
        });
        return context.out.show(&document, || {
            fields(&[
                ("would leave", text(&status, "name")),
                ("member", format!("{id}, {role}")),
                ("then", then),
            ])
        });
    }
    // The last voter is refused by the realm, which says what to do: nobody need be asked.
    if voters > 0 && !args.yes {
        let realm = text(&status, "name");
        let question =
            format!("Leave realm {realm} as member {id}, {role}, for good? Then {then}.");
        confirm(&question, "--yes")?;
    }
    let left = remote.call("action:node.leave.v1", json!({})).await?;
    let index = left.get("index").cloned();
    let document = json!({ "member": id, "index": index });
    context.out.show(&document, || match &index {
        Some(index) => format!("member {id}: left, by entry {index}; the node stops"),
        None => format!("member {id}: left; the node stops"),
    })
}

pub(crate) async fn transfer_leader(context: &Context, args: TransferLeader) -> Outcome {
    let mut input = Map::new();
    input.extend(args.member.map(|id| ("to".to_owned(), id.into())));
    let remote = context.remote().await?;
    let output = remote.call("action:leader.transfer.v1", input.into()).await?;
    context.out.show(&output, || {
        let leads = format!("member {} leads", number(&output, "leader"));
        match output.get("returns_to").and_then(Value::as_u64) {
            None => leads,
            Some(id) => format!(
                "{leads}; member {id} has a higher priority, so it gets the leadership back when it \
                 has been well for a while"
            ),
        }
    })
}
