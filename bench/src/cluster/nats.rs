//! The same values through NATS JetStream, three servers, a stream with three replicas on disk.
//!
//! A lower promise: a server says that a message is there when a quorum has written it to files, and
//! flushes them to disk later, every two minutes. A power cut takes what was acknowledged.
//!
//! Its protocol is lines of text over TCP; what is used of it is less than a library would bring.

use crate::{
    Bench,
    load::{self, Done, Sample},
    process::{Process, free_addresses},
    say,
    writes::{pair, window},
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// While there is no leader, nobody answers.
const CREATE_TIMEOUT: Duration = Duration::from_secs(1);

/// What it is called; nothing, and a line that says so, where there is none.
pub(super) fn name(bench: &Bench) -> Option<String> {
    let mut version = Command::new(&bench.nats);
    version.arg("--version").stdin(Stdio::null()).stderr(Stdio::null());
    let Ok(version) = version.output() else {
        say(format_args!("j: without NATS, there is no {}", bench.nats.display()));
        return None;
    };
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version.trim().rsplit_once('v').map_or("of an unknown version", |(_, v)| v);
    Some(format!("NATS JetStream {version} R3"))
}

/// Puts to the server that leads the stream, for each number of clients.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    bench.runtime.block_on(async {
        let (servers, addresses) = start(bench)?;
        let ids: Vec<u32> = servers.iter().map(Process::id).collect();
        let leader = addresses[create_stream(addresses[0]).await?];
        let mut samples = Vec::new();
        for clients in bench.clients {
            let mut loops = Vec::new();
            for at in 0..clients {
                loops.push(Publisher {
                    at,
                    connection: Connection::open(leader).await?,
                    number: 0,
                });
            }
            samples.push(load::run(loops, window(bench), &ids).await?);
        }
        servers.into_iter().try_for_each(Process::stop)?;
        Ok(samples)
    })
}

/// Three servers, and where clients reach them.
fn start(bench: &Bench) -> Result<(Vec<Process>, [SocketAddr; 3])> {
    let dir = bench.place("nats");
    fs::create_dir(&dir).context("making a directory")?;
    let (clients, peers) = (free_addresses::<3>()?, free_addresses::<3>()?);
    let routes = peers.map(|peer| format!("nats://{peer}")).join(", ");
    let mut servers = Vec::new();
    for (at, (client, peer)) in clients.iter().zip(&peers).enumerate() {
        let (store, config) = (dir.join(at.to_string()), dir.join(format!("{at}.conf")));
        let settings = format!(
            "server_name: n{at}\nlisten: \"{client}\"\njetstream {{ store_dir: {store:?} }}\n\
             cluster {{ name: bench, listen: \"{peer}\", routes: [{routes}] }}\n"
        );
        fs::write(&config, settings).context("writing a configuration")?;
        let mut command = Command::new(&bench.nats);
        command.arg("--config").arg(&config);
        servers.push(Process::start(&mut command, &store.with_extension("output"))?);
    }
    Ok((servers, clients))
}

/// Makes the stream as soon as the servers have found each other. Which of them leads it.
async fn create_stream(server: SocketAddr) -> Result<usize> {
    let stream = json!({
        "name": "bench", "subjects": ["bench.>"], "storage": "file", "num_replicas": 3,
    });
    let stream = stream.to_string();
    let begun = Instant::now();
    loop {
        let tried = async {
            let mut connection = Connection::open(server).await?;
            let answer = connection.request("$JS.API.STREAM.CREATE.bench", stream.as_bytes());
            let answer: Value = serde_json::from_slice(&timeout(CREATE_TIMEOUT, answer).await??)?;
            let leader =
                answer["cluster"]["leader"].as_str().and_then(|name| name.strip_prefix('n'));
            leader.with_context(|| answer.to_string())?.parse::<usize>().context("a server's name")
        };
        match tried.await {
            Ok(leader) => return Ok(leader),
            Err(error) => {
                let late = begun.elapsed() > START_TIMEOUT;
                ensure!(!late, "NATS does not make a stream: {error:#}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A connection that does one request at a time.
struct Connection {
    stream: BufReader<TcpStream>,
    /// Where answers come to, and to no other connection.
    inbox: String,
    line: Vec<u8>,
}

impl Connection {
    async fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).await.context("connecting to NATS")?;
        stream.set_nodelay(true)?;
        let inbox = format!("r.{:016x}", rand::random::<u64>());
        let hello = format!("CONNECT {{\"verbose\":false}}\r\nSUB {inbox} 1\r\nPING\r\n");
        let mut connection = Self { stream: BufReader::new(stream), inbox, line: Vec::new() };
        connection.stream.write_all(hello.as_bytes()).await?;
        while connection.next_line().await? != b"PONG" {}
        Ok(connection)
    }

    /// Publishes `body`, and waits for what comes to the inbox.
    async fn request(&mut self, subject: &str, body: &[u8]) -> Result<Vec<u8>> {
        let head = format!("PUB {subject} {} {}\r\n", self.inbox, body.len());
        self.stream.write_all(&[head.as_bytes(), body, b"\r\n"].concat()).await?;
        loop {
            let line = self.next_line().await?;
            if line == b"PING" {
                self.stream.write_all(b"PONG\r\n").await?;
            } else if line.starts_with(b"MSG ") {
                let bytes = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
                let bytes: usize =
                    std::str::from_utf8(bytes)?.parse().context("size of a message")?;
                let mut body = vec![0; bytes + 2];
                self.stream.read_exact(&mut body).await.context("NATS is gone")?;
                body.truncate(bytes);
                return Ok(body);
            } else if line.starts_with(b"-ERR") {
                bail!("NATS: {}", String::from_utf8_lossy(line));
            }
        }
    }

    /// The next line, without its end.
    async fn next_line(&mut self) -> Result<&[u8]> {
        self.line.clear();
        self.stream.read_until(b'\n', &mut self.line).await.context("NATS is gone")?;
        self.line.strip_suffix(b"\r\n").context("NATS is gone: a line without an end")
    }
}

/// A client of the stream.
struct Publisher {
    at: usize,
    connection: Connection,
    number: u64,
}

impl load::Client for Publisher {
    async fn next(&mut self) -> Result<Done> {
        let (key, value) = pair(self.at, self.number);
        self.number += 1;
        // The key as a subject: `bench.000.001`.
        let subject = std::str::from_utf8(&key[1..])?.replace('/', ".");
        let begun = Instant::now();
        let answer = timeout(ANSWER_TIMEOUT, self.connection.request(&subject, &value)).await;
        let answer = answer.context("NATS does not answer")??;
        let took = begun.elapsed();
        let is_kept = answer.starts_with(b"{\"stream\":");
        ensure!(is_kept, "NATS refused: {}", String::from_utf8_lossy(&answer));
        Ok(Done { count: 1, took })
    }
}
