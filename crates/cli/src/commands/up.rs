//! `althing up`.

use super::{deploy, init};
use crate::{
    context::{ANSWER_WAIT, Context, Remote},
    exit::Outcome,
    output::fields,
    package::Package,
};
use althing_client::Endpoint;
use althing_node::{Config, Node, Overrides};
use althing_operations::Freshness;
use althing_protocol::{Error, Result};
use serde_json::json;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Run the node of this machine until it is told to stop; makes the realm the first time
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  althing up
  althing up --listen 127.0.0.1:0 --data /tmp/try
  althing up --packages target/guests")]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Set a key of the configuration, like log.flush_wait_us=100; may be repeated
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Deploy the packages of this directory: each NAME.wasm with its manifest
    #[arg(long, value_name = "DIR")]
    packages: Option<PathBuf>,
    /// Name of the realm, when it is made now
    #[arg(long, default_value = "home")]
    name: String,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("wants SECTION.KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    // Before anything is started: a signal that comes early is not lost.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| no_signals(&e))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| no_signals(&e))?;
    let data = context.data()?;
    if is_vacant(&data) {
        init::init(&data, &args.name, init::founder(context)?)?;
    }
    let node = Node::start(config(context, &data, &args)?).await?;
    let ran = match welcome(context, &data, args.packages.as_deref()).await {
        Ok(()) => tokio::select! {
            _ = interrupt.recv() => context.out.say("stopping"),
            _ = terminate.recv() => context.out.say("stopping"),
            error = fault(&node) => Err(error.into()),
        },
        refused => refused,
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

fn no_signals(error: &std::io::Error) -> Error {
    Error::unavailable(format!("signals of this process: {error}"))
}

fn config(context: &Context, data: &Path, args: &Args) -> Result<Config> {
    let mut overrides = Overrides::from_environment();
    overrides.file = context.globals.config.clone();
    overrides.flags.clone_from(&args.settings);
    if let Some(listen) = args.listen {
        overrides.flags.push(("http.listen".to_owned(), listen.to_string()));
    }
    Config::load(data, &overrides)
}

/// Waits for the realm to stop by itself: then whoever supervises this process should know.
async fn fault(node: &Node) -> Error {
    const LOOK: Duration = Duration::from_secs(1);
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(reason) = node.realm().stopped() {
            return Error::unavailable(format!("realm: stopped: {reason}"));
        }
    }
}

/// Deploys what is wanted, and tells where the node is and what to try.
async fn welcome(context: &Context, data: &Path, packages: Option<&Path>) -> Outcome {
    let endpoint = Endpoint::discover(data)?;
    let url = endpoint.url.clone();
    let remote = Remote::connect(&endpoint, None, Freshness::default(), ANSWER_WAIT).await?;
    let mut deployed = Vec::new();
    for package in packages.map(Package::read_all).transpose()?.unwrap_or_default() {
        deploy::deploy_package(context, &remote, &package, false).await?;
        deployed.push(package.program.to_string());
    }
    let status = remote.call("query:realm.status.v1", json!({})).await?;
    let document = json!({
        "realm": status["realm"], "name": status["name"], "address": url, "data": data, "packages": deployed,
    });
    context.out.item(&document, || {
        let mut pairs = vec![
            ("realm", super::text(&status, "name")),
            ("id", super::text(&status, "realm")),
            ("address", url.clone()),
            ("data", data.display().to_string()),
        ];
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
fn command(context: &Context, data: &Path) -> String {
    match context.globals.data {
        Some(_) => format!("althing --data {}", data.display()),
        None => "althing".to_owned(),
    }
}
