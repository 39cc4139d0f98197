//! `althing up`.

use super::{deploy, init, settings::Settings};
use crate::{
    context::{ANSWER_WAIT, Context, Remote},
    exit::{Outcome, Stop},
    output::fields,
    package::Package,
};
use althing_client::Endpoint;
use althing_node::{Config, Node, Overrides};
use althing_operations::Freshness;
use althing_protocol::{Error, Result};
use serde_json::json;
use std::{
    future,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Run the node of this machine until it is told to stop; makes the realm the first time
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is set here when the realm is made is kept in DATA/config/host.toml; later it holds for one
run.

Examples:
  althing up
  althing up --listen 127.0.0.1:0 --data /tmp/try
  althing up --peers 192.168.1.7:3001
  althing up --packages target/guests")]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Deploy the packages of this directory: each NAME.wasm with its manifest
    #[arg(long, value_name = "DIR")]
    packages: Option<PathBuf>,
    /// Name of the realm, when it is made now
    #[arg(long, default_value = "home")]
    name: String,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let mut signals = Signals::new()?;
    let data = context.data()?;
    if is_vacant(&data) {
        init::init(&data, &args.name, init::founder(context)?, args.settings.pairs())?;
    }
    let node = start(context, &mut signals, config(context, &data, &args)?).await?;
    let begin = async {
        welcome(context, &data, &node, args.packages.as_deref()).await.map(|()| Then::Run)
    };
    serve(context, &node, signals, begin).await
}

/// What tells a node to stop.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Before anything is started: a signal that comes early is not lost.
    pub(super) fn new() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|e| Error::unavailable(format!("signals of this process: {e}")))
        };
        let interrupt = listen(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: listen(SignalKind::terminate())? })
    }

    pub(super) async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Starts a node, unless it is told to stop before it has started: it may have a long log to run again,
/// or wait for an image.
pub(super) async fn start(
    context: &Context,
    signals: &mut Signals,
    config: Config,
) -> Result<Node> {
    tokio::select! {
        node = Node::start(config) => node,
        () = signals.any() => {
            let said = context.out.say("stopping before it has started");
            // Its threads can be waited for no sooner than they are done. They may end anywhere: what is
            // on disk is whole at each moment.
            std::process::exit(if said.is_ok() { 0 } else { 1 })
        }
    }
}

/// What a node does once it has begun.
pub(super) enum Then {
    /// It runs until it is told to stop.
    Run,
    /// It has served.
    Exit,
}

/// Runs a node that was started, until it is told to stop, has served, or its realm stops by itself.
pub(super) async fn serve(
    context: &Context,
    node: &Node,
    mut signals: Signals,
    begin: impl Future<Output = Result<Then, Stop>>,
) -> Outcome {
    let life = async {
        match begin.await? {
            Then::Run => future::pending().await,
            Then::Exit => Ok(()),
        }
    };
    let ran = tokio::select! {
        ended = life => ended,
        () = signals.any() => context.out.say("stopping"),
        ended = end(context, node) => ended,
    };
    let stopped = node.shutdown().await;
    ran?;
    Ok(stopped?)
}

/// Whether there is nothing yet. What is there already is the node's to judge.
fn is_vacant(data: &Path) -> bool {
    match std::fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == std::io::ErrorKind::NotFound,
    }
}

fn config(context: &Context, data: &Path, args: &Args) -> Result<Config> {
    let mut overrides = Overrides::from_environment();
    overrides.file = context.globals.config.clone();
    overrides.flags = args.settings.pairs();
    Config::load(data, &overrides)
}

/// Waits for the realm to stop by itself: then whoever supervises this process should know. That the
/// node is no member any more is an end like others, and nothing that a restart mends. One that differs
/// from the others goes on telling what it knows, until somebody repairs it.
async fn end(context: &Context, node: &Node) -> Outcome {
    const LOOK: Duration = Duration::from_secs(1);
    loop {
        tokio::time::sleep(LOOK).await;
        match node.realm().stopped() {
            None => {}
            Some(_) if node.realm().has_diverged() => {}
            Some(reason) if node.realm().has_departed() => return context.out.say(reason),
            Some(reason) => {
                return Err(Error::unavailable(format!("realm: stopped: {reason}")).into());
            }
        }
    }
}

/// Deploys what is wanted, and tells where the node is and what to try.
async fn welcome(context: &Context, data: &Path, node: &Node, packages: Option<&Path>) -> Outcome {
    let endpoint = Endpoint::discover(data)?;
    let url = endpoint.url.clone();
    let mut deployed = Vec::new();
    if let Some(dir) = packages {
        let remote = Remote::connect(&endpoint, None, Freshness::default(), ANSWER_WAIT).await?;
        for package in Package::read_all(dir)? {
            deploy::deploy_package(context, &remote, &package, false).await?;
            deployed.push(package.program.to_string());
        }
    }
    let (status, peers) = (node.realm().status()?, node.realm().peer_address());
    let document = json!({
        "realm": status.realm, "name": status.name, "member": status.member, "address": url,
        "peers": peers, "data": data, "packages": deployed,
    });
    context.out.item(&document, || {
        let mut pairs = vec![
            ("realm", status.name.clone()),
            ("id", status.realm.clone()),
            ("address", url.clone()),
            ("data", data.display().to_string()),
        ];
        if !peers.is_empty() {
            pairs.insert(3, ("peers", peers.clone()));
        }
        if !deployed.is_empty() {
            pairs.push(("packages", deployed.join(", ")));
        }
        let althing = command(context, data);
        format!(
            "{}\n\nTry, in another terminal:\n  {althing} kv put /notes/first hello\n  \
             {althing} ingest /usr/share/doc\n  {althing} status\n\nCtrl-C stops the node.",
            fields(&pairs)
        )
    })
}

/// What a user types to reach this node.
pub(super) fn command(context: &Context, data: &Path) -> String {
    match context.globals.data {
        Some(_) => format!("althing --data {}", data.display()),
        None => "althing".to_owned(),
    }
}
