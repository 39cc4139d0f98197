//! HTTP: JSON in and out, the log as NDJSON, events as SSE.

use super::refusal::{self, Refusal};
use crate::feed::{EventAt, EventFeed, LogFeed, LogQuery, Start, stream_of};
use crate::host::{Host, head};
use crate::metrics;
use althing_operations::{Caller, Descriptors, Freshness, text::decode_base64};
use althing_protocol::{Batch, Error, Result, decode, json, v1};
use althing_realm::{show_entry, show_event, show_outcome};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures::stream::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

const NDJSON: &str = "application/x-ndjson";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const LAST_EVENT_ID: &str = "last-event-id";

type Reply<T> = Result<T, Refusal>;

/// All that is served over HTTP.
pub(crate) fn routes(host: Arc<Host>) -> Router {
    Router::new()
        .route("/v1/call", post(call))
        .route("/v1/submit", post(submit))
        .route("/v1/operations", get(operations))
        .route("/v1/log", get(log))
        .route("/v1/events", get(events))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_path)
        .with_state(host)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallRequest {
    operation: String,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    read: Freshness,
}

async fn call(
    State(host): State<Arc<Host>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Reply<Json<Value>> {
    let request: CallRequest = from_json(&read_body(&host, body).await?)?;
    let output = host.call(caller, &request.operation, request.input, request.read).await?;
    Ok(Json(json!({ "output": output })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubmitRequest {
    envelope_base64: String,
}

/// An encoded envelope, or JSON with one in base64, for who signs but does not speak gRPC.
async fn submit(
    State(host): State<Arc<Host>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Reply<Json<Value>> {
    let body = read_body(&host, body).await?;
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let bytes = if is_json {
        let request: SubmitRequest = from_json(&body)?;
        decode_base64("envelope_base64", &request.envelope_base64)?
    } else {
        body.to_vec()
    };
    let envelope: v1::Envelope = decode("envelope", &bytes)?;
    let instructions = Batch::decode(&envelope)?.instructions;
    let head = head(&envelope);
    let outcomes = host.submit(&caller, envelope, head.as_ref()).await?;
    let shown: Vec<_> =
        instructions.iter().zip(outcomes).map(|(asked, gave)| show_outcome(asked, gave)).collect();
    Ok(Json(json!({ "outcomes": shown })))
}

async fn operations(
    State(host): State<Arc<Host>>,
    Extension(caller): Extension<Caller>,
) -> Reply<Json<Value>> {
    let listed = host.call(caller, Descriptors::LIST, json!({}), Freshness::Local).await?;
    Ok(Json(listed))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogParameters {
    #[serde(default)]
    from: u64,
    limit: Option<u64>,
    #[serde(default, deserialize_with = "flag")]
    follow: bool,
}

/// A line an entry. An error on the way is the last line.
async fn log(
    State(host): State<Arc<Host>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Reply<Response> {
    let LogParameters { from, limit, follow } = parameters(&uri)?;
    let feed = LogFeed::open(
        &host,
        caller,
        LogQuery { from, limit: limit.filter(|limit| *limit > 0), follow },
    )?;
    let entries = stream_of(feed, |feed| Box::pin(next_line(feed)));
    let lines = entries.map(|line| {
        let line = line.unwrap_or_else(|error| json!({ "error": refusal::shown(&error) }));
        Ok::<_, Infallible>(Bytes::from(format!("{line}\n")))
    });
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

async fn next_line(feed: &mut LogFeed) -> Result<Option<Value>> {
    let entry = feed.next().await?.as_ref().map(show_entry).transpose()?;
    let shown = entry.map(serde_json::to_value).transpose();
    shown.map_err(|error| Error::internal(format!("showing an entry: {error}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventParameters {
    program: Option<String>,
    topic: Option<String>,
    from: Option<u64>,
}

/// An event's id is INDEX.POSITION; a browser that reconnects sends the last one it saw.
async fn events(
    State(host): State<Arc<Host>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    uri: Uri,
) -> Reply<Response> {
    let EventParameters { program, topic, from } = parameters(&uri)?;
    let start = match (headers.get(LAST_EVENT_ID), from) {
        (Some(id), _) => last_event(id.to_str().unwrap_or_default())?,
        (None, Some(index)) => Start::Entry(index),
        (None, None) => Start::Now,
    };
    let feed = EventFeed::open(&host, caller, start, program, topic)?;
    let events = stream_of(feed, |feed| Box::pin(feed.next()));
    let events = events.map(|event| Ok::<_, Infallible>(event.map_or_else(sse_error, sse_event)));
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

fn sse_event(at: EventAt) -> Event {
    let id = format!("{}.{}", at.index, at.position);
    let shown = serde_json::to_string(&show_event(at.event)).unwrap_or_default();
    Event::default().id(id).data(shown)
}

fn sse_error(error: Error) -> Event {
    Event::default().event("error").data(json!({ "error": refusal::shown(&error) }).to_string())
}

fn last_event(id: &str) -> Result<Start> {
    let parsed = id.split_once('.').and_then(|(index, position)| {
        Some(Start::After { index: index.parse().ok()?, position: position.parse().ok()? })
    });
    parsed.ok_or_else(|| {
        Error::invalid(format!(
            "{LAST_EVENT_ID} {id:?}: is no id of an event; ids are INDEX.POSITION"
        ))
    })
}

async fn metrics(State(host): State<Arc<Host>>) -> Reply<Response> {
    let text = off_reactor(move || metrics::render(&host)).await??;
    Ok(([(header::CONTENT_TYPE, METRICS)], text).into_response())
}

/// The process lives.
async fn healthz() -> Json<Value> {
    Json(json!({ "ok": true }))
}

/// The node takes requests, or why not.
async fn readyz(State(host): State<Arc<Host>>) -> Reply<Json<Value>> {
    match off_reactor(move || host.not_ready()).await? {
        None => Ok(Json(json!({ "ok": true }))),
        Some(error) => Err(error.into()),
    }
}

/// A status may have to be read from the disk.
async fn off_reactor<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let failed = |error| Error::internal(format!("status: {error}"));
    tokio::task::spawn_blocking(read).await.map_err(failed)
}

async fn wrong_method(uri: Uri) -> Refusal {
    let error = Error::invalid(format!(
        "{}: does not take this method; /v1/call and /v1/submit take POST, all others GET",
        uri.path()
    ));
    Refusal::with_status(error, StatusCode::METHOD_NOT_ALLOWED)
}

async fn no_such_path(uri: Uri) -> Refusal {
    Error::not_found(format!(
        "path {:?}: nothing is there; GET /v1/operations lists what POST /v1/call can do",
        uri.path()
    ))
    .into()
}

/// A body that is small enough and comes in time.
async fn read_body(host: &Host, body: Body) -> Reply<Bytes> {
    let patience_ms = host.settings.http.body_timeout_ms;
    let limit = althing_rpc::REQUEST_BYTES_MAX;
    let read = tokio::time::timeout(Duration::from_millis(patience_ms), to_bytes(body, limit));
    match read.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Refusal::with_status(
            Error::invalid(format!("body: cut off, or over the limit of {limit} bytes; send less")),
            StatusCode::PAYLOAD_TOO_LARGE,
        )),
        Err(_) => Err(Refusal::with_status(
            Error::invalid(format!("body: did not come within {patience_ms} ms; send it faster")),
            StatusCode::REQUEST_TIMEOUT,
        )),
    }
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let refused = |error: serde_json::Error| Error::invalid(format!("body: {error}"));
    // Where the text is no JSON at all, this says; the other reader refuses what has two meanings.
    serde_json::from_slice::<IgnoredAny>(body).map_err(refused)?;
    serde_json::from_value(json::read("body", body)?).map_err(refused)
}

fn parameters<T: DeserializeOwned>(uri: &Uri) -> Result<T> {
    Query::try_from_uri(uri)
        .map(|Query(parameters)| parameters)
        .map_err(|error| Error::invalid(format!("parameters of {}: {error}", uri.path())))
}

/// `follow`, `follow=true` or `follow=1`.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(serde::de::Error::custom(format!("{other:?} is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parameters_of_the_log() {
        let of = |text: &'static str| parameters::<LogParameters>(&Uri::from_static(text));
        let given = of("/v1/log?from=7&limit=2&follow").unwrap();
        assert_eq!((given.from, given.limit, given.follow), (7, Some(2), true));
        assert!(!of("/v1/log?follow=0").unwrap().follow);
        for bad in ["/v1/log?follow=perhaps", "/v1/log?form=1", "/v1/log?from=-1"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_of_events() {
        assert_eq!(last_event("12.3").unwrap(), Start::After { index: 12, position: 3 });
        for bad in ["", "12", "12.", ".3", "12.3.4", "a.b", "-1.0"] {
            assert!(last_event(bad).is_err(), "{bad}");
        }
    }
}
