//! `althing token`: callers that the node knows and keeps a key for.

use super::{number, rows, text};
use crate::{
    context::Context,
    exit::Outcome,
    output::{table, time},
    values,
};
use althing_protocol::Error;
use serde_json::{Value, json};
use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Let others call the node: each has a token, and a key that the node keeps for it
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  althing token new camera --out camera.token
  althing grant key:HEX sys/put --prefix /photos
  althing --url http://127.0.0.1:3000 --token-file camera.token kv put /photos/one @one.jpg")]
pub(crate) enum Command {
    /// Make a caller, and print its token this one time
    New(New),
    /// List the callers
    List,
    /// Make a caller's token worthless
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// Name of the caller
    name: String,
    /// Write the token to this file, for you alone to read, instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// Name of the caller
    name: String,
}

pub(crate) async fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::New(args) => new(context, args).await,
        Command::List => list(context).await,
        Command::Revoke(args) => {
            let remote = context.remote().await?;
            let output =
                remote.call("action:token.revoke.v1", json!({ "name": args.name })).await?;
            context.out.show(&output, || format!("revoked the token of {}", args.name))
        }
    }
}

async fn new(context: &Context, args: New) -> Outcome {
    let remote = context.remote().await?;
    let mut output = remote.call("action:token.create.v1", json!({ "name": args.name })).await?;
    if let Some(path) = &args.out {
        write_secret(path, &text(&output, "token"))?;
        output["token"] = Value::Null;
        output["file"] = path.display().to_string().into();
    }
    context.out.show(&output, || {
        let told = match &args.out {
            Some(path) => format!("its token is in {}", path.display()),
            None => format!("token {}", text(&output, "token")),
        };
        format!("key {}\n{told}", text(&output, "key"))
    })
}

/// A new file for its owner alone; one that is there stays.
fn write_secret(path: &Path, secret: &str) -> Result<(), Error> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| {
            let error = values::file_error(path, &e);
            Error::new(
                error.kind,
                format!("{}; the caller is made, its token is lost: revoke it", error.message),
            )
        })?;
    writeln!(file, "{secret}").map_err(|e| values::file_error(path, &e))
}

async fn list(context: &Context) -> Outcome {
    let output = context.remote().await?.call("query:token.list.v1", json!({})).await?;
    context.out.show(&output, || {
        let row = |caller: &Value| {
            vec![text(caller, "name"), text(caller, "key"), time(number(caller, "created_us"))]
        };
        table(&["NAME", "KEY", "MADE"], rows(&output, "tokens").iter().map(row), "no callers")
    })
}
