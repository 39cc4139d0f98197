//! (h) The same writes against etcd, where it is installed: one node, fsync on, the same disk, the
//! same clients in the same loop, a connection each.

use crate::{
    Bench,
    load::{self, Done},
    process::Process,
    say,
    table::Row,
    writes::{Load, pair, window},
};
use anyhow::{Context, Result, ensure};
use std::{
    net::TcpListener,
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

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let mut version = Command::new(&bench.etcd);
    version.arg("--version").stdin(Stdio::null()).stderr(Stdio::null());
    let Ok(version) = version.output() else {
        say(format_args!("h: skipped, there is no {}", bench.etcd.display()));
        return Ok(());
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = version.lines().next().and_then(|line| line.strip_prefix("etcd Version: "));
    let name = format!("etcd {}", version.unwrap_or("of an unknown version"));
    say(format_args!("h: puts to {name}"));
    for (clients, sample) in bench.clients.into_iter().zip(measure(bench)?) {
        let what = format!("{name}: puts, {clients} client{}", if clients == 1 { "" } else { "s" });
        bench.table.add(Row::load('h', what, &sample).goes(sample.cpu()));
        bench.loads.insert((Load::Etcd, clients), sample);
    }
    Ok(())
}

fn measure(bench: &Bench) -> Result<Vec<load::Sample>> {
    let window = window(bench);
    bench.runtime.block_on(async {
        let dir = bench.place("etcd");
        let (process, url) = start(&bench.etcd, &dir)?;
        connect(&url).await?;
        let mut samples = Vec::new();
        for clients in bench.clients {
            let mut loops = Vec::new();
            for at in 0..clients {
                loops.push(Putter { at, grpc: Grpc::new(connect(&url).await?), number: 0 });
            }
            samples.push(load::run(loops, window, process.id()).await?);
        }
        process.stop()?;
        Ok(samples)
    })
}

fn start(etcd: &Path, dir: &Path) -> Result<(Process, String)> {
    let [client, peer] = [free_url()?, free_url()?];
    let mut command = Command::new(etcd);
    command
        .arg("--data-dir")
        .arg(dir)
        .args(["--name", "bench", "--log-level", "error"])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("bench={peer}")]);
    Ok((Process::start(&mut command, &dir.with_extension("output"))?, client))
}

/// etcd wants to be told its ports.
fn free_url() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(format!("http://{}", listener.local_addr()?))
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
