//! The bytes of a connection, counted, and sent as many at a time as there are.

use crate::{tls::TlsStream, traffic::Traffic};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

/// Pieces of streams that are gathered before TLS gets them, in bytes.
const WRITE_BYTES: usize = 32 << 10;

/// A connection as the multiplexer has it. It would flush after every piece of every stream; here
/// that is left to [`Outlet::flush`], for all pieces that were ready at a time.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Mutex<BufWriter<Wire>>>);

impl Outlet {
    pub(crate) fn new(wire: Wire) -> Self {
        Self(Arc::new(Mutex::new(BufWriter::with_capacity(WRITE_BYTES, wire))))
    }

    /// Sends what was written.
    pub(crate) fn flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire()).poll_flush(cx)
    }

    /// One task has both handles, so nobody ever waits for the lock.
    fn wire(&self) -> MutexGuard<'_, BufWriter<Wire>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl futures::AsyncRead for Outlet {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(bytes);
        ready!(Pin::new(&mut *self.wire()).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl futures::AsyncWrite for Outlet {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.wire()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire()).poll_shutdown(cx)
    }
}

/// An authenticated connection.
pub(crate) struct Wire {
    tls: TlsStream,
    traffic: Arc<Traffic>,
}

impl Wire {
    pub(crate) fn new(tls: TlsStream, traffic: Arc<Traffic>) -> Self {
        Self { tls, traffic }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tls).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        self.traffic.bytes_in.fetch_add(read as u64, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tls).poll_write(cx, bytes))?;
        self.traffic.bytes_out.fetch_add(written as u64, Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
