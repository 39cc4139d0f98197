//! TLS 1.3 between nodes: both sides prove the ed25519 key that they are known by (RFC 7250 raw
//! public keys), and there are no certificates.
//!
//! One suite and one group: nothing to negotiate, so nothing to negotiate down, and ChaCha20 is quick
//! on boards whose processor has no AES. No resumption: every connection proves both keys.

use crate::pulse::Watched;
use althing_protocol::{Error, PublicKey, SecretKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key},
    pki_types::{
        CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
    },
    server::danger::{ClientCertVerified, ClientCertVerifier},
    sign::CertifiedKey,
};
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use zeroize::Zeroizing;

/// What stands before the 32 bytes of an ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// What stands before the 32 bytes of its seed in PKCS #8 (RFC 8410).
const PKCS8_PREFIX: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// A connection with whoever proved a key.
pub(crate) type TlsStream = tokio_rustls::TlsStream<Watched<TcpStream>>;

/// This node's key, in the form that TLS wants it.
pub(crate) struct Identity {
    pub(crate) public: PublicKey,
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
}

impl Identity {
    pub(crate) fn new(key: &SecretKey) -> Result<Self, Error> {
        let public = key.public();
        let pkcs8 = Zeroizing::new([PKCS8_PREFIX.as_slice(), key.seed().as_slice()].concat());
        let signing = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))
            .map_err(|e| internal(&e))?;
        let spki = CertificateDer::from([SPKI_PREFIX.as_slice(), public.as_bytes()].concat());
        let provider = CryptoProvider {
            cipher_suites: vec![ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
            kx_groups: vec![ring::kx_group::X25519],
            ..ring::default_provider()
        };
        let key = Arc::new(CertifiedKey::new(vec![spki], signing));
        Ok(Self { public, provider: Arc::new(provider), key })
    }

    /// Accepts whoever proves a key; what the key may do is decided afterwards.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, Error> {
        let verifier = Arc::new(Verifier::new(&self.provider, None));
        let resolver = rustls::server::AlwaysResolvesServerRawPublicKeys::new(self.key.clone());
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| internal(&e))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(resolver));
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Connects to the holder of `expected` and nobody else. The verifier remembers who answered.
    pub(crate) fn connector(
        &self,
        expected: PublicKey,
    ) -> Result<(TlsConnector, Arc<Verifier>), Error> {
        let verifier = Arc::new(Verifier::new(&self.provider, Some(expected)));
        let resolver = rustls::client::AlwaysResolvesClientRawPublicKeys::new(self.key.clone());
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| internal(&e))?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(Arc::new(resolver));
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_sni = false;
        Ok((TlsConnector::from(Arc::new(config)), verifier))
    }
}

/// The name that TLS wants of a server. Nobody checks it or sees it: the key is the name.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into())
}

/// The key that the other side of a connection proved.
pub(crate) fn peer_key(connection: &rustls::CommonState) -> Option<PublicKey> {
    connection.peer_certificates()?.first().and_then(parse_spki)
}

fn parse_spki(spki: &CertificateDer<'_>) -> Option<PublicKey> {
    spki.strip_prefix(SPKI_PREFIX.as_slice()).and_then(|key| PublicKey::try_from(key).ok())
}

fn internal(error: &rustls::Error) -> Error {
    Error::internal(format!("TLS of this node's key: {error}"))
}

/// Checks that the other side has a key of our kind, that it is the one expected if there is one,
/// and that the handshake is signed with it.
#[derive(Debug)]
pub(crate) struct Verifier {
    provider: Arc<CryptoProvider>,
    expected: Option<PublicKey>,
    presented: OnceLock<PublicKey>,
}

impl Verifier {
    fn new(provider: &Arc<CryptoProvider>, expected: Option<PublicKey>) -> Self {
        Self { provider: provider.clone(), expected, presented: OnceLock::new() }
    }

    /// Who answered instead of the key that was expected.
    pub(crate) fn stranger(&self) -> Option<PublicKey> {
        self.presented.get().copied().filter(|key| Some(*key) != self.expected)
    }

    fn check_key(&self, spki: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let key = parse_spki(spki).ok_or(CertificateError::BadEncoding)?;
        match self.expected {
            Some(expected) => {
                self.presented.get_or_init(|| key);
                if key != expected {
                    return Err(CertificateError::ApplicationVerificationFailure.into());
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(spki.as_ref()),
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }
}

fn no_tls12() -> rustls::Error {
    rustls::PeerIncompatible::Tls12NotOffered.into()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check_key(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check_key(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_key_is_itself_again_after_tls() {
        let secret = SecretKey::from_seed(&[7; 32]);
        let identity = Identity::new(&secret).unwrap();
        assert_eq!(parse_spki(&identity.key.cert[0]), Some(secret.public()));
        // TLS derives the public half from the seed by itself; both must agree.
        let derived = identity.key.key.public_key().unwrap();
        assert_eq!(derived.as_ref(), identity.key.cert[0].as_ref());
    }

    #[test]
    fn what_is_no_ed25519_key_is_none() {
        for bytes in [vec![], SPKI_PREFIX.to_vec(), [&SPKI_PREFIX[..], &[0; 33]].concat()] {
            assert_eq!(parse_spki(&CertificateDer::from(bytes)), None);
        }
    }
}
