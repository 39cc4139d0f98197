//! One connection: who is on it, how streams are opened on it, and the task that drives it.
//!
//! The first stream carries signs of life: a byte from each side every [`limits::PING_INTERVAL`], so
//! that a side that hears nothing for [`limits::SILENCE_MAX`] knows that nothing gets through. All
//! other streams are calls and pipes.

use crate::{
    Handler, Peer, Standing,
    frame::{Reader, Writer},
    limits,
    pulse::Pulse,
    source::Source,
    tls::TlsStream,
    traffic::Traffic,
    wire::{Outlet, Wire},
};
use althing_protocol::{Error, PublicKey};
use std::{
    future::poll_fn,
    io,
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{
    compat::{Compat, FuturesAsyncReadCompatExt},
    sync::CancellationToken,
};

/// Streams that the multiplexer keeps track of before it gives a connection up: those of both sides,
/// and those that ended a moment ago. We wait, or refuse, before it comes to that.
const TRACKED_STREAMS_MAX: usize = 2 * limits::STREAMS_MAX + limits::SERVED_STREAMS_MAX;
/// The number of the first stream that the side which dialled opens.
const FIRST_ID: u32 = 1;
/// Streams that wait to be opened before those who want one wait themselves.
const OPENS_MAX: usize = 64;

type Opens = mpsc::Receiver<oneshot::Sender<yamux::Stream>>;

/// A connection, as those see it who use it.
pub(crate) struct Link {
    pub(crate) key: PublicKey,
    pub(crate) address: String,
    /// The boot number of the peer, see [`crate::greeting::Greeting`].
    pub(crate) boot: u64,
    /// Where the peer dialled from; `None` when this node dialled.
    pub(crate) source: Option<Source>,
    pub(crate) since: Instant,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) pulse: Arc<Pulse>,
    /// Cancelled when the connection ends, or to end it.
    pub(crate) over: CancellationToken,
    /// Bytes of call bodies that the peer may have us hold.
    pub(crate) bodies: Arc<Semaphore>,
    reason: OnceLock<String>,
    opens: mpsc::Sender<oneshot::Sender<yamux::Stream>>,
    ours: Arc<Semaphore>,
    theirs: Arc<Semaphore>,
}

pub(crate) type StreamReader = Reader<ReadHalf<Compat<yamux::Stream>>>;
pub(crate) type StreamWriter = Writer<WriteHalf<Compat<yamux::Stream>>>;

/// A stream of frames both ways.
pub(crate) struct Channel {
    pub(crate) reader: StreamReader,
    pub(crate) writer: StreamWriter,
    /// Dropped after the stream.
    pub(crate) slot: OwnedSemaphorePermit,
}

/// What [`Link::drive`] needs.
pub(crate) struct Undriven(Opens);

impl Link {
    pub(crate) fn new(
        Peer { key, address }: Peer,
        boot: u64,
        source: Option<Source>,
        pulse: Arc<Pulse>,
        traffic: Arc<Traffic>,
        over: CancellationToken,
    ) -> (Arc<Self>, Undriven) {
        let (opens, receiver) = mpsc::channel(OPENS_MAX);
        let link = Self {
            key,
            address,
            boot,
            source,
            since: Instant::now(),
            traffic,
            pulse,
            over,
            bodies: Arc::new(Semaphore::new(limits::CALL_BYTES_MAX)),
            reason: OnceLock::new(),
            opens,
            ours: Arc::new(Semaphore::new(limits::STREAMS_MAX)),
            theirs: Arc::new(Semaphore::new(limits::SERVED_STREAMS_MAX)),
        };
        (Arc::new(link), Undriven(receiver))
    }

    /// Whether this node dialled.
    pub(crate) fn dialled(&self) -> bool {
        self.source.is_none()
    }

    /// Whether the peer came by itself, and its key is no member's.
    pub(crate) fn uninvited(&self, handler: &dyn Handler) -> bool {
        !self.dialled() && handler.standing(&self.key).ok() != Some(Standing::Member)
    }

    /// Ends the connection.
    pub(crate) fn cut(&self, reason: &str) {
        self.reason.get_or_init(|| reason.to_owned());
        self.over.cancel();
    }

    /// The error of what was under way on a stream that ended.
    pub(crate) fn broken(&self) -> Error {
        let what = match self.reason.get() {
            Some(reason) => format!("the connection ended: {reason}"),
            None => "the stream ended early".to_owned(),
        };
        Error::unavailable(format!(
            "node {} at {}: {what}; what was sent may or may not have arrived",
            self.key, self.address
        ))
    }

    /// Opens a stream, once fewer than [`limits::STREAMS_MAX`] are open; `None` when the connection
    /// has ended, and nothing was sent.
    pub(crate) async fn open(&self) -> Option<Channel> {
        let slot = self.ours.clone().acquire_owned().await.ok()?;
        let (sender, receiver) = oneshot::channel();
        self.opens.send(sender).await.ok()?;
        Some(self.channel(receiver.await.ok()?, slot))
    }

    /// A stream that the peer opened; `None` when it has too many.
    pub(crate) fn opened(&self, stream: yamux::Stream, streams_max: usize) -> Option<Channel> {
        let slot = self.theirs.clone().try_acquire_owned().ok()?;
        let served = limits::SERVED_STREAMS_MAX - self.theirs.available_permits();
        (served <= streams_max).then(|| self.channel(stream, slot))
    }

    fn channel(&self, stream: yamux::Stream, slot: OwnedSemaphorePermit) -> Channel {
        let (read, write) = tokio::io::split(stream.compat());
        let reader = Reader::new(read, self.traffic.clone());
        let writer = Writer::new(write, self.traffic.clone());
        Channel { reader, writer, slot }
    }

    /// Runs the connection until it ends. Its receive windows grow by `growth` bytes at most,
    /// `opened` gets every stream that the peer opens, `idle_max` says how long there may be none,
    /// and `lost` is called when no more streams are opened.
    pub(crate) async fn drive(
        &self,
        tls: TlsStream,
        Undriven(opens): Undriven,
        growth: usize,
        opened: impl FnMut(yamux::Stream),
        idle_max: impl Fn() -> Duration,
        lost: impl FnOnce(&str),
    ) {
        let wire = Wire::new(tls, self.traffic.clone());
        let (first, first_stream) = oneshot::channel();
        let mut driver = Driver::new(wire, self.dialled(), growth, opens, first, opened);
        let reason = tokio::select! {
            biased;
            () = self.over.cancelled() => "this node ended it".to_owned(),
            reason = poll_fn(|cx| driver.poll(cx)) => reason,
            reason = keep_alive(first_stream) => reason,
            reason = self.watch(idle_max) => reason,
        };
        let reason = self.reason.get_or_init(|| reason);
        lost(reason);
        self.over.cancel();
        drop(driver.opens);
        let close = poll_fn(|cx| driver.connection.poll_close(cx));
        let _ = timeout(limits::CLOSE_MAX, close).await;
    }

    /// Returns when the connection is dead, or of no use.
    async fn watch(&self, idle_max: impl Fn() -> Duration) -> String {
        let mut ticks = interval(limits::PING_INTERVAL / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut used, mut frames) = (Instant::now(), 0);
        loop {
            ticks.tick().await;
            if self.pulse.silence() > limits::SILENCE_MAX {
                return format!("nothing came from it for {:?}", limits::SILENCE_MAX);
            }
            if self.pulse.stall() > limits::STALL_MAX {
                return format!("it took nothing of what was sent for {:?}", limits::STALL_MAX);
            }
            let moved =
                self.traffic.frames_in.load(Relaxed) + self.traffic.frames_out.load(Relaxed);
            let free = self.ours.available_permits() + self.theirs.available_permits();
            let used_now = free < limits::STREAMS_MAX + limits::SERVED_STREAMS_MAX;
            if moved != frames || used_now {
                (used, frames) = (Instant::now(), moved);
            } else if used.elapsed() > idle_max() {
                return "nobody used it".to_owned();
            }
        }
    }
}

/// Sends signs of life on the first stream, and takes those that come; returns when it ends.
async fn keep_alive(stream: oneshot::Receiver<yamux::Stream>) -> String {
    let Ok(Ok(stream)) = timeout(limits::HEADER_MAX, stream).await else {
        return "it opened no stream for signs of life".to_owned();
    };
    let (mut read, mut write) = tokio::io::split(stream.compat());
    let ping = async {
        let mut ticks = interval(limits::PING_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if write.write_all(&[0]).await.is_err() {
                break;
            }
        }
    };
    let mut nowhere = tokio::io::sink();
    tokio::select! {
        () = ping => {}
        _ = tokio::io::copy(&mut read, &mut nowhere) => {}
    }
    "it closed the connection".to_owned()
}

/// Moves the bytes of all streams.
struct Driver<F> {
    connection: yamux::Connection<Outlet>,
    outlet: Outlet,
    opens: Opens,
    /// Who waits for a stream that the multiplexer has no room for yet.
    waiting: Option<oneshot::Sender<yamux::Stream>>,
    /// Where the first stream goes; it is opened by the side that dialled.
    first: Option<oneshot::Sender<yamux::Stream>>,
    opened: F,
}

impl<F: FnMut(yamux::Stream)> Driver<F> {
    fn new(
        wire: Wire,
        dialled: bool,
        growth: usize,
        opens: Opens,
        first: oneshot::Sender<yamux::Stream>,
        opened: F,
    ) -> Self {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(TRACKED_STREAMS_MAX);
        let smallest = TRACKED_STREAMS_MAX * yamux::DEFAULT_CREDIT as usize;
        config.set_max_connection_receive_window(Some(smallest + growth));
        let mode = if dialled { yamux::Mode::Client } else { yamux::Mode::Server };
        let outlet = Outlet::new(wire);
        let connection = yamux::Connection::new(outlet.clone(), config, mode);
        let (waiting, first) = if dialled { (Some(first), None) } else { (None, Some(first)) };
        Self { connection, outlet, opens, waiting, first, opened }
    }

    /// Ready with the reason when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        if let Poll::Ready(reason) = self.poll_streams(cx) {
            return Poll::Ready(reason);
        }
        match self.outlet.flush(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(e.to_string()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_streams(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        loop {
            match self.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    // Not always the first to arrive: a stream arrives when something is said on it.
                    match self.first.take_if(|_| stream.id().val() == FIRST_ID) {
                        Some(first) => drop(first.send(stream)),
                        None => (self.opened)(stream),
                    }
                    continue;
                }
                Poll::Ready(Some(Err(e))) => return Poll::Ready(explain(&e)),
                Poll::Ready(None) => return Poll::Ready("it closed the connection".to_owned()),
                Poll::Pending => {}
            }
            let Some(open) = self.next_open(cx) else { return Poll::Pending };
            match self.connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => drop(open.send(stream)),
                Poll::Ready(Err(e)) => return Poll::Ready(explain(&e)),
                Poll::Pending => {
                    self.waiting = Some(open);
                    return Poll::Pending;
                }
            }
        }
    }

    /// The next who wants a stream and has not given up.
    fn next_open(&mut self, cx: &mut Context<'_>) -> Option<oneshot::Sender<yamux::Stream>> {
        loop {
            let open = match self.waiting.take() {
                Some(open) => open,
                None => match self.opens.poll_recv(cx) {
                    Poll::Ready(Some(open)) => open,
                    Poll::Ready(None) | Poll::Pending => return None,
                },
            };
            if !open.is_closed() {
                return Some(open);
            }
        }
    }
}

fn explain(error: &yamux::ConnectionError) -> String {
    match error {
        yamux::ConnectionError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            "it went away without a goodbye".to_owned()
        }
        other => other.to_string(),
    }
}
