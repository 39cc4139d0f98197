//! `althing init`.

use crate::{context::Context, exit::Outcome, output::fields};
use althing_node::{InitOptions, Initialised};
use althing_protocol::{PublicKey, Result};
use serde_json::json;
use std::path::Path;

/// Make a realm in the data directory
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
The realm's founder holds every grant at the start. Its key is made here and kept in your keystore,
unless --founder names the key of somebody else.

Examples:
  althing init
  althing init --name home --data /srv/althing")]
pub(crate) struct Args {
    /// Name of the realm, for people
    #[arg(long, default_value = "home")]
    name: String,
    /// Public key of the founder, or its name in the keystore [default: a new key, kept there]
    #[arg(long, value_name = "KEY")]
    founder: Option<String>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let data = context.data()?;
    let founder = args.founder.as_deref().map(|name| context.public_key(name)).transpose()?;
    let made = init(context, &data, &args.name, founder).await?;
    let document = json!({
        "realm": made.realm.to_string(), "name": args.name, "data": data,
        "founder": made.founder.to_string(),
    });
    context.out.show(&document, || {
        fields(&[
            ("realm", args.name.clone()),
            ("id", made.realm.to_string()),
            ("data", data.display().to_string()),
            ("founder", made.founder.to_string()),
            ("next", "althing up".to_owned()),
        ])
    })
}

/// Makes the realm, and its founder's key where none is given.
pub(crate) async fn init(
    _context: &Context,
    data: &Path,
    name: &str,
    founder: Option<PublicKey>,
) -> Result<Initialised> {
    let options = InitOptions { name: name.to_owned(), founder, ..InitOptions::default() };
    althing_node::init(data, options).await
}
