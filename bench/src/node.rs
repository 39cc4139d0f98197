//! A node to measure: the `althing` that users run, on a directory of ours.

use crate::process::Process;
use althing_client::{Client, Endpoint};
use althing_operations::Freshness;
use althing_protocol::SecretKey;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How long a node may take to answer after it was started.
const START_TIMEOUT: Duration = Duration::from_secs(300);

/// Admission is not what is measured.
const SETTINGS: &[&str] = &[
    "limits.rate_per_second=1000000000",
    "limits.burst=1000000000",
    "limits.streams_max=1024",
    "limits.queue_max=16384",
];

/// A running node.
pub(crate) struct Node {
    pub(crate) process: Process,
    pub(crate) data: PathBuf,
    althing: PathBuf,
    endpoint: Endpoint,
    /// From starting the process to its first answer.
    pub(crate) started_in: Duration,
}

impl Node {
    /// Starts the node of the directory `data`, with a realm made there if there is none.
    pub(crate) async fn start(althing: &Path, data: &Path, settings: &[String]) -> Result<Self> {
        let address = data.join("address");
        if address.exists() {
            fs::remove_file(&address).context("removing the address of a node that was killed")?;
        }
        let mut command = command(althing, data);
        command.args(["up", "--listen", "127.0.0.1:0"]);
        for setting in SETTINGS.iter().copied().chain(settings.iter().map(String::as_str)) {
            command.args(["--set", setting]);
        }
        let begun = Instant::now();
        let mut process = Process::start(&mut command, &data.with_extension("output"))?;
        while !address.exists() {
            process.check()?;
            ensure!(begun.elapsed() < START_TIMEOUT, "the node of {} is slow", data.display());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let endpoint = Endpoint::discover(data)?;
        let client = Client::connect(&endpoint, None).await?;
        status(&client, Freshness::Linearizable).await?;
        let started_in = begun.elapsed();
        let (data, althing) = (data.to_owned(), althing.to_owned());
        Ok(Self { process, data, althing, endpoint, started_in })
    }

    /// A connection of its own. With a key, it signs.
    pub(crate) async fn client(&self, key: Option<SecretKey>) -> Result<Client> {
        Client::connect(&self.endpoint, key).await.context("connecting to the node")
    }

    /// Makes a key known: it may do everything.
    pub(crate) async fn admit(&self, key: &SecretKey) -> Result<()> {
        let subject = format!("key:{}", key.public());
        let grant = json!({"subject": subject, "program": "*", "method": "*"});
        let client = self.client(None).await?;
        client.call("action:grant.add.v1", grant, Freshness::default()).await?;
        Ok(())
    }

    pub(crate) async fn status(&self) -> Result<Value> {
        status(&self.client(None).await?, Freshness::Local).await
    }

    /// A number of the status.
    pub(crate) async fn number(&self, name: &str) -> Result<u64> {
        self.status().await?[name].as_u64().with_context(|| format!("{name} of the status"))
    }

    /// Runs the command line against this node.
    pub(crate) fn althing(&self, args: &[&str]) -> Result<()> {
        let mut command = command(&self.althing, &self.data);
        let output = command.args(args).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("starting {}", self.althing.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "althing {}: {said}", args.join(" "));
        Ok(())
    }

    pub(crate) fn deploy(&self, package: &Path) -> Result<()> {
        let path = package.to_str().context("a path that is no text")?;
        self.althing(&["deploy", path])
    }
}

async fn status(client: &Client, read: Freshness) -> Result<Value> {
    Ok(client.call("query:realm.status.v1", json!({}), read).await?)
}

/// The program on the directory `data`, apart from whatever this user has.
fn command(althing: &Path, data: &Path) -> Command {
    let mut command = Command::new(althing);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ALTHING_") {
            command.env_remove(name);
        }
    }
    let home = data.with_extension("home");
    command.env("HOME", &home).env("XDG_CONFIG_HOME", home.join("config"));
    command.env("XDG_DATA_HOME", home.join("data")).arg("--data").arg(data);
    command
}
