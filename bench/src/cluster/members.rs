//! Three nodes of one realm, as three processes on loopback.

use crate::{
    Bench,
    node::{Launch, Node, status},
    process::{Process, free_addresses},
};
use althing_client::Client;
use althing_operations::Freshness;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

pub(super) const MEMBERS: usize = 3;
/// For all of them to vote, and to be level.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// The nodes that run, in no order that means anything.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    dir: PathBuf,
}

impl Cluster {
    /// A realm of its own under the name `name`: one node makes it, two join. All vote.
    pub(super) async fn start(bench: &Bench, name: &str, settings: &[String]) -> Result<Self> {
        let dir = bench.place(name);
        fs::create_dir(&dir).context("making a directory")?;
        let launches: Vec<Launch> = free_addresses::<MEMBERS>()?
            .iter()
            .enumerate()
            .map(|(at, peers)| Launch {
                althing: bench.althing.clone(),
                data: dir.join((at + 1).to_string()),
                settings: [settings, &[format!("peers.listen={peers}")]].concat(),
            })
            .collect();
        let mut nodes = vec![launches[0].start().await?];
        for launch in &launches[1..] {
            let local = launch.join(&nodes[0].invite()?)?;
            nodes.push(launch.begin().await?);
            nodes[0].admit(local).await?;
        }
        let cluster = Self { nodes, dir };
        cluster.settle().await?;
        Ok(cluster)
    }

    pub(super) fn processes(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.process.id()).collect()
    }

    /// The one that leads.
    pub(super) async fn leader(&self) -> Result<&Node> {
        self.with(true).await?.pop().context("no node leads")
    }

    /// Those that do not.
    pub(super) async fn followers(&self) -> Result<Vec<&Node>> {
        self.with(false).await
    }

    async fn with(&self, leads: bool) -> Result<Vec<&Node>> {
        let mut found = Vec::new();
        for node in &self.nodes {
            if node.status().await?["leads"] == leads {
                found.push(node);
            }
        }
        Ok(found)
    }

    /// The node that is process `id`, which from now on is not one of these.
    pub(super) fn take(&mut self, id: u32) -> Result<Node> {
        let at = self.nodes.iter().position(|node| node.process.id() == id);
        Ok(self.nodes.swap_remove(at.context("no such node")?))
    }

    /// Waits until all vote, each has all that is decided, and one leads.
    pub(super) async fn settle(&self) -> Result<()> {
        let begun = Instant::now();
        while !self.is_settled().await? {
            ensure!(begun.elapsed() < SETTLE_TIMEOUT, "the nodes do not come to rest");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn is_settled(&self) -> Result<bool> {
        let input = json!({});
        let client = self.nodes[0].client(None).await?;
        let listed = client.call("query:member.list.v1", input, Freshness::Linearizable).await?;
        let is = |wanted: &str| {
            let members = listed["members"].as_array().into_iter().flatten();
            members
                .map(|member| &member["live"])
                .filter(|live| live["is"] == wanted && live["behind"] == 0)
                .count()
        };
        Ok((is("leader"), is("voter")) == (1, self.nodes.len() - 1))
    }

    /// Stops the nodes, and makes room on the disk.
    pub(super) fn stop(self) -> Result<()> {
        self.nodes.into_iter().map(|node| node.process).try_for_each(Process::stop)?;
        fs::remove_dir_all(&self.dir).context("removing a directory")
    }
}

/// A number of a node's status, as it is there now.
pub(super) async fn number(client: &Client, name: &str) -> Result<u64> {
    let status: Value = status(client, Freshness::Local).await?;
    status[name].as_u64().with_context(|| format!("{name} of the status"))
}
