//! `althing grant`, `revoke`, `grants`: who may do what, and where.

use super::{number, rows, text};
use crate::{
    context::Context,
    exit::Outcome,
    output::{self, table},
    values,
};
use althing_protocol::{Error, Result};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Let a subject use a method of a program
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing grant key:camera sys/put --prefix /photos
  althing grant key:desktop 'sys/*' --prefix /processed_photos --exclusive
  althing grant role:reader sys/get --expires 30d
  althing grant any counter/value")]
pub(crate) struct Grant {
    /// key:HEX (or key:NAME, a key of the keystore), role:NAME, program:ID, or any
    subject: String,
    /// PROGRAM/METHOD; each may be *
    #[arg(value_name = "PROGRAM/METHOD")]
    method: String,
    /// Only at this path and below it
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// At this path and below it only grants of this path or a longer one count
    #[arg(long)]
    exclusive: bool,
    /// Not valid after this time from now on: 90s, 12h, 30d
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    expires: Option<Duration>,
}

/// Take a grant away
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// Number of the grant, as `althing grants` shows it
    id: u64,
    /// Only show which grant it is
    #[arg(long)]
    dry_run: bool,
}

/// List the grants
#[derive(Debug, clap::Args)]
pub(crate) struct Grants {}

pub(crate) async fn grant(context: &Context, args: Grant) -> Outcome {
    let (program, method) = args.method.split_once('/').ok_or_else(|| {
        Error::invalid(format!("{}: wants PROGRAM/METHOD, like sys/put or 'sys/*'", args.method))
    })?;
    let mut input = Map::new();
    input.insert("subject".into(), subject(context, &args.subject)?.into());
    input.insert("program".into(), program.into());
    input.insert("method".into(), method.into());
    input.insert("exclusive".into(), args.exclusive.into());
    if let Some(prefix) = args.prefix {
        input.insert("prefix".into(), prefix.into());
    }
    if let Some(lifetime) = args.expires {
        input.insert("expires_us".into(), expiry_us(lifetime)?.into());
    }
    let output = context.remote().await?.call("action:grant.add.v1", input.into()).await?;
    context.out.show(&output, || format!("grant {}", number(&output, "id")))
}

/// `key:NAME` becomes `key:HEX`; anything else is the realm's to judge.
fn subject(context: &Context, subject: &str) -> Result<String> {
    match subject.strip_prefix("key:") {
        Some(name) => Ok(format!("key:{}", context.public_key(name)?)),
        None => Ok(subject.to_owned()),
    }
}

fn expiry_us(lifetime: Duration) -> Result<u64> {
    values::from_now_us(lifetime).ok_or_else(|| {
        Error::invalid("--expires: too far away; leave it out for a grant without end")
    })
}

pub(crate) async fn revoke(context: &Context, args: Revoke) -> Outcome {
    let remote = context.remote().await?;
    if args.dry_run {
        let list = remote.call("query:grant.list.v1", json!({})).await?;
        let grant = rows(&list, "grants").iter().find(|grant| number(grant, "id") == args.id);
        let grant = grant.ok_or_else(|| {
            Error::not_found(format!("grant {}: not there; `althing grants` lists them", args.id))
        })?;
        return context.out.show(grant, || listed(std::slice::from_ref(grant)));
    }
    let output = remote.call("action:grant.revoke.v1", json!({ "id": args.id })).await?;
    context.out.show(&output, || format!("revoked grant {}", args.id))
}

pub(crate) async fn grants(context: &Context, _: Grants) -> Outcome {
    let output = context.remote().await?.call("query:grant.list.v1", json!({})).await?;
    context.out.show(&output, || listed(rows(&output, "grants")))
}

fn listed(grants: &[Value]) -> String {
    let row = |grant: &Value| {
        let prefix = values::extract(grant, "prefix").unwrap_or_default();
        let place = if prefix.is_empty() {
            "everywhere".to_owned()
        } else {
            output::preview(&prefix, usize::MAX)
        };
        let exclusive = grant.get("exclusive") == Some(&Value::Bool(true));
        let expires = number(grant, "expires_us");
        vec![
            text(grant, "id"),
            text(grant, "subject"),
            format!("{}/{}", text(grant, "program"), text(grant, "method")),
            if exclusive { format!("{place} (exclusive)") } else { place },
            if expires == 0 { "never".to_owned() } else { output::time(expires) },
        ]
    };
    table(&["ID", "SUBJECT", "MAY", "AT", "EXPIRES"], grants.iter().map(row), "no grants")
}
