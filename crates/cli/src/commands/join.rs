//! `althing join`.

use super::{settings::Settings, up};
use crate::{context::Context, exit::Outcome, output::fields, values::Source};
use althing_node::{JoinOptions, Joined, Node, Overrides};
use althing_protocol::{Error, JoinToken, Result, limits};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::{path::Path, time::Duration};

/// How often the node is asked how far it is.
const POLL: Duration = Duration::from_millis(100);

/// Make this machine a member of a realm, bring it up to date, and run its node
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The token is what `althing invite` printed on a member. It is a secret, and other users of this
machine see the arguments of commands: @FILE or - keep it from them.

The data directory gets a key of its own and the settings given here; later, `althing up` starts
the node. Cut short, the same command goes on. Without --peers the node listens to nobody, and is
a member over the connections that it makes.

Examples:
  althing join @token --peers 192.168.1.8:3001
  althing join - --peers 0.0.0.0:3001 --advertise pi.lan:3001 <token
  althing join @token --exit && systemctl start althing")]
pub(crate) struct Args {
    /// The token, @FILE, or - for stdin
    token: Source,
    #[command(flatten)]
    settings: Settings,
    /// End when the node is up to date, instead of running on
    #[arg(long)]
    exit: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let mut signals = up::Signals::new()?;
    let token = token(&args.token)?;
    let data = context.data()?;
    let options = JoinOptions {
        dir: data.clone(),
        token,
        settings: args.settings.pairs(),
        overrides: Overrides {
            file: context.globals.config.clone(),
            ..Overrides::from_environment()
        },
    };
    let joined = tokio::select! {
        joined = althing_node::join(options) => joined?,
        () = signals.any() => return context.out.say("stopped; the same command goes on"),
    };
    let node = up::start(context, &mut signals, joined.config.clone()).await?;
    let begin = async {
        catch_up(context, &node).await;
        node.realm().announced().await;
        welcome(context, &data, &node, &joined, args.exit)?;
        Ok(if args.exit { up::Then::Exit } else { up::Then::Run })
    };
    up::serve(context, &node, signals, begin).await
}

fn token(source: &Source) -> Result<JoinToken> {
    let bytes = source.read(limits::JOIN_TOKEN_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Error::invalid("join token: is no text; give what `althing invite` printed")
    })?;
    // All that `althing invite` printed is the command with the token in it.
    let text = text.trim_start().strip_prefix("althing join").unwrap_or(text);
    text.split_whitespace().next().unwrap_or_default().parse()
}

/// Waits until the node has what the realm has decided, while a bar shows how far it is.
async fn catch_up(context: &Context, node: &Node) {
    let bar = match context.out.json() {
        true => ProgressBar::hidden(),
        false => ProgressBar::new_spinner(),
    };
    let style = |template: &str| {
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    };
    let entries = style("{msg} {bar:30} {human_pos}/{human_len} entries, {elapsed}");
    let snapshot = style("{msg} {bar:30} {bytes}/{total_bytes} of a snapshot, {elapsed}");
    let waiting = style("{spinner} {msg}, {elapsed}");
    loop {
        let at = node.realm().catch_up().await;
        if at.is_done() {
            break;
        }
        let (look, position, length) = match (at.snapshot, at.decided) {
            (Some((have, all)), _) => (&snapshot, have, all),
            (None, Some(decided)) if at.is_in_log => (&entries, at.applied, decided),
            _ => (&waiting, 0, 0),
        };
        let waits_for = node.realm().status().ok().and_then(|status| status.waits_for);
        bar.set_message(match length {
            0 => format!("waiting for {}", waits_for.unwrap_or_else(|| "the leader".into())),
            _ => "catching up".to_owned(),
        });
        bar.set_style(look.clone());
        bar.set_length(length);
        bar.set_position(position);
        bar.tick();
        tokio::time::sleep(POLL).await;
    }
    bar.finish_and_clear();
}

/// Tells who the machine is now, where its node is, and what nobody on it may do yet.
fn welcome(context: &Context, data: &Path, node: &Node, joined: &Joined, exits: bool) -> Outcome {
    let status = node.realm().status()?;
    let (address, peers) = (format!("http://{}", node.address()), node.realm().peer_address());
    let grant = format!("althing grant key:{} '*/*'", joined.local);
    let document = json!({
        "realm": status.realm, "name": status.name, "member": status.member,
        "node": joined.node.to_string(), "address": address, "peers": peers, "data": data,
        "local": joined.local.to_string(), "grant": grant,
    });
    context.out.item(&document, || {
        let mut pairs = vec![
            ("realm", status.name.clone()),
            ("id", status.realm.clone()),
            ("member", status.member.to_string()),
            ("address", address.clone()),
            ("data", data.display().to_string()),
        ];
        if !peers.is_empty() {
            pairs.insert(4, ("peers", peers.clone()));
        }
        let stops = if exits { "" } else { "Ctrl-C stops the node. " };
        format!(
            "{}\n\nThe node is up to date. Callers on this machine have no grants in the realm yet. \
             Where you have, say:\n  {grant}\n\n{stops}To start it again: {} up",
            fields(&pairs),
            up::command(context, data)
        )
    })
}
