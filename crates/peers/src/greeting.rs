//! The first words of a connection, from both sides, right after TLS.
//!
//! ```text
//! "althing\0" | version u16 | length u16 | of version 1: boot u64 | verdict u8 | Failure
//! ```
//!
//! Integers are big-endian. The first twelve bytes are the same in every version, so that whatever
//! two nodes speak, each can say what the other does.

use althing_protocol::{Error, v1};
use prost::Message;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What this node speaks. It changes with anything that an older node would misunderstand.
pub(crate) const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"althing\0";
/// Of what follows the length, in bytes: a failure with the longest text fits.
const REST_BYTES_MAX: usize = 4 << 10;

/// What one side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// A number drawn when the process started: another one means that it was started again.
    pub(crate) boot: u64,
    pub(crate) verdict: Verdict,
}

/// What becomes of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stands, as far as this side is concerned.
    Welcome,
    /// Another connection of the pair stays, wait for that one.
    Yield,
    /// No.
    Refused(Error),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetingError {
    #[error("does not speak the protocol of Althing nodes; is the address right?")]
    Foreign,
    #[error(
        "speaks protocol {0} between nodes, this node {VERSION}; run the same release of Althing on both"
    )]
    Version(u16),
    #[error("sent a malformed greeting; run the same release of Althing on both")]
    Malformed,
    #[error("hung up before it was greeted: {0}")]
    Io(#[from] io::Error),
}

impl Greeting {
    fn encode(&self, version: u16) -> Vec<u8> {
        let mut rest = self.boot.to_be_bytes().to_vec();
        match &self.verdict {
            Verdict::Welcome => rest.push(0),
            Verdict::Yield => rest.push(1),
            Verdict::Refused(error) => {
                rest.push(2);
                v1::Failure::from(error).encode_raw(&mut rest);
            }
        }
        // The text of an error is cut long before this, see `Error::new`.
        rest.truncate(REST_BYTES_MAX);
        let length = rest.len() as u16;
        [&MAGIC[..], &version.to_be_bytes(), &length.to_be_bytes(), &rest].concat()
    }

    fn decode(rest: &[u8]) -> Option<Self> {
        let (boot, rest) = rest.split_first_chunk::<8>()?;
        let verdict = match rest.split_first()? {
            (0, []) => Verdict::Welcome,
            (1, []) => Verdict::Yield,
            (2, failure) => Verdict::Refused((&v1::Failure::decode(failure).ok()?).into()),
            _ => return None,
        };
        Some(Self { boot: u64::from_be_bytes(*boot), verdict })
    }
}

pub(crate) async fn write(
    io: &mut (impl AsyncWrite + Unpin),
    greeting: &Greeting,
) -> io::Result<()> {
    io.write_all(&greeting.encode(VERSION)).await?;
    io.flush().await
}

/// Reads exactly a greeting: what follows it belongs to the streams.
pub(crate) async fn read(io: &mut (impl AsyncRead + Unpin)) -> Result<Greeting, GreetingError> {
    let mut head = [0; 12];
    io.read_exact(&mut head).await?;
    if !head.starts_with(&MAGIC) {
        return Err(GreetingError::Foreign);
    }
    let version = u16::from_be_bytes([head[8], head[9]]);
    if version != VERSION {
        return Err(GreetingError::Version(version));
    }
    let length = usize::from(u16::from_be_bytes([head[10], head[11]]));
    if length > REST_BYTES_MAX {
        return Err(GreetingError::Malformed);
    }
    let mut rest = vec![0; length];
    io.read_exact(&mut rest).await?;
    Greeting::decode(&rest).ok_or(GreetingError::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;

    async fn read_all(bytes: &[u8]) -> (Result<Greeting, GreetingError>, usize) {
        let mut left = bytes;
        (read(&mut left).await, left.len())
    }

    #[tokio::test]
    async fn every_verdict_survives_the_wire() {
        let refused = Error::denied("ä".repeat(4_000)).retry_after_ms(9);
        for verdict in [Verdict::Welcome, Verdict::Yield, Verdict::Refused(refused)] {
            let greeting = Greeting { boot: u64::MAX - 1, verdict };
            let mut bytes = greeting.encode(VERSION);
            bytes.extend(b"of a stream");
            let (read, left) = read_all(&bytes).await;
            assert_eq!((read.unwrap(), left), (greeting, 11));
        }
    }

    #[tokio::test]
    async fn another_version_is_named_whatever_it_says() {
        let mut bytes = Greeting { boot: 0, verdict: Verdict::Welcome }.encode(2);
        bytes[10..].fill(0xff);
        let error = read_all(&bytes).await.0.unwrap_err().to_string();
        assert!(error.contains("protocol 2") && error.contains("this node 1"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail: Vec<u8>, skip in 0..=12usize) {
            let head = Greeting { boot: 0, verdict: Verdict::Welcome }.encode(VERSION);
            let bytes = [&head[..skip], &tail].concat();
            futures::executor::block_on(async {
                if let Ok(greeting) = read(&mut bytes.as_slice()).await {
                    prop_assert!(bytes.starts_with(&head[..10]));
                    let _ = greeting;
                }
                Ok(())
            })?;
        }
    }
}
