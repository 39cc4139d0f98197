//! Hashes and signatures at the speed of the processor.

use super::{Bytes, Entered, Function, entered::Shown};
use crate::{fuel, state::State};
use ed25519_zebra::{Signature, VerificationKey};
use sha2::{Digest, Sha256};
use wasmtime::{
    Result,
    component::{ComponentType, Lift, LinkerInstance},
};

pub(super) const NAME: &str = "althing:contract/crypto@0.1.0";

pub(super) const FUNCTIONS: &[Function] = &[
    ("hash", "func(enum { blake3, sha256 }, list<u8>) -> list<u8>"),
    ("verify-signature", "func(list<u8>, list<u8>, list<u8>) -> bool"),
];

/// `algorithm` of the world.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "lifted, never made here")]
enum Algorithm {
    #[component(name = "blake3")]
    Blake3,
    #[component(name = "sha256")]
    Sha256,
}

pub(super) fn define(crypto: &mut LinkerInstance<'_, State>) -> Result<()> {
    crypto.func_wrap("hash", |store, (algorithm, data): (Algorithm, Bytes)| {
        let mut on = Entered::new(store, "crypto.hash", fuel::HASH)?;
        let hash = hash(&mut on, algorithm, &data)?;
        on.tell_result(|| Shown(&hash).to_string());
        Ok((hash,))
    })?;
    crypto.func_wrap(
        "verify-signature",
        |store, (key, message, signature): (Bytes, Bytes, Bytes)| {
            let mut on = Entered::new(store, "crypto.verify-signature", fuel::VERIFY)?;
            let is_good = verify(&mut on, &key, &message, &signature)?;
            on.tell_result(|| is_good.to_string());
            Ok((is_good,))
        },
    )
}

fn hash(on: &mut Entered<'_>, algorithm: Algorithm, data: &Bytes) -> Result<Vec<u8>> {
    Ok(match algorithm {
        Algorithm::Blake3 => {
            on.tell("algorithm", "blake3");
            blake3::hash(on.take("data", data, fuel::BLAKE3_PER_BYTE)?).as_bytes().to_vec()
        }
        Algorithm::Sha256 => {
            on.tell("algorithm", "sha256");
            Sha256::digest(on.take("data", data, fuel::SHA256_PER_BYTE)?).to_vec()
        }
    })
}

/// By the rules of ZIP-215, under which a verdict does not depend on who verifies, or how.
fn verify(on: &mut Entered<'_>, key: &Bytes, message: &Bytes, signature: &Bytes) -> Result<bool> {
    // Of another length they are nothing, and not worth a copy.
    if (key.len(), signature.len()) != (32, 64) {
        return Ok(false);
    }
    let key = VerificationKey::try_from(on.take("key", key, fuel::COPY_PER_BYTE)?);
    let signature = Signature::try_from(on.take("signature", signature, fuel::COPY_PER_BYTE)?);
    let (Ok(key), Ok(signature)) = (key, signature) else { return Ok(false) };
    let message = on.take("message", message, fuel::VERIFY_PER_BYTE)?;
    Ok(key.verify(&signature, message).is_ok())
}
