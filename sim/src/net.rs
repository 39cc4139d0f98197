//! The network between simulated nodes: the log's messages in frames over turmoil's TCP.

use crate::power::Power;
use crate::replica::Replica;
use crate::runtime::Runtime;
use crate::trace::Trace;
use althing_log::{SnapshotFile, Transport};
use bytes::Bytes;
use futures::future::{AbortHandle, Abortable};
use futures::stream::{BoxStream, SplitSink};
use futures::{SinkExt, StreamExt};
use openraft_rt::AsyncRuntime;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use turmoil::net::TcpStream;

/// The port that every node listens on.
pub(crate) const PORT: u16 = 4100;
/// A machine that does not answer within this cannot be reached.
const CONNECT: Duration = Duration::from_millis(500);
/// A snapshot that is not received and installed within this has got stuck.
const SNAPSHOT: Duration = Duration::from_secs(3);
/// Snapshots travel in pieces, so that a broken connection breaks them.
const PIECE_BYTES: usize = 2_048;

/// What a connection is for: its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One message to the log, and its answer.
    Call,
    /// Messages to the log, and their answers.
    Exchange,
    /// An offer, the bytes of a snapshot, and an empty frame.
    Snapshot,
    /// One request of a client, and its answer.
    Client,
    /// Up to where a read must see, asked of the leader.
    Index,
}

impl Purpose {
    const ALL: [Self; 5] = [Self::Call, Self::Exchange, Self::Snapshot, Self::Client, Self::Index];
}

/// Which machine each Raft id lives on.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressBook(Arc<Mutex<BTreeMap<u64, usize>>>);

impl AddressBook {
    pub(crate) fn set(&self, node: u64, machine: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, machine);
    }

    pub(crate) fn machine(&self, node: u64) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }
}

/// The name of a machine in the network.
pub(crate) fn host(machine: usize) -> String {
    format!("m{machine}")
}

/// A connection, in frames.
pub(crate) struct Connection {
    frames: Framed<TcpStream, LengthDelimitedCodec>,
    /// Of the machine at this end; clients have none.
    power: Option<Power>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, power: Option<Power>) -> Self {
        Self { frames: Framed::new(stream, LengthDelimitedCodec::new()), power }
    }

    /// Connects to a machine and says what for, who asks, and whom.
    pub(crate) async fn open(
        machine: usize,
        purpose: Purpose,
        (from, to): (u64, u64),
        power: Option<Power>,
    ) -> io::Result<Self> {
        let connecting = TcpStream::connect((host(machine), PORT));
        let stream = Runtime::timeout(CONNECT, connecting).await.map_err(late)??;
        let mut connection = Self::new(stream, power);
        let hello = [&[purpose as u8][..], &from.to_le_bytes(), &to.to_le_bytes()].concat();
        connection.send(hello.into()).await?;
        Ok(connection)
    }

    /// The first frame: what the connection is for, who asks, and whom.
    pub(crate) async fn greeted(&mut self) -> io::Result<(Purpose, u64, u64)> {
        let hello = self.receive().await?;
        let greeting = || {
            let (purpose, ids) = hello.split_first()?;
            let purpose = Purpose::ALL.into_iter().find(|known| *known as u8 == *purpose)?;
            let (from, to) = ids.split_first_chunk()?;
            let to = to.try_into().ok()?;
            Some((purpose, u64::from_le_bytes(*from), u64::from_le_bytes(to)))
        };
        greeting().ok_or_else(|| io::Error::other("unknown greeting"))
    }

    /// A machine without power sends nothing, and waits for its end.
    pub(crate) async fn send(&mut self, frame: Bytes) -> io::Result<()> {
        if self.power.as_ref().is_some_and(|power| !power.is_on()) {
            return std::future::pending().await;
        }
        self.frames.send(frame).await
    }

    pub(crate) async fn receive(&mut self) -> io::Result<Bytes> {
        let frame = self.frames.next().await.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(frame?.freeze())
    }

    pub(crate) async fn ask(&mut self, request: Bytes) -> io::Result<Bytes> {
        self.send(request).await?;
        self.receive().await
    }

    /// Both directions, apart.
    pub(crate) fn split(self) -> (Outgoing, BoxStream<'static, io::Result<Bytes>>) {
        let (sink, incoming) = self.frames.split();
        (Outgoing { sink, power: self.power }, incoming.map(|frame| Ok(frame?.freeze())).boxed())
    }

    /// Frames out of `frames`, and those that come in. The task that sends ends with the stream.
    fn exchange(
        self,
        mut frames: BoxStream<'static, Bytes>,
    ) -> BoxStream<'static, io::Result<Bytes>> {
        let (mut outgoing, incoming) = self.split();
        let (abort, registration) = AbortHandle::new_pair();
        let send = async move {
            while let Some(frame) = frames.next().await {
                if outgoing.send(frame).await.is_err() {
                    return;
                }
            }
        };
        Runtime::spawn(Abortable::new(send, registration));
        let guard = AbortOnDrop(abort);
        let guarded = incoming.inspect(move |_| {
            let _ = &guard;
        });
        guarded.boxed()
    }
}

/// The direction away from here.
pub(crate) struct Outgoing {
    sink: SplitSink<Framed<TcpStream, LengthDelimitedCodec>, Bytes>,
    power: Option<Power>,
}

impl Outgoing {
    pub(crate) async fn send(&mut self, frame: Bytes) -> io::Result<()> {
        if self.power.as_ref().is_some_and(|power| !power.is_on()) {
            return std::future::pending().await;
        }
        self.sink.send(frame).await
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How a simulated node reaches the others.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) from: u64,
    pub(crate) book: AddressBook,
    pub(crate) power: Power,
    pub(crate) replica: Arc<Replica>,
    pub(crate) trace: Trace,
}

impl Wire {
    async fn open(&self, to: u64, purpose: Purpose) -> io::Result<Connection> {
        let unknown = || io::Error::other(format!("node {to} has no address"));
        let machine = self.book.machine(to).ok_or_else(unknown)?;
        let power = Some(self.power.clone());
        let opened = Connection::open(machine, purpose, (self.from, to), power).await;
        let what = match &opened {
            Ok(_) => format!("{purpose:?} to node {to}"),
            Err(error) => format!("{purpose:?} to node {to}: {error}"),
        };
        self.trace.detail(self.from, what);
        opened
    }
}

impl Transport for Wire {
    async fn call(&self, to: u64, message: Bytes, deadline: Duration) -> io::Result<Bytes> {
        let call = async {
            let mut connection = self.open(to, Purpose::Call).await?;
            connection.ask(message).await
        };
        Runtime::timeout(deadline, call).await.map_err(late)?
    }

    async fn exchange(
        &self,
        to: u64,
        frames: BoxStream<'static, Bytes>,
    ) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        Ok(self.open(to, Purpose::Exchange).await?.exchange(frames))
    }

    async fn snapshot(&self, to: u64, offer: Bytes, file: SnapshotFile) -> io::Result<Bytes> {
        let bytes = self.replica.snapshot_bytes(&file.position)?;
        // The log waits as long as bytes move; that they do is for the transport to see.
        let sending = async {
            let mut connection = self.open(to, Purpose::Snapshot).await?;
            connection.send(offer).await?;
            for piece in bytes.chunks(PIECE_BYTES) {
                connection.send(Bytes::copy_from_slice(piece)).await?;
            }
            connection.ask(Bytes::new()).await
        };
        Runtime::timeout(SNAPSHOT, sending).await.map_err(late)?
    }
}

fn late(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, error.to_string())
}
