//! Letting connections in.

use crate::{
    Peer,
    greeting::{self, Greeting, GreetingError, Verdict},
    limits,
    link::Link,
    pulse::Watched,
    shared::Shared,
    source::Source,
    tls::{self, TlsStream},
};
use althing_protocol::{Error, PublicKey};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// After the system could not accept: it has no descriptors left, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the node stops.
pub(crate) async fn listen(shared: Arc<Shared>, listener: TcpListener, acceptor: TlsAcceptor) {
    let handshakes = Arc::new(Semaphore::new(limits::HANDSHAKES_MAX));
    let mut crowd = Crowd::default();
    while let Ok(of_all) = handshakes.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((tcp, from)) => {
                let Some(of_source) = crowd.enter(from.into()) else {
                    refused(&shared, from, &Refusal::Crowd);
                    continue;
                };
                let (shared, acceptor) = (shared.clone(), acceptor.clone());
                shared.clone().tasks.spawn(async move {
                    let places = [of_all, of_source];
                    if let Err(refusal) = receive(&shared, &acceptor, tcp, from, places).await {
                        refused(&shared, from, &refusal);
                    }
                });
            }
            Err(error) => {
                shared.notices.say(format_args!("cannot accept connections from nodes: {error}"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn refused(shared: &Shared, from: SocketAddr, refusal: &Refusal) {
    shared.notices.say(format_args!("refused a connection from {from}: {refusal}"));
}

/// How many have not yet proven a key, by where they come from.
#[derive(Default)]
struct Crowd(HashMap<Source, Arc<Semaphore>>);

impl Crowd {
    /// A place for one more; `None` when its source has all that it may have.
    fn enter(&mut self, source: Source) -> Option<OwnedSemaphorePermit> {
        self.0.retain(|_, places| Arc::strong_count(places) > 1);
        let places = || Arc::new(Semaphore::new(limits::HANDSHAKES_PER_SOURCE_MAX));
        self.0.entry(source).or_insert_with(places).clone().try_acquire_owned().ok()
    }
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{} others from there have not yet proven a key", limits::HANDSHAKES_PER_SOURCE_MAX)]
    Crowd,
    #[error("TLS: {0}")]
    Tls(#[from] io::Error),
    #[error("it proved no key")]
    Nobody,
    #[error("node {0}: {1}")]
    Greeting(PublicKey, GreetingError),
    #[error("node {0}: {1}")]
    Unwelcome(PublicKey, Error),
    #[error("it proved no key within {:?}", limits::HANDSHAKE_MAX)]
    Slow,
}

/// A connection whose other side proved a key, and greeted.
struct Visitor {
    key: PublicKey,
    boot: u64,
    stream: TlsStream,
}

/// Lets one connection in, and runs it until it ends.
async fn receive(
    shared: &Arc<Shared>,
    acceptor: &TlsAcceptor,
    tcp: TcpStream,
    from: SocketAddr,
    places: [OwnedSemaphorePermit; 2],
) -> Result<(), Refusal> {
    let visitor = timeout(limits::HANDSHAKE_MAX, introduce(shared, acceptor, tcp));
    let Some(visitor) = shared.stop.run_until_cancelled(visitor).await else { return Ok(()) };
    let Visitor { key, boot, mut stream } = visitor.map_err(|_| Refusal::Slow)??;
    let peer = Peer { key, address: from.to_string() };
    let source = from.into();
    let mut made = None;
    let make = |traffic| {
        let (pulse, over) = (stream.get_ref().0.pulse(), shared.stop.child_token());
        let (link, undriven) = Link::new(peer.clone(), boot, Some(source), pulse, traffic, over);
        made = Some((link.clone(), undriven));
        link
    };
    let verdict = shared.table().accept(&peer, source, boot, &*shared.handler, make);
    let said = answer(shared, &mut stream, verdict.clone()).await;
    drop(places);
    match (verdict, made) {
        (Verdict::Welcome, Some((link, undriven))) if said => {
            shared.drive(link, stream, undriven).await;
        }
        (_, Some((link, _undriven))) => {
            link.cut("it went away before it was welcomed");
            shared.table().lost(&link, Instant::now(), &*shared.handler);
        }
        (Verdict::Refused(error), None) => return Err(Refusal::Unwelcome(key, error)),
        (_, None) => {}
    }
    Ok(())
}

/// Finds out who it is.
async fn introduce(
    shared: &Shared,
    acceptor: &TlsAcceptor,
    tcp: TcpStream,
) -> Result<Visitor, Refusal> {
    tcp.set_nodelay(true)?;
    let stream = acceptor.accept(Watched::new(tcp)).await?;
    let key = tls::peer_key(stream.get_ref().1).ok_or(Refusal::Nobody)?;
    let mut stream = TlsStream::from(stream);
    match greeting::read(&mut stream).await {
        Ok(greeting) => Ok(Visitor { key, boot: greeting.boot, stream }),
        Err(error) => {
            let text = format!("node {key}: {error}");
            answer(shared, &mut stream, Verdict::Refused(Error::unavailable(text))).await;
            Err(Refusal::Greeting(key, error))
        }
    }
}

/// Says it; whether that was possible.
async fn answer(shared: &Shared, stream: &mut TlsStream, verdict: Verdict) -> bool {
    let stays = verdict == Verdict::Welcome;
    let said = async {
        greeting::write(stream, &Greeting { boot: shared.boot, verdict }).await?;
        if stays { Ok(()) } else { stream.shutdown().await }
    };
    timeout(limits::CLOSE_MAX, said).await.is_ok_and(|said| said.is_ok())
}
