//! Pipes: frames both ways, in order.

use crate::{
    frame::{FrameError, Tag, check_len, decode_failure, encode_failure},
    link::{Channel, Link, StreamReader, StreamWriter},
};
use althing_protocol::{Error, PublicKey};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Frames to and from a peer, each way in order. Who does not read stops the other side, once the
/// window of the stream is full (256 KiB at first).
///
/// It ends when either side drops it, or with the connection. The other side can tell: after
/// [`Pipe::finish`] it receives `None`, otherwise an error.
pub struct Pipe {
    sender: PipeSender,
    receiver: PipeReceiver,
}

/// The half of a [`Pipe`] that sends.
pub struct PipeSender {
    writer: StreamWriter,
    /// Ends the other half when this one is dropped unfinished.
    guard: Option<DropGuard>,
    /// Cancelled when the other half was dropped before the end came, or the connection ended.
    over: CancellationToken,
    held: Arc<Held>,
}

/// The half of a [`Pipe`] that receives.
pub struct PipeReceiver {
    reader: StreamReader,
    /// Ends the other half when this one is dropped before the end came.
    guard: Option<DropGuard>,
    /// Cancelled when the other half was dropped unfinished, or the connection ended.
    over: CancellationToken,
    held: Arc<Held>,
    ended: bool,
}

/// What goes when both halves are gone, so after the stream.
struct Held {
    link: Arc<Link>,
    _slot: OwnedSemaphorePermit,
}

impl Pipe {
    pub(crate) fn new(link: Arc<Link>, channel: Channel) -> Self {
        let Channel { reader, writer, slot } = channel;
        let (sending, receiving) = (link.over.child_token(), link.over.child_token());
        let held = Arc::new(Held { link, _slot: slot });
        let sender = PipeSender {
            writer,
            guard: Some(sending.clone().drop_guard()),
            over: receiving.clone(),
            held: held.clone(),
        };
        let receiver = PipeReceiver {
            reader,
            guard: Some(receiving.drop_guard()),
            over: sending,
            held,
            ended: false,
        };
        Self { sender, receiver }
    }

    /// Whose key is on the other side.
    pub fn peer(&self) -> PublicKey {
        self.sender.held.link.key
    }

    /// See [`PipeSender::send`].
    pub async fn send(&mut self, frame: Bytes) -> Result<(), Error> {
        self.sender.send(frame).await
    }

    /// See [`PipeSender::finish`].
    pub async fn finish(&mut self) -> Result<(), Error> {
        self.sender.finish().await
    }

    /// See [`PipeSender::fail`].
    pub async fn fail(&mut self, error: &Error) -> Result<(), Error> {
        self.sender.fail(error).await
    }

    /// See [`PipeReceiver::recv`].
    pub async fn recv(&mut self) -> Option<Result<Bytes, Error>> {
        self.receiver.recv().await
    }

    /// Two halves, for two tasks. Dropping one ends the other, unless its direction was finished.
    pub fn split(self) -> (PipeSender, PipeReceiver) {
        (self.sender, self.receiver)
    }
}

impl PipeSender {
    /// Sends a frame; waits while the other side does not read. A future that is dropped has sent
    /// the whole frame or nothing of it, and which of the two is not said.
    ///
    /// # Errors
    /// The frame is too large, or the pipe has ended.
    pub async fn send(&mut self, frame: Bytes) -> Result<(), Error> {
        check_len(&frame)?;
        self.write(Tag::Data, &frame).await
    }

    /// Says that no more frames come: the other side receives `None` behind the last.
    ///
    /// # Errors
    /// The pipe has ended.
    pub async fn finish(&mut self) -> Result<(), Error> {
        self.end(Tag::End, &[]).await
    }

    /// Says that no more frames come, and why: the other side receives `error`.
    ///
    /// # Errors
    /// The pipe has ended.
    pub async fn fail(&mut self, error: &Error) -> Result<(), Error> {
        self.end(Tag::Failure, &encode_failure(error)).await
    }

    async fn end(&mut self, tag: Tag, body: &[u8]) -> Result<(), Error> {
        self.write(tag, body).await?;
        self.guard.take().map(DropGuard::disarm);
        Ok(())
    }

    async fn write(&mut self, tag: Tag, body: &[u8]) -> Result<(), Error> {
        if self.guard.is_none() {
            return Err(Error::internal("a pipe to a peer: sending after the end was said"));
        }
        tokio::select! {
            biased;
            done = self.writer.send(tag, body) => done.map_err(|_| self.held.link.broken()),
            () = self.over.cancelled() => Err(self.held.link.broken()),
        }
    }
}

impl PipeReceiver {
    /// The next frame, `None` when the other side has finished. A future that is dropped has taken
    /// nothing.
    pub async fn recv(&mut self) -> Option<Result<Bytes, Error>> {
        if self.ended {
            return None;
        }
        let frame = tokio::select! {
            biased;
            frame = self.reader.frame() => frame,
            () = self.over.cancelled() => Err(FrameError::Cut),
        };
        let received = match frame {
            Ok((Tag::Data, body)) => return Some(Ok(body)),
            Ok((Tag::End, _)) => None,
            Ok((Tag::Failure, body)) => Some(Err(decode_failure(&body))),
            Err(FrameError::Cut) => Some(Err(self.held.link.broken())),
            Err(e) => Some(Err(Error::invalid(format!(
                "node {} sent {e}; the pipe is closed",
                self.held.link.key
            )))),
        };
        self.ended = true;
        if received.is_none() {
            self.guard.take().map(DropGuard::disarm);
        }
        received
    }
}
