//! A node of its own for each test, on a free port, and a client that sends what it is told.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use althing_node::{Config, InitOptions, Initialised, Node, Overrides, init};
use althing_protocol::{Batch, SecretKey, sign, v1};
use althing_rpc::NodeClient;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

/// Nothing in these tests waits this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestNode {
    pub node: Node,
    pub made: Initialised,
    pub founder: SecretKey,
    pub token: String,
    pub home: TempDir,
}

pub fn data_dir(home: &TempDir) -> PathBuf {
    home.path().join("data")
}

pub fn founder() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

pub fn make(dir: &Path) -> Initialised {
    let founder = founder().public();
    let (dir, name) = (dir.to_owned(), "home".into());
    init(&InitOptions { dir, name, founder, settings: Vec::new() }).unwrap()
}

pub fn config(dir: &Path, flags: &[(&str, &str)]) -> Config {
    let mut flags: Vec<_> = flags.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    flags.push(("http.listen".into(), "127.0.0.1:0".into()));
    Config::load(dir, &Overrides { flags, ..Overrides::default() }).unwrap()
}

impl TestNode {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(flags: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = data_dir(&home);
        let made = make(&dir);
        Self::open(home, made, flags).await
    }

    async fn open(home: TempDir, made: Initialised, flags: &[(&str, &str)]) -> Self {
        let dir = data_dir(&home);
        let token = std::fs::read_to_string(dir.join("callers/local.token")).unwrap();
        let node = Node::start(config(&dir, flags)).await.unwrap();
        Self { node, made, founder: founder(), token: token.trim().into(), home }
    }

    pub async fn restart(self) -> Self {
        self.node.shutdown().await.unwrap();
        let Self { node, made, home, .. } = self;
        drop(node);
        Self::open(home, made, &[]).await
    }

    pub fn dir(&self) -> PathBuf {
        data_dir(&self.home)
    }

    /// A request with the token of `local`.
    pub fn request(&self, method: &str, path: &str) -> HttpRequest {
        HttpRequest::new(self.node.address(), method, path)
            .header("authorization", &format!("Bearer {}", self.token))
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.request("GET", path).send().await
    }

    pub async fn call(&self, operation: &str, input: Value) -> Reply {
        self.call_as(&self.token, operation, input).await
    }

    pub async fn call_as(&self, token: &str, operation: &str, input: Value) -> Reply {
        HttpRequest::new(self.node.address(), "POST", "/v1/call")
            .header("authorization", &format!("Bearer {token}"))
            .body(json!({"operation": operation, "input": input}).to_string())
            .send()
            .await
    }

    /// The output of a call that must succeed.
    pub async fn output(&self, operation: &str, input: Value) -> Value {
        let reply = self.call(operation, input).await;
        assert_eq!(reply.status, 200, "{operation}: {}", reply.body);
        reply.json()["output"].clone()
    }

    pub async fn grpc(&self) -> Grpc {
        self.grpc_as(&self.token).await
    }

    pub async fn grpc_as(&self, token: &str) -> Grpc {
        let channel = Channel::from_shared(format!("http://{}", self.node.address()));
        let channel = channel.unwrap().connect().await.unwrap();
        let bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse().unwrap();
        NodeClient::with_interceptor(channel, Bearer(bearer))
    }

    /// What `key` signs for this realm.
    pub fn signed(
        &self,
        key: &SecretKey,
        session: u64,
        sequence: u64,
        instructions: Vec<v1::Instruction>,
    ) -> v1::Envelope {
        let author = key.public();
        sign(key, Batch { realm: self.made.realm, author, session, sequence, instructions })
    }
}

pub type Grpc = NodeClient<InterceptedService<Channel, Bearer>>;

#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A request over HTTP/1, as it is written: tests send what no client library would.
pub struct HttpRequest {
    address: std::net::SocketAddr,
    line: String,
    host: Option<String>,
    headers: Vec<String>,
    body: String,
}

impl HttpRequest {
    pub fn new(address: std::net::SocketAddr, method: &str, path: &str) -> Self {
        Self {
            address,
            line: format!("{method} {path} HTTP/1.1"),
            host: Some(address.to_string()),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(format!("{name}: {value}"));
        self
    }

    pub fn host(mut self, host: Option<&str>) -> Self {
        self.host = host.map(str::to_owned);
        self
    }

    pub fn body(mut self, body: String) -> Self {
        self.body = body;
        self
    }

    /// Sends it, and returns the connection with nothing read.
    pub async fn open(self) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut head = vec![self.line];
        head.extend(self.host.map(|host| format!("host: {host}")));
        head.extend(self.headers);
        head.push(format!("content-length: {}", self.body.len()));
        let text = format!("{}\r\n\r\n{}", head.join("\r\n"), self.body);
        // A node that refuses early may hang up before all is sent.
        let _ = stream.write_all(text.as_bytes()).await;
        BufReader::new(stream)
    }

    pub async fn send(self) -> Reply {
        let mut stream = self.header("connection", "close").open().await;
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        let _ = read.expect("no reply in time");
        Reply::parse(&String::from_utf8(bytes).unwrap())
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no HTTP: {text:?}"));
        let head = head.to_lowercase();
        let body = match head.contains("transfer-encoding: chunked") {
            true => dechunk(body),
            false => body.to_owned(),
        };
        Self { status, head, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The kind of the error that it is.
    pub fn kind(&self) -> String {
        self.json()["error"]["kind"].as_str().unwrap_or("none").to_owned()
    }

    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    whole
}

/// The next line that starts with `prefix`, without it.
pub async fn line_with(stream: &mut BufReader<TcpStream>, prefix: &str) -> String {
    let find = async {
        loop {
            let mut line = String::new();
            assert!(stream.read_line(&mut line).await.unwrap() > 0, "ended before {prefix:?}");
            if let Some(rest) = line.trim_end().strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
    };
    tokio::time::timeout(PATIENCE, find).await.expect("no such line in time")
}

/// The next line of NDJSON.
pub async fn json_line(stream: &mut BufReader<TcpStream>) -> Value {
    let line = format!("{{{}", line_with(stream, "{").await);
    serde_json::from_str(&line).unwrap()
}
