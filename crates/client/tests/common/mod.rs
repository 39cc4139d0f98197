//! A node that keeps sessions as the realm does and fails when it is told to.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use althing_blobs::{Blobs, Chunk};
use althing_client::{Client, Endpoint, Options, RetryPolicy, Token};
use althing_operations::{blob, session, text};
use althing_protocol::{Batch, Error, RealmId, Result, SecretKey, limits, v1, verify};
use althing_rpc::{Node, to_status, v1 as rpc};
use futures::{StreamExt, stream::BoxStream};
use prost::Message;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming, service::interceptor::InterceptedService};

pub const REALM: RealmId = RealmId([7; 32]);
pub const TOKEN: &str = "let-me-in";

/// What goes wrong with the next envelope or call.
pub enum Fault {
    /// It is refused, nothing is done.
    Refuse(Error),
    /// It is done, and then this is the answer.
    DoThenFail(Error),
    /// It is done, and no answer ever comes.
    DoThenHang,
    /// Another client of the key opens a session just before.
    SessionOpenedByAnother,
    /// The session is closed just before.
    SessionClosed,
    /// It is done, and every connection breaks.
    DoThenCut,
    /// Nothing goes wrong.
    Nothing,
}

/// What was decided in a session, by sequence number.
#[derive(Default)]
pub struct Book {
    highest: u64,
    decided: BTreeMap<u64, (v1::Instruction, v1::Outcome)>,
}

#[derive(Default)]
pub struct State {
    pub opens: Book,
    pub sessions: BTreeMap<u64, Book>,
    /// Args of every instruction, in the order of their doing.
    pub done: Vec<Vec<u8>>,
    /// Every envelope as it came.
    pub envelopes: Vec<v1::Envelope>,
    pub calls: Vec<String>,
    pub faults: VecDeque<Fault>,
    pub blobs: Option<Blobs>,
}

#[derive(Clone)]
pub struct FakeNode {
    state: Arc<Mutex<State>>,
    cuts: watch::Sender<u32>,
}

pub struct Running {
    pub node: FakeNode,
    pub endpoint: Endpoint,
}

pub fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

/// Waits that make no test slow.
pub fn options() -> Options {
    Options {
        retry: RetryPolicy {
            wait_first: Duration::from_millis(1),
            wait_max: Duration::from_millis(10),
            total: Duration::from_secs(20),
        },
        ..Options::default()
    }
}

impl Running {
    pub async fn client(&self) -> Client {
        Client::connect_with(&self.endpoint, Some(key()), options()).await.unwrap()
    }

    pub async fn client_without_key(&self) -> Client {
        Client::connect_with(&self.endpoint, None, options()).await.unwrap()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.node.state.lock().unwrap()
    }

    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }
}

/// A node behind a proxy whose connections can be cut.
pub async fn start() -> Running {
    let node = FakeNode { state: Arc::default(), cuts: watch::Sender::new(0) };
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream_address = upstream.local_addr().unwrap();
    let service = InterceptedService::new(althing_rpc::server(node.clone()), authorize);
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(upstream)),
    );
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap().to_string();
    let cuts = node.cuts.clone();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = proxy.accept().await.unwrap();
            let mut cut = cuts.subscribe();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(upstream_address).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cut.changed() => {}
                }
            });
        }
    });
    Running { node, endpoint: Endpoint::new(&address, Token::new(TOKEN)) }
}

fn authorize(request: Request<()>) -> Result<Request<()>, Status> {
    match request.metadata().get("authorization") {
        Some(bearer) if bearer == format!("Bearer {TOKEN}").as_str() => Ok(request),
        _ => Err(to_status(&Error::denied("token: unknown; read it from its file"))),
    }
}

impl Book {
    fn seat(&self, sequence: u64, instruction: &v1::Instruction) -> Result<Option<v1::Outcome>> {
        if sequence == 0 || sequence > self.highest + limits::SESSION_WINDOW {
            return Err(Error::invalid(format!("sequence {sequence}: not in the window")));
        }
        if sequence + limits::SESSION_WINDOW <= self.highest {
            return Err(Error::conflict(format!("sequence {sequence}: already decided")));
        }
        match self.decided.get(&sequence) {
            None => Ok(None),
            Some((same, outcome)) if same == instruction => Ok(Some(outcome.clone())),
            Some(_) => Err(Error::conflict(format!("sequence {sequence}: already decided"))),
        }
    }
}

impl State {
    /// Sessions opened so far.
    pub fn opened(&self) -> usize {
        self.opens.decided.len()
    }

    /// As the realm does it: seats first, then what is new is done.
    fn decide(&mut self, envelope: &v1::Envelope) -> Result<Vec<v1::Outcome>> {
        let batch = Batch::decode(envelope)?;
        verify(envelope, &batch.author)?;
        assert_eq!(batch.realm, REALM);
        let Self { opens, sessions, done, .. } = self;
        let mut opened = None;
        let book = match batch.session {
            0 => opens,
            number => sessions
                .get_mut(&number)
                .ok_or_else(|| Error::not_found(format!("session {number}: closed")))?,
        };
        let mut outcomes = Vec::new();
        for (sequence, instruction) in (batch.sequence..).zip(batch.instructions) {
            if let Some(outcome) = book.seat(sequence, &instruction)? {
                outcomes.push(outcome);
                continue;
            }
            let output = match instruction.method.as_str() {
                "session_open" => {
                    let session = 256 * sequence;
                    opened = Some(session);
                    v1::SessionOpened { session }.encode_to_vec()
                }
                "put" => {
                    done.push(instruction.args.clone());
                    let index = done.len() as u64;
                    let revision = Some(v1::Revision { create: index, modify: index });
                    v1::Written { revision }.encode_to_vec()
                }
                _ => {
                    done.push(instruction.args.clone());
                    instruction.args.clone()
                }
            };
            let result = Some(v1::outcome::Result::Output(output));
            let outcome =
                v1::Outcome { index: done.len() as u64, result, ..v1::Outcome::default() };
            book.highest = book.highest.max(sequence);
            book.decided.insert(sequence, (instruction, outcome.clone()));
            outcomes.push(outcome);
        }
        self.sessions.extend(opened.map(|session| (session, Book::default())));
        Ok(outcomes)
    }

    fn run(&mut self, operation: &str, input: Value) -> Result<Value> {
        match operation {
            "query:realm.status.v1" => Ok(json!({"realm": REALM.to_string()})),
            session::LIST => {
                let open = self.sessions.keys().map(|session| session::Session {
                    session: *session,
                    label: String::new(),
                    floor: 0,
                    next: 0,
                    used: 0,
                });
                Ok(json!(session::ListOutput {
                    author: input["author"].as_str().unwrap().to_owned(),
                    next_open: self.opens.highest + 1,
                    sessions: open.collect(),
                }))
            }
            blob::PUT => {
                let input: blob::PutInput = serde_json::from_value(input).unwrap();
                let bytes = text::decode_base64("chunk_base64", &input.chunk_base64)?;
                let hash = input.chunk_hash.parse()?;
                let chunk = Chunk { offset: input.offset, bytes: &bytes, hash };
                let blobs = self.blobs.as_ref().unwrap();
                let got = blobs.receive(&input.hash.parse()?, input.size, chunk)?;
                Ok(json!(blob::Progress { received: got.received, complete: got.complete }))
            }
            _ => Ok(json!({"operation": operation, "input": input})),
        }
    }
}

/// Whether a fault is for this call: the client's own questions are spared.
fn is_tested(operation: &str) -> bool {
    !matches!(operation, "query:realm.status.v1" | session::LIST)
}

impl FakeNode {
    async fn submitted(&self, envelope: v1::Envelope) -> Result<Vec<v1::Outcome>> {
        let (answer, hang) = {
            let mut state = self.state.lock().unwrap();
            state.envelopes.push(envelope.clone());
            let fault = state.faults.pop_front().unwrap_or(Fault::Nothing);
            match fault {
                Fault::Refuse(error) => (Err(error), false),
                Fault::DoThenFail(error) => (state.decide(&envelope).and(Err(error)), false),
                Fault::DoThenHang => (state.decide(&envelope), true),
                Fault::SessionOpenedByAnother => {
                    let sequence = state.opens.highest + 1;
                    let other = (v1::Instruction::default(), v1::Outcome::default());
                    state.opens.highest = sequence;
                    state.opens.decided.insert(sequence, other);
                    (state.decide(&envelope), false)
                }
                Fault::SessionClosed => {
                    state.sessions.clear();
                    (state.decide(&envelope), false)
                }
                Fault::DoThenCut => {
                    let answer = state.decide(&envelope);
                    self.cuts.send_modify(|cuts| *cuts += 1);
                    (answer, false)
                }
                Fault::Nothing => (state.decide(&envelope), false),
            }
        };
        if hang {
            std::future::pending::<()>().await;
        }
        answer
    }

    async fn reply(&self, envelope: v1::Envelope) -> rpc::SubmitReply {
        let batch = Batch::decode(&envelope).unwrap();
        let (outcomes, failure) = match self.submitted(envelope).await {
            Ok(outcomes) => (outcomes, None),
            Err(error) => (Vec::new(), Some(v1::Failure::from(&error))),
        };
        let Batch { session, sequence, .. } = batch;
        rpc::SubmitReply { session, sequence, outcomes, failure }
    }
}

#[tonic::async_trait]
impl Node for FakeNode {
    type SubmitStreamStream = BoxStream<'static, Result<rpc::SubmitReply, Status>>;
    type LogStream = BoxStream<'static, Result<rpc::LogEntry, Status>>;
    type EventsStream = BoxStream<'static, Result<rpc::EventAt, Status>>;

    async fn call(
        &self,
        request: Request<rpc::CallRequest>,
    ) -> Result<Response<rpc::CallReply>, Status> {
        let rpc::CallRequest { operation, input_json, .. } = request.into_inner();
        let input = serde_json::from_str(&input_json).unwrap();
        let mut state = self.state.lock().unwrap();
        state.calls.push(operation.clone());
        let fault = if is_tested(&operation) { state.faults.pop_front() } else { None };
        let answer = match fault {
            Some(Fault::Refuse(error)) => Err(error),
            Some(Fault::DoThenFail(error)) => state.run(&operation, input).and(Err(error)),
            _ => state.run(&operation, input),
        };
        let output = answer.map_err(|e| to_status(&e))?;
        Ok(Response::new(rpc::CallReply { output_json: output.to_string() }))
    }

    async fn submit(
        &self,
        request: Request<v1::Envelope>,
    ) -> Result<Response<rpc::SubmitReply>, Status> {
        let reply = self.reply(request.into_inner()).await;
        match &reply.failure {
            Some(failure) => Err(to_status(&Error::from(failure))),
            None => Ok(Response::new(reply)),
        }
    }

    async fn submit_stream(
        &self,
        request: Request<Streaming<v1::Envelope>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let node = self.clone();
        let replies = request.into_inner().then(move |envelope| {
            let node = node.clone();
            async move { Ok(node.reply(envelope?).await) }
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn log(
        &self,
        request: Request<rpc::LogRequest>,
    ) -> Result<Response<Self::LogStream>, Status> {
        let from = request.into_inner().from;
        let entry = |index| rpc::LogEntry { index, ..rpc::LogEntry::default() };
        let purged = Error::not_found("entry 9: no longer kept; start at 12");
        let items = vec![Ok(entry(from)), Ok(entry(from + 1)), Err(to_status(&purged))];
        Ok(Response::new(futures::stream::iter(items).boxed()))
    }

    async fn events(
        &self,
        request: Request<rpc::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let rpc::EventsRequest { from, program, topic } = request.into_inner();
        let event = v1::Event { program, topic, data: Vec::new() };
        let at = rpc::EventAt { index: from, position: 0, event: Some(event) };
        Ok(Response::new(futures::stream::iter([Ok(at)]).boxed()))
    }
}
