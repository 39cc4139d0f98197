//! A peer of our own making, that says what it wants on the layers below the crate.

use althing_protocol::{PublicKey, SecretKey};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use std::{future::poll_fn, net::SocketAddr, sync::Arc, task::Poll};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

const SPKI: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// Trusts whoever answers.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// TLS as a node with `key`, or without any; with the key of `claims` in place of its own, if given.
pub(crate) async fn tls(
    to: SocketAddr,
    key: Option<&SecretKey>,
    claims: Option<PublicKey>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let config = rustls::ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible));
    let config = match key {
        None => config.with_no_client_auth(),
        Some(key) => {
            let pkcs8 = [&PKCS8[..], &key.seed()[..]].concat();
            let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8)).unwrap();
            let public = claims.unwrap_or(key.public());
            let spki = CertificateDer::from([&SPKI[..], public.as_bytes()].concat());
            let key = Arc::new(CertifiedKey::new(vec![spki], signer));
            let resolver = rustls::client::AlwaysResolvesClientRawPublicKeys::new(key);
            config.with_client_cert_resolver(Arc::new(resolver))
        }
    };
    let name = ServerName::try_from("node.invalid").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(to).await?).await
}

/// A greeting of `version`, from a node that welcomes.
pub(crate) fn greeting(version: u16) -> Vec<u8> {
    let rest = [7; 8].into_iter().chain([0]);
    b"althing\0".iter().copied().chain(version.to_be_bytes()).chain([0, 9]).chain(rest).collect()
}

/// Greets and reads the greeting that comes back.
pub(crate) async fn greet(
    tls: &mut TlsStream<TcpStream>,
    version: u16,
) -> std::io::Result<Vec<u8>> {
    tls.write_all(&greeting(version)).await?;
    let mut head = vec![0; 12];
    tls.read_exact(&mut head).await?;
    let mut rest = vec![0; usize::from(u16::from_be_bytes([head[10], head[11]]))];
    tls.read_exact(&mut rest).await?;
    head.extend(rest);
    Ok(head)
}

type Open = oneshot::Sender<yamux::Stream>;

/// A connection that opens streams as it likes.
pub(crate) struct Raw {
    opens: mpsc::Sender<Open>,
}

impl Raw {
    pub(crate) async fn connect(to: SocketAddr, key: &SecretKey) -> Self {
        let mut tls = tls(to, Some(key), None).await.unwrap();
        greet(&mut tls, 1).await.unwrap();
        let mut config = yamux::Config::default();
        config.set_max_num_streams(4_000);
        let connection = yamux::Connection::new(tls.compat(), config, yamux::Mode::Client);
        let (opens, wanted) = mpsc::channel(1);
        tokio::spawn(drive(connection, wanted));
        let mut pulse = open(&opens).await;
        tokio::spawn(async move {
            while pulse.write_all(&[0]).await.is_ok() {
                tokio::time::sleep(althing_peers::limits::PING_INTERVAL).await;
            }
        });
        Self { opens }
    }

    /// Opens a stream and says `bytes` on it.
    pub(crate) async fn say(&self, bytes: &[u8]) -> yamux::Stream {
        let mut stream = open(&self.opens).await;
        let _ = stream.write_all(bytes).await;
        stream
    }
}

async fn drive(
    mut connection: yamux::Connection<Compat<TlsStream<TcpStream>>>,
    mut wanted: mpsc::Receiver<Open>,
) {
    let mut next: Option<Open> = None;
    poll_fn(|cx| {
        loop {
            match connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(_))) => continue,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if next.is_none() {
                match wanted.poll_recv(cx) {
                    Poll::Ready(Some(open)) => next = Some(open),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            match connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => drop(next.take().unwrap().send(stream)),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

async fn open(opens: &mpsc::Sender<Open>) -> yamux::Stream {
    let (sender, receiver) = oneshot::channel();
    opens.send(sender).await.unwrap();
    receiver.await.unwrap()
}

/// A piece of a stream, as the multiplexer has it on the wire; the first piece opens the stream.
pub(crate) fn piece(stream: u32, first: bool, bytes: &[u8]) -> Vec<u8> {
    let mut piece = vec![0, 0, 0, u8::from(first)];
    piece.extend(stream.to_be_bytes());
    piece.extend((bytes.len() as u32).to_be_bytes());
    piece.extend(bytes);
    piece
}

/// The next piece from the other side, as kind, stream and number; what it carries is passed over.
pub(crate) async fn next_piece(tls: &mut TlsStream<TcpStream>) -> (u8, u32, u32) {
    let mut head = [0; 12];
    tls.read_exact(&mut head).await.unwrap();
    let [.., s3, s2, s1, s0, n3, n2, n1, n0] = head;
    let (kind, stream) = (head[1], u32::from_be_bytes([s3, s2, s1, s0]));
    let number = u32::from_be_bytes([n3, n2, n1, n0]);
    if kind == 0 {
        tls.read_exact(&mut vec![0; number as usize]).await.unwrap();
    }
    (kind, stream, number)
}

/// The header of a call of `kind`, as a frame.
pub(crate) fn header(kind: u8) -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 35, 0, 1, 0, kind];
    frame.extend(super::REALM.as_bytes());
    frame
}

/// All that comes on a stream, until it ends.
pub(crate) async fn rest(mut stream: yamux::Stream) -> Vec<u8> {
    let mut bytes = vec![];
    let read = stream.read_to_end(&mut bytes);
    let _ = tokio::time::timeout(super::SOON, read).await.expect("the stream ends");
    bytes
}
