//! Frames on a stream: `length u32 | tag u8 | body`, the length being the body's, big-endian.
//!
//! A length is checked before anything is allocated, and memory is then taken as bytes arrive: a
//! peer pays for what it makes us hold. Both sides keep their place when a future is dropped.

use crate::{limits, traffic::Traffic};
use althing_protocol::{Error, v1};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const HEAD_BYTES: usize = 5;
/// Room that is made at a time while a body arrives, in bytes.
const READ_BYTES: usize = 64 << 10;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// Its body is the user's.
    Data = 0,
    /// This side has said all. Without it, the end of a stream is a cut.
    End = 1,
    /// This side ends with an error.
    Failure = 2,
}

/// A frame that was announced; its body may still be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) tag: Tag,
    pub(crate) len: usize,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {len} bytes; at most {max} are allowed")]
    TooLarge { len: usize, max: usize },
    #[error("a frame of unknown kind {0}; run the same release of Althing on both nodes")]
    Tag(u8),
    #[error("the stream was cut")]
    Cut,
}

impl From<io::Error> for FrameError {
    // A stream knows one way to fail: it is no longer there.
    fn from(_: io::Error) -> Self {
        Self::Cut
    }
}

pub(crate) struct Reader<R> {
    io: R,
    buffer: BytesMut,
    traffic: Arc<Traffic>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(io: R, traffic: Arc<Traffic>) -> Self {
        Self { io, buffer: BytesMut::new(), traffic }
    }

    /// What comes next; asked again before the body is taken, it is the same.
    pub(crate) async fn head(&mut self) -> Result<Head, FrameError> {
        self.fill(HEAD_BYTES).await?;
        let mut bytes = &self.buffer[..HEAD_BYTES];
        let len = bytes.get_u32() as usize;
        let tag = match bytes.get_u8() {
            0 => Tag::Data,
            1 => Tag::End,
            2 => Tag::Failure,
            other => return Err(FrameError::Tag(other)),
        };
        if len > limits::FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge { len, max: limits::FRAME_BYTES_MAX });
        }
        Ok(Head { tag, len })
    }

    /// The body of the frame that `head` announced.
    pub(crate) async fn body(&mut self, head: Head) -> Result<Bytes, FrameError> {
        self.fill(HEAD_BYTES + head.len).await?;
        self.buffer.advance(HEAD_BYTES);
        self.traffic.frames_in.fetch_add(1, Relaxed);
        // A small body is copied: as a part of the buffer it would keep all of that alive.
        if head.len * 2 < self.buffer.capacity() {
            Ok(self.buffer.copy_to_bytes(head.len))
        } else {
            Ok(self.buffer.split_to(head.len).freeze())
        }
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Result<(Tag, Bytes), FrameError> {
        let head = self.head().await?;
        Ok((head.tag, self.body(head).await?))
    }

    async fn fill(&mut self, len: usize) -> Result<(), FrameError> {
        while self.buffer.len() < len {
            self.buffer.reserve((len - self.buffer.len()).min(READ_BYTES));
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::Cut);
            }
        }
        Ok(())
    }
}

pub(crate) struct Writer<W> {
    io: W,
    buffer: BytesMut,
    traffic: Arc<Traffic>,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(crate) fn new(io: W, traffic: Arc<Traffic>) -> Self {
        Self { io, buffer: BytesMut::new(), traffic }
    }

    /// Puts a frame behind those that wait. Its length was checked by the caller.
    pub(crate) fn put(&mut self, tag: Tag, body: &[u8]) {
        debug_assert!(body.len() <= limits::FRAME_BYTES_MAX);
        self.buffer.reserve(HEAD_BYTES + body.len());
        self.buffer.put_u32(body.len() as u32);
        self.buffer.put_u8(tag as u8);
        self.buffer.put_slice(body);
        self.traffic.frames_out.fetch_add(1, Relaxed);
    }

    /// Sends what waits. Dropped half-way, the next call goes on from there.
    pub(crate) async fn flush(&mut self) -> Result<(), FrameError> {
        while !self.buffer.is_empty() {
            if self.io.write_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::Cut);
            }
        }
        if self.buffer.capacity() > READ_BYTES {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }

    /// Sends a frame behind those that wait. Dropped before those were sent, it is not sent at all;
    /// dropped later, the next call goes on from there.
    pub(crate) async fn send(&mut self, tag: Tag, body: &[u8]) -> Result<(), FrameError> {
        self.flush().await?;
        self.put(tag, body);
        self.flush().await
    }

    pub(crate) async fn fail(&mut self, error: &Error) -> Result<(), FrameError> {
        self.send(Tag::Failure, &encode_failure(error)).await
    }
}

/// The body of a frame of [`Tag::Failure`].
pub(crate) fn encode_failure(error: &Error) -> Vec<u8> {
    v1::Failure::from(error).encode_to_vec()
}

/// The error that such a frame holds.
pub(crate) fn decode_failure(body: &[u8]) -> Error {
    match v1::Failure::decode(body) {
        Ok(failure) => Error::from(&failure),
        Err(e) => Error::internal(format!("the peer failed and did not say why: {e}")),
    }
}

/// Refuses a body that the other side would refuse.
pub(crate) fn check_len(body: &[u8]) -> Result<(), Error> {
    if body.len() <= limits::FRAME_BYTES_MAX {
        return Ok(());
    }
    let error = FrameError::TooLarge { len: body.len(), max: limits::FRAME_BYTES_MAX };
    Err(Error::invalid(format!("a message to a peer: {error}; send it in parts")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;

    fn reader<R: AsyncRead + Unpin>(io: R) -> Reader<R> {
        Reader::new(io, Arc::default())
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            pipe_bytes in 1..64usize,
        ) {
            block(async {
                let (near, far) = tokio::io::duplex(pipe_bytes);
                let mut writer = Writer::new(near, Arc::default());
                let mut reader = reader(far);
                let send = async {
                    for body in &bodies {
                        writer.send(Tag::Data, body).await.unwrap();
                    }
                    writer.send(Tag::End, &[]).await.unwrap();
                };
                let receive = async {
                    let mut received = vec![];
                    while let (Tag::Data, body) = reader.frame().await.unwrap() {
                        received.push(body.to_vec());
                    }
                    received
                };
                let ((), received) = tokio::join!(send, receive);
                prop_assert_eq!(&received, &bodies);
                Ok(())
            })?;
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            block(async {
                let mut reader = reader(bytes.as_slice());
                while reader.frame().await.is_ok() {}
            });
        }
    }

    #[test]
    fn a_length_beyond_the_limit_allocates_nothing() {
        block(async {
            let mut reader = reader(&b"\xff\xff\xff\xff\x00"[..]);
            assert!(matches!(
                reader.head().await,
                Err(FrameError::TooLarge { len: 0xffff_ffff, .. })
            ));
            assert!(reader.buffer.capacity() < 1 << 10);
        });
    }

    #[test]
    fn memory_follows_what_arrived() {
        block(async {
            let head = (limits::FRAME_BYTES_MAX as u32).to_be_bytes();
            let mut bytes = head.to_vec();
            bytes.extend([0; 1_000]);
            let mut reader = reader(bytes.as_slice());
            assert!(matches!(reader.frame().await, Err(FrameError::Cut)));
            assert!(reader.buffer.capacity() <= 4 * READ_BYTES);
        });
    }

    #[test]
    fn a_dropped_send_is_sent_whole_or_not_at_all() {
        block(async {
            let (near, far) = tokio::io::duplex(16);
            let mut writer = Writer::new(near, Arc::default());
            {
                let send = writer.send(Tag::Data, &[1; 40]);
                assert!(futures::poll!(std::pin::pin!(send)).is_pending());
            }
            {
                let send = writer.send(Tag::Data, &[2; 40]);
                assert!(futures::poll!(std::pin::pin!(send)).is_pending());
            }
            let mut reader = reader(far);
            let (sent, first) = tokio::join!(writer.send(Tag::End, &[]), async {
                let first = reader.frame().await.unwrap();
                assert_eq!(reader.frame().await.unwrap().0, Tag::End);
                first
            });
            sent.unwrap();
            assert_eq!(first.1, [1; 40].as_slice());
        });
    }
}
