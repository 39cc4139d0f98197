//! What a publisher signs: that an image is a version of a program.

use crate::{Error, Hash, PublicKey, Result, SecretKey, v1};
use ed25519_zebra::{Signature, VerificationKey};

const IMAGE_DOMAIN: &[u8] = b"althing image v1\0";

/// What a publisher's signature says. It names no realm: a package is published once, for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageClaim<'a> {
    /// Id of the program.
    pub program: &'a str,
    /// BLAKE3 of the component.
    pub image: &'a Hash,
    /// Version in the manifest.
    pub version: &'a str,
}

impl ImageClaim<'_> {
    /// Signs it.
    pub fn sign(&self, key: &SecretKey) -> v1::ImageSignature {
        let signature = key.sign(&self.message()).to_vec();
        v1::ImageSignature { publisher: key.public().0.to_vec(), signature }
    }

    /// Checks a signature by ZIP-215 rules; the publisher whose it is.
    ///
    /// # Errors
    /// `invalid` when it is malformed, `denied` when it is not that publisher's or signs something else.
    pub fn verify(&self, signature: &v1::ImageSignature) -> Result<PublicKey> {
        let publisher = PublicKey::try_from(signature.publisher.as_slice())
            .map_err(|e| Error::invalid(format!("publisher of {self}: {}", e.message)))?;
        let bytes: [u8; 64] = signature.signature.as_slice().try_into().map_err(|_| {
            Error::invalid(format!(
                "signature of {self}: has {} bytes, wants 64; sign the image again",
                signature.signature.len()
            ))
        })?;
        let key = VerificationKey::try_from(publisher.0).map_err(|_| {
            Error::invalid(format!("publisher of {self}: {publisher} is no ed25519 key"))
        })?;
        match key.verify(&Signature::from(bytes), &self.message()) {
            Ok(()) => Ok(publisher),
            Err(_) => Err(Error::denied(format!(
                "signature of {self}: {publisher} did not sign this program, image and version \
                 with that signature; sign this image with `althing sign`"
            ))),
        }
    }

    /// A program's id has no zero byte and an image 32 bytes, so no two claims share a message.
    fn message(&self) -> Vec<u8> {
        let (program, version) = (self.program.as_bytes(), self.version.as_bytes());
        [IMAGE_DOMAIN, program, &[0], self.image.as_bytes(), version].concat()
    }
}

impl std::fmt::Display for ImageClaim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "image {} as program {} version {:?}", self.image, self.program, self.version)
    }
}
