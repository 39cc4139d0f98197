//! The listener: connections, their limits and their end.

mod grpc;
mod guard;
mod http;
mod refusal;

use crate::host::Host;
use axum::Router;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Service;

/// Streams of one HTTP/2 connection at once.
const HTTP2_STREAMS_MAX: u32 = 512;
/// Head of a request: names and values, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How often an HTTP/2 client must show that it is there.
const HTTP2_PING: Duration = Duration::from_secs(30);
/// A listener that cannot accept (too many open files) tries again after this.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// The answer to one connection too many.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 0\r\n\r\n";

/// Serves until the node stops, then waits for requests under way.
pub(crate) async fn run(listener: TcpListener, address: SocketAddr, host: Arc<Host>) {
    let settings = &host.settings.http;
    let server = Server {
        router: router(&host, address),
        builder: builder(Duration::from_millis(settings.head_timeout_ms)),
        head_timeout: Duration::from_millis(settings.head_timeout_ms),
    };
    let room = Arc::new(Semaphore::new(settings.connections_max));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = host.stopping.cancelled() => break,
        };
        match (accepted, Arc::clone(&room).try_acquire_owned()) {
            (Ok((stream, _)), Ok(place)) => {
                let (server, watcher) = (server.clone(), graceful.watcher());
                let host = Arc::clone(&host);
                connections.spawn(async move {
                    host.metrics.connections.inc();
                    server.serve(stream, watcher).await;
                    host.metrics.connections.dec();
                    drop(place);
                });
            }
            (Ok((stream, _)), Err(_)) => {
                host.metrics.connections_refused.inc();
                refuse(stream);
            }
            (Err(error), _) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    let patience = Duration::from_millis(settings.shutdown_timeout_ms);
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end in time; cut off");
    }
    connections.shutdown().await;
}

fn router(host: &Arc<Host>, address: SocketAddr) -> Router {
    let router = http::routes(Arc::clone(host)).merge(grpc::routes(Arc::clone(host)));
    guard::protect(router, Arc::clone(host), address)
}

fn builder(head_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(HTTP2_PING);
    builder
}

/// Says so and hangs up, without waiting for anything.
fn refuse(stream: TcpStream) {
    let _ = stream.try_write(FULL);
    tokio::spawn(async move {
        let mut stream = stream;
        let _ = tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await;
    });
}

#[derive(Clone)]
struct Server {
    router: Router,
    builder: Builder<TokioExecutor>,
    head_timeout: Duration,
}

impl Server {
    /// Serves one connection. One that has not sent a whole first request in time is closed: the
    /// builder's own timeout begins only once it is known which HTTP is spoken.
    async fn serve(self, stream: TcpStream, watcher: Watcher) {
        let _ = stream.set_nodelay(true);
        let asked = Arc::new(AtomicBool::new(false));
        let service = Noting { router: self.router, asked: Arc::clone(&asked) };
        let service = TowerToHyperService::new(service);
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let mut connection = std::pin::pin!(watcher.watch(connection));
        let served = tokio::select! {
            served = &mut connection => served,
            () = tokio::time::sleep(self.head_timeout) => {
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// Notes that a request has come.
#[derive(Clone)]
struct Noting {
    router: Router,
    asked: Arc<AtomicBool>,
}

impl<B> Service<Request<B>> for Noting
where
    Router: Service<Request<B>>,
{
    type Response = <Router as Service<Request<B>>>::Response;
    type Error = <Router as Service<Request<B>>>::Error;
    type Future = <Router as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.router.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        self.router.call(request)
    }
}
