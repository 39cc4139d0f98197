//! (h) The same writes against etcd, where it is installed: fsync on, the same disk, the same clients
//! in the same loop, a connection each. One node here; with three it stands beside a cluster.

use crate::{
    Bench,
    load::{self, Done, Window},
    process::{Process, free_addresses},
    say,
    table::Row,
    writes::{Load, pair, people, window},
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tonic::{
    Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel,
    transport::Endpoint,
};
use tonic_prost::ProstCodec;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// `etcdserverpb.PutRequest`, the fields that are used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `etcdserverpb.PutResponse`; nothing of it is used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// `etcdserverpb.StatusRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

/// `etcdserverpb.StatusResponse`, the fields that are used.
#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// `etcdserverpb.ResponseHeader`, the field that is used.
#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let Some(name) = name(bench, 'h') else { return Ok(()) };
    say(format_args!("h: puts to {name}"));
    for (clients, sample) in bench.clients.into_iter().zip(measure(bench)?) {
        let what = format!("{name}: puts, {}", people(clients));
        bench.table.add(Row::load('h', what, &sample).goes(sample.cpu()));
        bench.loads.insert((Load::Etcd, clients), sample);
    }
    Ok(())
}

/// What it is called; nothing, and a line that says so, where there is none.
pub(crate) fn name(bench: &Bench, section: char) -> Option<String> {
    let mut version = Command::new(&bench.etcd);
    version.arg("--version").stdin(Stdio::null()).stderr(Stdio::null());
    let Ok(version) = version.output() else {
        say(format_args!("{section}: skipped, there is no {}", bench.etcd.display()));
        return None;
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = version.lines().next().and_then(|line| line.strip_prefix("etcd Version: "));
    Some(format!("etcd {}", version.unwrap_or("of an unknown version")))
}

fn measure(bench: &Bench) -> Result<Vec<load::Sample>> {
    bench.runtime.block_on(async {
        let [address] = free_addresses()?;
        let etcd = Etcd::start(&bench.etcd, &bench.place("etcd"), &[address]).await?;
        let samples = etcd.loads(0, &bench.clients, window(bench)).await?;
        etcd.stop()?;
        Ok(samples)
    })
}

/// Members of one cluster.
pub(crate) struct Etcd {
    processes: Vec<Process>,
    urls: Vec<String>,
}

impl Etcd {
    /// Starts a member for each of the addresses, at which the others reach it.
    pub(crate) async fn start(etcd: &Path, dir: &Path, peers: &[SocketAddr]) -> Result<Self> {
        fs::create_dir(dir).context("making a directory")?;
        let cluster: Vec<String> =
            peers.iter().enumerate().map(|(at, peer)| format!("m{at}=http://{peer}")).collect();
        let (mut processes, mut urls) = (Vec::new(), Vec::new());
        for (at, peer) in peers.iter().enumerate() {
            let [client] = free_addresses()?;
            let (name, client, peer) =
                (format!("m{at}"), format!("http://{client}"), format!("http://{peer}"));
            let mut command = Command::new(etcd);
            command
                .arg("--data-dir")
                .arg(dir.join(&name))
                .args(["--name", &name, "--log-level", "error"])
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &cluster.join(",")]);
            let output = dir.join(name).with_extension("output");
            processes.push(Process::start(&mut command, &output)?);
            urls.push(client);
        }
        for url in &urls {
            connect(url).await?;
        }
        Ok(Self { processes, urls })
    }

    /// The member that leads.
    pub(crate) async fn leader(&self) -> Result<usize> {
        for (at, url) in self.urls.iter().enumerate() {
            let mut grpc = Grpc::new(connect(url).await?);
            grpc.ready().await.context("etcd is gone")?;
            let codec = ProstCodec::<StatusRequest, StatusResponse>::new();
            let path = PathAndQuery::from_static("/etcdserverpb.Maintenance/Status");
            let status = grpc.unary(Request::new(StatusRequest {}), path, codec).await?;
            let status = status.into_inner();
            if status.header.is_some_and(|header| header.member_id == status.leader) {
                return Ok(at);
            }
        }
        bail!("no member of etcd leads")
    }

    /// Puts to `member`, for each number of clients.
    pub(crate) async fn loads(
        &self,
        member: usize,
        clients: &[usize],
        window: Window,
    ) -> Result<Vec<load::Sample>> {
        let url = &self.urls[member];
        let ids: Vec<u32> = self.processes.iter().map(Process::id).collect();
        let mut samples = Vec::new();
        for clients in clients {
            let mut loops = Vec::new();
            for at in 0..*clients {
                loops.push(Putter { at, grpc: Grpc::new(connect(url).await?), number: 0 });
            }
            samples.push(load::run(loops, window, &ids).await?);
        }
        Ok(samples)
    }

    pub(crate) fn stop(self) -> Result<()> {
        self.processes.into_iter().try_for_each(Process::stop)
    }
}

/// A connection over which a first put went through.
async fn connect(url: &str) -> Result<Channel> {
    let begun = Instant::now();
    loop {
        let tried = async {
            let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
            Putter { at: 0, grpc: Grpc::new(channel.clone()), number: 0 }.put().await?;
            anyhow::Ok(channel)
        };
        match tried.await {
            Ok(channel) => return Ok(channel),
            Err(error) => {
                let late = begun.elapsed() > START_TIMEOUT;
                ensure!(!late, "etcd does not answer: {error:#}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A client of `etcdserverpb.KV`.
struct Putter {
    at: usize,
    grpc: Grpc<Channel>,
    number: u64,
}

impl Putter {
    async fn put(&mut self) -> Result<()> {
        let (key, value) = pair(self.at, self.number);
        self.number += 1;
        self.grpc.ready().await.context("etcd is gone")?;
        let codec = ProstCodec::<PutRequest, PutResponse>::new();
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
        self.grpc.unary(Request::new(PutRequest { key, value }), path, codec).await?;
        Ok(())
    }
}

impl load::Client for Putter {
    async fn next(&mut self) -> Result<Done> {
        let begun = Instant::now();
        self.put().await?;
        Ok(Done { count: 1, took: begun.elapsed() })
    }
}
