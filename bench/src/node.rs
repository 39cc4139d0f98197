//! A node to measure: the `althing` that users run, on a directory of ours.

use crate::process::Process;
use althing_client::{Client, Endpoint};
use althing_operations::Freshness;
use althing_protocol::SecretKey;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fmt::Display,
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

/// A node that can be started.
#[derive(Clone)]
pub(crate) struct Launch {
    pub(crate) althing: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) settings: Vec<String>,
}

impl Launch {
    /// Starts the node, and makes a realm for it if its directory is not there. It answers.
    pub(crate) async fn start(&self) -> Result<Node> {
        let begun = Instant::now();
        let mut node = self.begin().await?;
        status(&node.client(None).await?, Freshness::Linearizable).await?;
        node.started_in = begun.elapsed();
        Ok(node)
    }

    /// The same, but it may have to catch up yet.
    pub(crate) async fn begin(&self) -> Result<Node> {
        let address = self.data.join("address");
        if address.exists() {
            fs::remove_file(&address).context("removing the address of a node that was killed")?;
        }
        let mut command = self.command("up");
        let begun = Instant::now();
        let mut process = Process::start(&mut command, &self.data.with_extension("output"))?;
        while !address.exists() {
            process.check()?;
            let late = begun.elapsed() > START_TIMEOUT;
            ensure!(!late, "the node of {} is slow", self.data.display());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let endpoint = Endpoint::discover(&self.data)?;
        Ok(Node { process, launch: self.clone(), endpoint, started_in: begun.elapsed() })
    }

    /// Makes the machine a member by a token, and ends when it has caught up. The key of its own
    /// caller, who has no grants yet.
    pub(crate) fn join(&self, token: &str) -> Result<String> {
        let mut command = self.command("join");
        let joined = output(command.args([token, "--exit", "--json"]))?;
        text(&joined, "local")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = command(&self.althing, &self.data);
        command.args([name, "--listen", "127.0.0.1:0"]);
        for setting in SETTINGS.iter().copied().chain(self.settings.iter().map(String::as_str)) {
            command.args(["--set", setting]);
        }
        command
    }
}

/// A running node.
pub(crate) struct Node {
    pub(crate) process: Process,
    pub(crate) launch: Launch,
    endpoint: Endpoint,
    /// From starting the process to its first answer.
    pub(crate) started_in: Duration,
}

impl Node {
    /// Starts the node of the directory `data`, with a realm made there if there is none.
    pub(crate) async fn start(althing: &Path, data: &Path, settings: &[String]) -> Result<Self> {
        let (althing, data, settings) = (althing.to_owned(), data.to_owned(), settings.to_vec());
        Launch { althing, data, settings }.start().await
    }

    /// A connection of its own. With a key, it signs.
    pub(crate) async fn client(&self, key: Option<SecretKey>) -> Result<Client> {
        Client::connect(&self.endpoint, key).await.context("connecting to the node")
    }

    /// Makes a key known: it may do everything.
    pub(crate) async fn admit(&self, key: impl Display) -> Result<()> {
        let grant = json!({"subject": format!("key:{key}"), "program": "*", "method": "*"});
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

    /// Lets one machine join.
    pub(crate) fn invite(&self) -> Result<String> {
        text(&output(self.command().args(["invite", "--json"]))?, "token")
    }

    /// Runs the command line against this node.
    pub(crate) fn althing(&self, args: &[&str]) -> Result<()> {
        output(self.command().args(args)).map(drop)
    }

    fn command(&self) -> Command {
        command(&self.launch.althing, &self.launch.data)
    }

    pub(crate) fn deploy(&self, package: &Path) -> Result<()> {
        let path = package.to_str().context("a path that is no text")?;
        self.althing(&["deploy", path])
    }
}

/// Runs a command to its end. What it printed.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("starting {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(output.stdout)
}

/// A text of a JSON document.
fn text(document: &[u8], name: &str) -> Result<String> {
    let document: Value = serde_json::from_slice(document).context("what althing printed")?;
    let text = document[name].as_str().with_context(|| format!("{name} in {document}"))?;
    Ok(text.to_owned())
}

pub(crate) async fn status(client: &Client, read: Freshness) -> Result<Value> {
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
