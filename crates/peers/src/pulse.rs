//! Whether the bytes of a connection still move.
//!
//! It is looked at below TLS, which takes bytes into a buffer of its own: they have not moved.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// When bytes moved last, in milliseconds since `start`.
pub(crate) struct Pulse {
    start: Instant,
    heard_ms: AtomicU64,
    /// Since when nothing could be written; `u64::MAX` while it can.
    stuck_ms: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let stuck_ms = AtomicU64::new(u64::MAX);
        Self { start: Instant::now(), heard_ms: AtomicU64::new(0), stuck_ms }
    }

    /// For how long nothing came.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.heard_ms.load(Relaxed)))
    }

    /// For how long nothing of what is to be sent was taken.
    pub(crate) fn stall(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.stuck_ms.load(Relaxed)))
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    fn heard(&self) {
        self.heard_ms.store(self.now_ms(), Relaxed);
    }

    fn wrote<T>(&self, poll: &Poll<T>) {
        if poll.is_ready() {
            self.stuck_ms.store(u64::MAX, Relaxed);
        } else {
            self.stuck_ms.fetch_min(self.now_ms(), Relaxed);
        }
    }
}

/// A connection below TLS, whose pulse is taken.
pub(crate) struct Watched<T> {
    io: T,
    pulse: Arc<Pulse>,
}

impl<T> Watched<T> {
    pub(crate) fn new(io: T) -> Self {
        Self { io, pulse: Arc::new(Pulse::new()) }
    }

    pub(crate) fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.pulse.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.pulse.wrote(&poll);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.pulse.wrote(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::tls::{self, Identity};
    use althing_protocol::SecretKey;
    use futures::poll;
    use std::pin::pin;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_tls_keeps_has_not_moved() {
        let identity = |seed| Identity::new(&SecretKey::from_seed(&[seed; 32])).unwrap();
        let (here, there) = (identity(1), identity(2));
        let (near, far) = tokio::io::duplex(4 << 10);
        let near = Watched::new(near);
        let pulse = near.pulse();
        let connector = here.connector(there.public).unwrap().0;
        let (near, far) = tokio::join!(
            connector.connect(tls::server_name(), near),
            there.acceptor().unwrap().accept(far)
        );
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        let stuck = || pulse.stuck_ms.load(Relaxed) != u64::MAX;
        assert!(!stuck());
        // More than there is room for below TLS, and less than TLS keeps.
        near.write_all(&[1; 8 << 10]).await.unwrap();
        assert!(poll!(pin!(near.flush())).is_pending() && stuck());
        // TLS takes another sign of life, and the other side takes nothing.
        assert!(poll!(pin!(near.write_all(&[2]))).is_ready() && stuck());
        let mut read = vec![0; (8 << 10) + 1];
        let (flushed, _) = tokio::join!(near.flush(), far.read_exact(&mut read));
        flushed.unwrap();
        assert!(!stuck());
    }
}
