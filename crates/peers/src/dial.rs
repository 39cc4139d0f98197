//! Making a connection.

use crate::{
    Peer,
    greeting::{self, Greeting, GreetingError, Verdict},
    limits,
    link::Link,
    pulse::Watched,
    shared::Shared,
    table::Dial,
    tls::{self, TlsStream},
};
use althing_protocol::Error;
use std::{sync::Arc, time::Instant};
use tokio::{net::TcpStream, time::timeout};

/// Dials `to`, tells the table, and runs the connection until it ends.
pub(crate) async fn dial(shared: Arc<Shared>, to: Peer, dial: Dial) {
    let greeted = timeout(limits::HANDSHAKE_MAX, greet(&shared, &to, dial.id));
    let failure = match dial.stop.run_until_cancelled(greeted).await {
        Some(Ok(Ok(Some((stream, answer))))) => match answer.verdict {
            Verdict::Welcome => return connected(&shared, &to, dial, stream, answer.boot).await,
            Verdict::Yield => {
                dial.stop.run_until_cancelled(tokio::time::sleep(limits::YIELD_MAX)).await;
                unreachable(&to, "it said that it connects to this node, and did not")
            }
            Verdict::Refused(error) => error,
        },
        Some(Ok(Err(error))) => error,
        Some(Err(_)) => unreachable(&to, &format!("no answer in {:?}", limits::HANDSHAKE_MAX)),
        // Of use to those who wait only when the node stops; else they have a connection.
        Some(Ok(Ok(None))) | None => unreachable(&to, "this node stops"),
    };
    tracing::debug!(peer = %to.key, address = to.address, %failure, "dialling failed");
    shared.table().failed(&to.key, dial.id, Instant::now(), failure);
}

async fn connected(shared: &Arc<Shared>, to: &Peer, dial: Dial, stream: TlsStream, boot: u64) {
    let over = shared.stop.child_token();
    let pulse = stream.get_ref().0.pulse();
    let (link, undriven) = Link::new(to.clone(), boot, None, pulse, dial.traffic, over);
    if shared.table().dialled(dial.id, &link) {
        shared.drive(link, stream, undriven).await;
    }
}

/// Comes to the answer to a greeting; `None` when there is a connection already.
async fn greet(
    shared: &Shared,
    to: &Peer,
    id: u64,
) -> Result<Option<(TlsStream, Greeting)>, Error> {
    let tcp = TcpStream::connect(&to.address).await.map_err(|e| unreachable(to, &e.to_string()))?;
    tcp.set_nodelay(true).map_err(|e| unreachable(to, &e.to_string()))?;
    let (connector, verifier) = shared.identity.connector(to.key)?;
    let stream = connector.connect(tls::server_name(), Watched::new(tcp)).await;
    let mut stream = stream.map(TlsStream::from).map_err(|e| match verifier.stranger() {
        Some(other) => unreachable(
            to,
            &format!(
                "the machine at {} has the key {other}, not {}; its address or its key has changed",
                to.address, to.key
            ),
        ),
        None => unreachable(to, &format!("the machine at {} refused TLS: {e}", to.address)),
    })?;
    if !shared.table().greet(&to.key, id) {
        return Ok(None);
    }
    let hello = Greeting { boot: shared.boot, verdict: Verdict::Welcome };
    let answer = async {
        greeting::write(&mut stream, &hello).await?;
        greeting::read(&mut stream).await
    };
    let answer = answer.await.map_err(|e: GreetingError| unreachable(to, &e.to_string()))?;
    Ok(Some((stream, answer)))
}

/// The node was not reached; another may be, or this one later.
pub(crate) fn unreachable(to: &Peer, reason: &str) -> Error {
    Error::unavailable(format!("node {} at {}: {reason}", to.key, to.address))
}
