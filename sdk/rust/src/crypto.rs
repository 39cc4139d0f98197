//! Hashes and signatures at the speed of the processor: what a contract could compute itself costs
//! many times the fuel there.

use crate::host;

/// The BLAKE3 hash of `data`: what Althing itself uses, and the faster one.
pub fn blake3(data: impl AsRef<[u8]>) -> [u8; 32] {
    host::blake3(data.as_ref())
}

/// The SHA-256 hash of `data`.
pub fn sha256(data: impl AsRef<[u8]>) -> [u8; 32] {
    host::sha256(data.as_ref())
}

/// Whether `signature` (64 bytes) is the Ed25519 signature of `message` by `key` (32 bytes), under
/// the rules of ZIP-215. Whatever is malformed is false.
///
/// The message is verified as it is: put into it what tells one use from another, such as the realm,
/// the program, and a number that is never used twice.
pub fn verify(
    key: impl AsRef<[u8]>,
    message: impl AsRef<[u8]>,
    signature: impl AsRef<[u8]>,
) -> bool {
    host::verify(key.as_ref(), message.as_ref(), signature.as_ref())
}
