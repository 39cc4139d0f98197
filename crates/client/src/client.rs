//! A connection to a node: call, submit, follow.

use crate::{
    Endpoint, RetryPolicy, SubmitStream,
    retry::{Tried, is_passing, retry, was_not_begun},
    session::{Fate, Session},
    stream,
};
use althing_operations::{
    Descriptor, Descriptors, Freshness, Operation, OperationKind, Registry, actions, session,
};
use althing_protocol::{
    Batch, Error, Kind, PublicKey, RealmId, Result, SecretKey, limits, sign, sys as instructions,
    v1,
};
use althing_rpc::{NodeClient, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, from_status, v1 as rpc};
use futures::{Stream, StreamExt, stream::BoxStream};
use prost::Message;
use serde_json::{Value, json};
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::Mutex;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

/// Other clients of the same key may open sessions at the same time, this many at least.
const SESSION_OPEN_TRIES: u32 = 16;

/// Timeouts and retries.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For a connection to come about.
    pub connect_timeout: Duration,
    /// For one answer; then the connection counts as broken.
    pub answer_timeout: Duration,
    /// When to try again.
    pub retry: RetryPolicy,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
            retry: RetryPolicy::default(),
        }
    }
}

pub(crate) type Stub = NodeClient<InterceptedService<Channel, Bearer>>;

/// Says on every request who calls.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection to a node. Broken connections come back by themselves.
///
/// With a key, replicated actions are signed here, and each is done once however often it is sent.
/// Without one, the node acts in the name of the token's caller.
pub struct Client {
    stub: Stub,
    options: Options,
    key: Option<SecretKey>,
    /// The session of single submits; opened when it is first needed.
    session: Mutex<Option<Arc<Session>>>,
    /// What a client can sign itself.
    actions: Registry,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to a node. With `key`, signs what changes the realm.
    ///
    /// # Errors
    /// `unavailable` when there is no node.
    pub async fn connect(endpoint: &Endpoint, key: Option<SecretKey>) -> Result<Self> {
        Self::connect_with(endpoint, key, Options::default()).await
    }

    /// Connects to a node, with timeouts and retries of one's own.
    ///
    /// # Errors
    /// `unavailable` when there is no node.
    pub async fn connect_with(
        endpoint: &Endpoint,
        key: Option<SecretKey>,
        options: Options,
    ) -> Result<Self> {
        let url = &endpoint.url;
        let mut bearer: MetadataValue<Ascii> =
            format!("Bearer {}", endpoint.token.expose()).parse().map_err(|_| {
                Error::invalid("token: has characters that no token has; read it from its file")
            })?;
        bearer.set_sensitive(true);
        let channel = Channel::from_shared(url.clone())
            .map_err(|e| Error::invalid(format!("address {url:?}: {e}; wants http://HOST:PORT")))?
            .connect_timeout(options.connect_timeout)
            .http2_keep_alive_interval(options.answer_timeout)
            .keep_alive_timeout(options.answer_timeout)
            .tcp_nodelay(true)
            .connect()
            .await
            .map_err(|e| no_node(url, &e))?;
        let stub = NodeClient::with_interceptor(channel, Bearer(bearer))
            .max_encoding_message_size(REQUEST_BYTES_MAX)
            .max_decoding_message_size(REPLY_BYTES_MAX);
        let actions = Registry::new(actions()).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Self { stub, options, key, session: Mutex::default(), actions })
    }

    /// The public half of the key that signs, if there is one.
    pub fn author(&self) -> Option<PublicKey> {
        self.key.as_ref().map(SecretKey::public)
    }

    /// Runs an operation. A replicated action is signed here if there is a key.
    ///
    /// Tries again while the node cannot serve: queries and what is signed always, an action in
    /// the name of a token only when the node says that it did not begin.
    ///
    /// # Errors
    /// What the operation says.
    pub async fn call(&self, operation: &str, input: Value, read: Freshness) -> Result<Value> {
        if let (Some(_), Ok(action)) = (&self.key, self.actions.resolve(operation)) {
            return self.sign_and_run(action, input).await;
        }
        let again = if operation.starts_with("query:") { is_passing } else { was_not_begun };
        self.call_remote(operation, &input, read, again).await
    }

    async fn sign_and_run(&self, action: &Operation, input: Value) -> Result<Value> {
        debug_assert_eq!(action.descriptor().kind, OperationKind::Action);
        action.render(&self.submit(action.plan(input)?).await?)
    }

    pub(crate) async fn call_remote(
        &self,
        operation: &str,
        input: &Value,
        read: Freshness,
        again: fn(&Error) -> bool,
    ) -> Result<Value> {
        let request = rpc::CallRequest {
            operation: operation.to_owned(),
            input_json: input.to_string(),
            read_json: json!(read).to_string(),
        };
        let attempt = || async {
            let mut stub = self.stub.clone();
            let reply = self.answer(stub.call(request.clone())).await?;
            serde_json::from_str(&reply.output_json)
                .map_err(|e| Error::internal(format!("answer to {operation}: not JSON: {e}")))
        };
        retry(self.options.retry, again, attempt).await.answer
    }

    /// Signs `instructions` and submits them in one entry; one outcome each, in order. Many may be
    /// under way at once. Each stands alone: look at every outcome.
    ///
    /// # Errors
    /// Why the realm refused all of them; or that the node did not answer in time, in which case
    /// their fate is unknown.
    pub async fn submit(&self, instructions: Vec<v1::Instruction>) -> Result<Vec<v1::Outcome>> {
        let key = self.key()?;
        check(&instructions)?;
        let session = self.session(key).await?;
        let (envelope, tried) = self.submit_in(&session, key, instructions).await?;
        // Nothing was or will be done in a session that was closed before the first try.
        let refused =
            tried.is_refused && matches!(&tried.answer, Err(error) if error.kind == Kind::NotFound);
        if !refused || self.is_open(&session).await? {
            return tried.answer;
        }
        self.forget(&session).await;
        let session = self.session(key).await?;
        let instructions = Batch::decode(&envelope)?.instructions;
        self.submit_in(&session, key, instructions).await?.1.answer
    }

    async fn submit_in(
        &self,
        session: &Arc<Session>,
        key: &SecretKey,
        instructions: Vec<v1::Instruction>,
    ) -> Result<(v1::Envelope, Tried<Vec<v1::Outcome>>)> {
        let count = instructions.len();
        let numbers = session.take(count).await;
        let envelope = session.sign(key, numbers.sequence, instructions);
        if let Err(error) = check_envelope(&envelope) {
            numbers.settle(Fate::Refused);
            return Err(error);
        }
        let Tried { answer, is_refused } = self.send(&envelope).await;
        let answer = answer.and_then(|outcomes| counted(outcomes, count));
        match &answer {
            Ok(_) => numbers.settle(Fate::Decided),
            Err(_) if is_refused => numbers.settle(Fate::Refused),
            Err(_) => numbers.settle(Fate::Unknown),
        }
        Ok((envelope, Tried { answer, is_refused }))
    }

    /// Sends the same envelope until the node decides.
    async fn send(&self, envelope: &v1::Envelope) -> Tried<Vec<v1::Outcome>> {
        let attempt = || async {
            let mut stub = self.stub.clone();
            let reply = self.answer(stub.submit(envelope.clone())).await?;
            match reply.failure {
                Some(failure) => Err(Error::from(&failure)),
                None => Ok(reply.outcomes),
            }
        };
        retry(self.options.retry, is_passing, attempt).await
    }

    /// Opens a stream with a session of its own, for many batches in flight.
    ///
    /// # Errors
    /// When no session can be opened.
    pub async fn submit_stream(&self) -> Result<SubmitStream> {
        let key = self.key()?;
        let session = self.open_session(key, "stream").await?;
        Ok(stream::start(self.stub.clone(), self.options, key.clone(), session))
    }

    /// Describes all operations of the node.
    ///
    /// # Errors
    /// What `query:operation.list.v1` says.
    pub async fn operations(&self) -> Result<Vec<Descriptor>> {
        let read = Freshness::Local;
        let output = self.call_remote(Descriptors::LIST, &json!({}), read, is_passing).await?;
        serde_json::from_value::<Descriptors>(output)
            .map(|listed| listed.operations)
            .map_err(|e| Error::internal(format!("answer to {}: {e}", Descriptors::LIST)))
    }

    /// Entries of the log from index `from` on (0: from the first that is kept); with `follow`,
    /// without end.
    ///
    /// # Errors
    /// When the node refuses; later errors are in the stream, which ends with them.
    pub async fn log(
        &self,
        from: u64,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<rpc::LogEntry>>> {
        let mut stub = self.stub.clone();
        let request = rpc::LogRequest { from, limit: 0, follow };
        Ok(results(self.answer(stub.log(request)).await?))
    }

    /// Events from index `from` on (0: from now on), of `program` and `topic` unless empty.
    ///
    /// # Errors
    /// When the node refuses; later errors are in the stream, which ends with them.
    pub async fn events(
        &self,
        from: u64,
        program: &str,
        topic: &str,
    ) -> Result<BoxStream<'static, Result<rpc::EventAt>>> {
        let mut stub = self.stub.clone();
        let (program, topic) = (program.to_owned(), topic.to_owned());
        let request = rpc::EventsRequest { from, program, topic };
        Ok(results(self.answer(stub.events(request)).await?))
    }

    /// Waits for an answer, but not for ever.
    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.options.answer_timeout, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner).map_err(|e| from_status(&e)),
            Err(_) => Err(no_answer(self.options.answer_timeout)),
        }
    }

    fn key(&self) -> Result<&SecretKey> {
        self.key.as_ref().ok_or_else(|| {
            Error::invalid("client: has no key to sign with; name one, or use an operation")
        })
    }

    /// The session of single submits. Opened once, however many ask for it at the same time.
    async fn session(&self, key: &SecretKey) -> Result<Arc<Session>> {
        let mut slot = self.session.lock().await;
        if let Some(session) = slot.as_ref().filter(|session| !session.has_gap()) {
            return Ok(Arc::clone(session));
        }
        let session = self.open_session(key, "client").await?;
        Ok(Arc::clone(slot.insert(session)))
    }

    /// Drops `session` unless somebody else has replaced it.
    async fn forget(&self, session: &Session) {
        let mut slot = self.session.lock().await;
        if slot.as_ref().is_some_and(|current| current.number == session.number) {
            *slot = None;
        }
    }

    /// Opens a session. Another client of this key may take the number first: then the next one.
    /// The label is like no other, or both would be told of the same session.
    async fn open_session(&self, key: &SecretKey, label: &str) -> Result<Arc<Session>> {
        let author = key.public();
        let realm = self.realm().await?;
        let label = format!("{label} {:016x}", rand::random::<u64>());
        let mut last = None;
        for _ in 0..SESSION_OPEN_TRIES {
            let sequence = self.sessions(&author).await?.next_open;
            let instructions = vec![instructions::session_open(label.as_str())];
            let batch = Batch { realm, author, session: 0, sequence, instructions };
            match self.send(&sign(key, batch)).await.answer.and_then(opened) {
                Ok(number) => return Ok(Session::new(realm, author, number)),
                Err(error) if error.kind == Kind::Conflict => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::conflict("session: could not be opened")))
    }

    async fn is_open(&self, session: &Session) -> Result<bool> {
        let open = self.sessions(&session.author).await?.sessions;
        Ok(open.iter().any(|open| open.session == session.number))
    }

    async fn sessions(&self, author: &PublicKey) -> Result<session::ListOutput> {
        let input = json!(session::ListInput { author: Some(author.to_string()) });
        let read = Freshness::Linearizable;
        let output = self.call_remote(session::LIST, &input, read, is_passing).await?;
        serde_json::from_value(output)
            .map_err(|e| Error::internal(format!("answer to {}: {e}", session::LIST)))
    }

    async fn realm(&self) -> Result<RealmId> {
        const STATUS: &str = "query:realm.status.v1";
        let status = self.call_remote(STATUS, &json!({}), Freshness::Local, is_passing).await?;
        status["realm"]
            .as_str()
            .ok_or_else(|| Error::internal(format!("answer to {STATUS}: has no realm")))?
            .parse()
    }
}

/// The number of the session that an outcome says was opened.
fn opened(outcomes: Vec<v1::Outcome>) -> Result<u64> {
    let outcome = counted(outcomes, 1)?.pop().unwrap_or_default();
    match outcome.result {
        Some(v1::outcome::Result::Output(bytes)) => v1::SessionOpened::decode(bytes.as_slice())
            .map(|opened| opened.session)
            .map_err(|e| Error::internal(format!("output of sys/session_open: {e}"))),
        Some(v1::outcome::Result::Failure(failure)) => Err(Error::from(&failure)),
        None => Err(Error::internal("outcome of sys/session_open: is empty")),
    }
}

pub(crate) fn counted(outcomes: Vec<v1::Outcome>, count: usize) -> Result<Vec<v1::Outcome>> {
    if outcomes.len() == count {
        return Ok(outcomes);
    }
    Err(Error::internal(format!("{count} instructions have {} outcomes", outcomes.len())))
}

/// Refuses here what the node would refuse: no number is used up for it.
pub(crate) fn check(instructions: &[v1::Instruction]) -> Result<()> {
    let count = instructions.len();
    if count == 0 || count > limits::BATCH_PAYLOADS_MAX {
        return Err(Error::invalid(format!(
            "batch of {count} instructions: wants 1 to {}",
            limits::BATCH_PAYLOADS_MAX
        )));
    }
    instructions.iter().try_for_each(v1::Instruction::check)
}

pub(crate) fn check_envelope(envelope: &v1::Envelope) -> Result<()> {
    let size = envelope.encoded_len();
    if size <= limits::ENVELOPE_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "envelope of {size} bytes: the limit is {}; send fewer instructions at once",
        limits::ENVELOPE_BYTES_MAX
    )))
}

pub(crate) fn no_answer(waited: Duration) -> Error {
    Error::unavailable(format!("node: no answer within {} ms", waited.as_millis()))
}

fn no_node(url: &str, error: &tonic::transport::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Error::unavailable(format!("node at {url}: {cause}; start it with `althing up`"))
}

fn results<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> BoxStream<'static, Result<T>> {
    stream.map(|item| item.map_err(|status| from_status(&status))).boxed()
}
