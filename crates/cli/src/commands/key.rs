//! `althing key`: the keys of this user.

use crate::{context::Context, exit::Outcome, output::table};
use althing_client::KeyInfo;
use serde_json::{Value, json};

/// Keep keys to sign with; no node is needed
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Keys lie in your configuration directory, for you alone to read.

Examples:
  althing key new camera
  althing grant key:camera sys/put --prefix /photos
  althing --key camera kv put /photos/one @one.jpg")]
pub(crate) enum Command {
    /// Make a key
    New {
        /// Name of the key
        name: String,
    },
    /// List the keys
    List,
    /// Print the public half of a key
    Show {
        /// Name of the key
        name: String,
    },
}

pub(crate) fn run(context: &Context, command: Command) -> Outcome {
    let keys = context.keystore()?;
    match command {
        Command::New { name } => {
            let key = keys.create(&name)?.public().to_string();
            context.out.show(&json!({ "name": name, "key": key }), || key.clone())
        }
        Command::Show { name } => {
            let key = keys.show(&name)?.to_string();
            context.out.show(&json!({ "name": name, "key": key }), || key.clone())
        }
        Command::List => {
            let list = keys.list()?;
            let documents: Vec<_> = list.iter().map(document).collect();
            context.out.show(&json!({ "keys": documents }), || {
                let rows = list.iter().map(|info| {
                    let public = match &info.public {
                        Ok(key) => key.to_string(),
                        Err(e) => format!("({e})"),
                    };
                    vec![info.name.clone(), public]
                });
                table(&["NAME", "KEY"], rows, "no keys; make one with `althing key new NAME`")
            })
        }
    }
}

fn document(info: &KeyInfo) -> Value {
    match &info.public {
        Ok(key) => json!({ "name": info.name, "key": key.to_string() }),
        Err(e) => json!({ "name": info.name, "error": e.message }),
    }
}
