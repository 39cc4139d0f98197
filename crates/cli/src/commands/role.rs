//! `althing role`.

use super::{rows, text};
use crate::{context::Context, exit::Outcome, output::table};
use serde_json::json;

/// Give keys roles: what is granted to a role is granted to its keys
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  althing role add photographer camera
  althing grant role:photographer sys/put --prefix /photos")]
pub(crate) enum Command {
    /// Give a key a role
    Add(Member),
    /// Take a role from a key
    Remove(Member),
    /// List who has which role
    List,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Member {
    /// The role
    role: String,
    /// Public key in hexadecimal, or its name in the keystore
    key: String,
}

pub(crate) async fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Add(member) => change(context, &member, "action:role.add.v1", "has").await,
        Command::Remove(member) => {
            change(context, &member, "action:role.remove.v1", "no longer has").await
        }
        Command::List => list(context).await,
    }
}

async fn change(context: &Context, member: &Member, operation: &str, verb: &str) -> Outcome {
    let key = context.public_key(&member.key)?.to_string();
    let input = json!({ "role": member.role, "key": key });
    let output = context.remote().await?.call(operation, input).await?;
    context.out.show(&output, || format!("{key} {verb} role {}", member.role))
}

async fn list(context: &Context) -> Outcome {
    let output = context.remote().await?.call("query:role.list.v1", json!({})).await?;
    context.out.show(&output, || {
        let row = |member: &serde_json::Value| vec![text(member, "role"), text(member, "key")];
        table(&["ROLE", "KEY"], rows(&output, "members").iter().map(row), "no roles")
    })
}
