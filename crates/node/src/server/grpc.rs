//! gRPC: the service of `althing-rpc` over the same host.

use crate::feed::{EventFeed, LogFeed, LogQuery, Start, stream_of};
use crate::host::{Host, head};
use althing_operations::{Caller, Freshness};
use althing_protocol::{Error, Result, json, v1};
use althing_rpc::v1::{
    CallReply, CallRequest, EventAt, EventsRequest, LogEntry, LogRequest, SubmitReply,
};
use althing_rpc::{Node, NodeServer, to_status};
use axum::Router;
use futures::stream::{self, FuturesOrdered, Stream, StreamExt, TryStreamExt};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;
type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub(crate) fn routes(host: Arc<Host>) -> Router {
    let path = format!("/{}/{{*method}}", NodeServer::<Grpc>::NAME);
    Router::new().route_service(&path, althing_rpc::server(Grpc { host }))
}

struct Grpc {
    host: Arc<Host>,
}

#[tonic::async_trait]
impl Node for Grpc {
    async fn call(&self, request: Request<CallRequest>) -> Answer<CallReply> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let run = async {
            let input: Value = from_json("input_json", &request.input_json)?;
            let read: Option<Freshness> = from_json("read_json", &request.read_json)?;
            let read = read.unwrap_or_default();
            self.host.call(caller, &request.operation, input, read).await
        };
        let output = run.await.map_err(|error| to_status(&error))?;
        Ok(Response::new(CallReply { output_json: output.to_string() }))
    }

    async fn submit(&self, request: Request<v1::Envelope>) -> Answer<SubmitReply> {
        let caller = caller(&request)?;
        let reply = answer(&self.host, &caller, request.into_inner()).await;
        match reply.failure {
            Some(failure) => Err(to_status(&Error::from(&failure))),
            None => Ok(Response::new(reply)),
        }
    }

    type SubmitStreamStream = Outgoing<SubmitReply>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<v1::Envelope>>,
    ) -> Answer<Self::SubmitStreamStream> {
        let caller = caller(&request)?;
        let permit = self.host.admission.stream().map_err(|error| to_status(&error))?;
        let window = self.host.settings.limits.stream_window;
        let (replies, outgoing) = mpsc::channel(window);
        let host = Arc::clone(&self.host);
        tokio::spawn(async move {
            submit_all(host, caller, request.into_inner(), replies).await;
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    type LogStream = Outgoing<LogEntry>;

    async fn log(&self, request: Request<LogRequest>) -> Answer<Self::LogStream> {
        let caller = caller(&request)?;
        let LogRequest { from, limit, follow } = request.into_inner();
        let query = LogQuery { from, limit: (limit > 0).then_some(limit), follow };
        let feed = LogFeed::open(&self.host, caller, query).map_err(|error| to_status(&error))?;
        Ok(outgoing(stream_of(feed, |feed| Box::pin(next_entry(feed)))))
    }

    type EventsStream = Outgoing<EventAt>;

    async fn events(&self, request: Request<EventsRequest>) -> Answer<Self::EventsStream> {
        let caller = caller(&request)?;
        let EventsRequest { from, program, topic } = request.into_inner();
        let start = if from == 0 { Start::Now } else { Start::Entry(from) };
        let given = |text: String| (!text.is_empty()).then_some(text);
        let feed = EventFeed::open(&self.host, caller, start, given(program), given(topic))
            .map_err(|error| to_status(&error))?;
        Ok(outgoing(stream_of(feed, |feed| Box::pin(next_event(feed)))))
    }
}

/// Whom the guard let in.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request.extensions().get().cloned().ok_or_else(|| {
        to_status(&Error::internal("caller: the request did not come through the guard"))
    })
}

/// An empty text is JSON's null.
fn from_json<T: serde::de::DeserializeOwned>(field: &str, text: &str) -> Result<T> {
    let text = if text.is_empty() { "null" } else { text };
    let refused = |error: serde_json::Error| Error::invalid(format!("{field}: {error}"));
    // Where the text is no JSON at all, this says; the other reader refuses what has two meanings.
    serde_json::from_str::<IgnoredAny>(text).map_err(refused)?;
    serde_json::from_value(json::read(field, text.as_bytes())?).map_err(refused)
}

/// Submits one envelope. A refusal is an answer too.
async fn answer(host: &Host, caller: &Caller, envelope: v1::Envelope) -> SubmitReply {
    let head = head(&envelope);
    let mut reply = SubmitReply {
        session: head.as_ref().map_or(0, |head| head.session),
        sequence: head.as_ref().map_or(0, |head| head.sequence),
        ..Default::default()
    };
    match host.submit(caller, envelope, head.as_ref()).await {
        Ok(outcomes) => reply.outcomes = outcomes,
        Err(error) => reply.failure = Some((&error).into()),
    }
    reply
}

/// Submits all that comes, a window at once, and answers in the order of arrival.
///
/// Each submission takes its place in the channel of replies before it is read, so a client that
/// does not read its answers stops being read itself, while what is under way always ends. All run
/// in this task: they reach the realm in order.
async fn submit_all(
    host: Arc<Host>,
    caller: Caller,
    incoming: Streaming<v1::Envelope>,
    replies: mpsc::Sender<Result<SubmitReply, Status>>,
) {
    let arrivals = stream::unfold(incoming, |mut incoming| {
        let replies = replies.clone();
        async move {
            let place = replies.reserve_owned().await.ok()?;
            Some(((place, incoming.next().await?), incoming))
        }
    });
    let stopping = host.stopping.clone();
    let mut arrivals = std::pin::pin!(arrivals.take_until(stopping.cancelled()).fuse());
    let mut under_way = FuturesOrdered::new();
    loop {
        tokio::select! {
            Some((place, reply)) = under_way.next(), if !under_way.is_empty() => {
                let _: mpsc::Sender<_> = mpsc::OwnedPermit::send(place, Ok(reply));
            }
            arrived = arrivals.next(), if !arrivals.is_done() => match arrived {
                Some((place, Ok(envelope))) => {
                    let (host, caller) = (Arc::clone(&host), caller.clone());
                    under_way.push_back(async move {
                        let reply = match host.callers.knows(&caller) {
                            true => answer(&host, &caller, envelope).await,
                            false => refused(&crate::callers::revoked(&caller.name)),
                        };
                        (place, reply)
                    });
                }
                Some((place, Err(status))) => {
                    let _: mpsc::Sender<_> = place.send(Err(status));
                    return;
                }
                None => {}
            },
            else => return,
        }
    }
}

fn refused(error: &Error) -> SubmitReply {
    SubmitReply { failure: Some(error.into()), ..Default::default() }
}

fn outgoing<T: Send + 'static>(
    items: impl Stream<Item = Result<T>> + Send + 'static,
) -> Response<Outgoing<T>> {
    Response::new(Box::pin(items.map_err(|error| to_status(&error))))
}

async fn next_entry(feed: &mut LogFeed) -> Result<Option<LogEntry>> {
    let entry = feed.next().await?;
    Ok(entry.map(|entry| LogEntry {
        index: entry.index,
        term: entry.term,
        entry: entry.entry.unwrap_or_default(),
        result: entry.result.map(Into::into),
    }))
}

async fn next_event(feed: &mut EventFeed) -> Result<Option<EventAt>> {
    let at = feed.next().await?;
    Ok(at.map(|at| EventAt { index: at.index, position: at.position, event: Some(at.event) }))
}
