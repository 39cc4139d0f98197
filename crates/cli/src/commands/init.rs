//! `althing init`.

use super::settings::Settings;
use crate::{context::Context, exit::Outcome, output::fields};
use althing_node::{InitOptions, Initialised};
use althing_protocol::{Kind, PublicKey, Result};
use serde_json::json;
use std::path::Path;

/// Name that the founder's key gets in the keystore.
const FOUNDER: &str = "founder";

/// Make a realm in the data directory
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
The realm's founder starts with every grant. Its key stays with you and never gets onto the node: by
default it is the key `founder` of your keystore, made when it is not there yet. Settings given here
stay in the configuration of the data directory.

Examples:
  althing init
  althing init --name home --data /srv/althing --peers 192.168.1.7:3001")]
pub(crate) struct Args {
    /// Name of the realm, for people
    #[arg(long, default_value = "home")]
    name: String,
    /// Public key of the founder, or its name in the keystore [default: the key `founder`]
    #[arg(long, value_name = "KEY")]
    founder: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    let data = context.data()?;
    let founder = match &args.founder {
        Some(name) => context.public_key(name)?,
        None => founder(context)?,
    };
    let made = init(&data, &args.name, founder, args.settings.pairs())?;
    let document = json!({
        "realm": made.realm.to_string(), "name": args.name, "data": made.dir,
        "founder": founder.to_string(), "node": made.node.to_string(), "local": made.local.to_string(),
    });
    context.out.show(&document, || {
        fields(&[
            ("realm", args.name.clone()),
            ("id", made.realm.to_string()),
            ("data", made.dir.display().to_string()),
            ("founder", founder.to_string()),
            ("next", "althing up".to_owned()),
        ])
    })
}

/// Makes the realm.
pub(crate) fn init(
    data: &Path,
    name: &str,
    founder: PublicKey,
    settings: Vec<(String, String)>,
) -> Result<Initialised> {
    let (dir, name) = (data.to_owned(), name.to_owned());
    althing_node::init(&InitOptions { dir, name, founder, settings })
}

/// The user's founder key, made when there is none.
pub(crate) fn founder(context: &Context) -> Result<PublicKey> {
    let keys = context.keystore()?;
    match keys.create(FOUNDER) {
        Ok(key) => Ok(key.public()),
        Err(e) if e.kind == Kind::Conflict => keys.show(FOUNDER),
        Err(e) => Err(e),
    }
}
