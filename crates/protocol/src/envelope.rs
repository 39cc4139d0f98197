//! What an author signs, and how a node checks it.

use crate::{Error, PublicKey, RealmId, Result, SecretKey, limits, strict, v1};
use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes, batch};
use prost::Message;

const BATCH_DOMAIN: &[u8] = b"althing signed batch v1\0";

/// A decoded and checked [`Body`](v1::Body): names and sizes are within their limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The realm it is for.
    pub realm: RealmId,
    /// Who signed it.
    pub author: PublicKey,
    /// The author's session; 0 opens one.
    pub session: u64,
    /// Sequence number of the first instruction.
    pub sequence: u64,
    /// 1 to 256 instructions.
    pub instructions: Vec<v1::Instruction>,
}

impl Batch {
    /// Decodes the body of `envelope`. Does not check the signature.
    ///
    /// # Errors
    /// `invalid`, naming the field that is wrong.
    pub fn decode(envelope: &v1::Envelope) -> Result<Self> {
        let body: v1::Body = strict::decode("body of the envelope", &envelope.body)?;
        let count = body.payloads.len();
        if count == 0 || count > limits::BATCH_PAYLOADS_MAX {
            return Err(Error::invalid(format!(
                "payloads of the envelope: {count}, wants 1 to {}",
                limits::BATCH_PAYLOADS_MAX
            )));
        }
        if body.sequence.checked_add(count as u64).is_none() {
            return Err(Error::invalid("sequence of the envelope: too large"));
        }
        let mut instructions = Vec::with_capacity(count);
        for payload in body.payloads {
            let instruction = payload.into_instruction()?;
            instruction.check()?;
            instructions.push(instruction);
        }
        Ok(Self {
            realm: RealmId::try_from(body.realm.as_slice())?,
            author: PublicKey::try_from(body.author.as_slice())?,
            session: body.session,
            sequence: body.sequence,
            instructions,
        })
    }

    /// The bytes an author signs, without the domain.
    pub fn encode(self) -> Vec<u8> {
        v1::Body {
            realm: self.realm.0.to_vec(),
            author: self.author.0.to_vec(),
            session: self.session,
            sequence: self.sequence,
            payloads: self.instructions.into_iter().map(Into::into).collect(),
        }
        .encode_to_vec()
    }
}

/// Signs `batch`. The author of the batch must be `key`'s public half.
///
/// # Panics
/// In debug builds, when it is not.
pub fn sign(key: &SecretKey, batch: Batch) -> v1::Envelope {
    debug_assert_eq!(batch.author, key.public());
    let body = batch.encode();
    let signature = key.sign(&message(&body)).to_vec();
    v1::Envelope { body, signature }
}

/// Checks one signature: that of `author` over the body as received.
///
/// # Errors
/// `denied` when the signature is not the author's.
pub fn verify(envelope: &v1::Envelope, author: &PublicKey) -> Result<()> {
    let refused = || {
        Error::denied(format!(
            "signature of {author}: does not match the envelope; sign domain and body with that key"
        ))
    };
    let signature = Signature::try_from(envelope.signature.as_slice()).map_err(|_| refused())?;
    let key = VerificationKey::try_from(author.0).map_err(|_| refused())?;
    key.verify(&signature, &message(&envelope.body)).map_err(|_| refused())
}

/// Checks many signatures at once, at about half the price each. `rng` blinds the batch.
///
/// ZIP-215 rules: the verdict for each is the one [`verify`] gives.
pub fn verify_all(
    envelopes: &[(&v1::Envelope, PublicKey)],
    rng: impl rand_core::CryptoRng,
) -> Vec<Result<()>> {
    let mut verifier = batch::Verifier::new();
    let mut well_formed = true;
    for (envelope, author) in envelopes {
        match Signature::try_from(envelope.signature.as_slice()) {
            Ok(signature) => verifier.queue((
                VerificationKeyBytes::from(author.0),
                signature,
                &message(&envelope.body),
            )),
            Err(_) => well_formed = false,
        }
    }
    if well_formed && verifier.verify(rng).is_ok() {
        return vec![Ok(()); envelopes.len()];
    }
    envelopes.iter().map(|(envelope, author)| verify(envelope, author)).collect()
}

fn message(body: &[u8]) -> Vec<u8> {
    [BATCH_DOMAIN, body].concat()
}
