//! What voters sign: the values that every node must have found at an index.

use crate::{Error, Hash, PublicKey, RealmId, Result, SecretKey, v1};
use ed25519_zebra::{Signature, VerificationKey};

const CHECKPOINT_DOMAIN: &[u8] = b"althing checkpoint v1\0";

/// The three values of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointValues {
    /// The entry they hold after.
    pub index: u64,
    /// Chain over entries.
    pub entry_chain: Hash,
    /// Chain over results.
    pub result_chain: Hash,
    /// Hash of the state.
    pub state_hash: Hash,
}

impl CheckpointValues {
    /// Vouches for them in `realm`.
    pub fn sign(&self, realm: &RealmId, key: &SecretKey) -> v1::CheckpointSignature {
        let signature = key.sign(&self.message(realm)).to_vec();
        v1::CheckpointSignature { node: key.public().0.to_vec(), signature }
    }

    /// Checks a signature by ZIP-215 rules; the node whose it is.
    ///
    /// # Errors
    /// `invalid` when it is malformed, `denied` when it is not that node's or signs something else.
    pub fn verify(
        &self,
        realm: &RealmId,
        signature: &v1::CheckpointSignature,
    ) -> Result<PublicKey> {
        let at = self.index;
        let node = PublicKey::try_from(signature.node.as_slice())
            .map_err(|e| Error::invalid(format!("signer of checkpoint {at}: {}", e.message)))?;
        let bytes: [u8; 64] = signature.signature.as_slice().try_into().map_err(|_| {
            Error::invalid(format!(
                "signature of checkpoint {at}: has {} bytes, wants 64",
                signature.signature.len()
            ))
        })?;
        let key = VerificationKey::try_from(node.0).map_err(|_| {
            Error::invalid(format!("signer of checkpoint {at}: {node} is no ed25519 key"))
        })?;
        match key.verify(&Signature::from(bytes), &self.message(realm)) {
            Ok(()) => Ok(node),
            Err(_) => Err(Error::denied(format!(
                "signature of checkpoint {at}: node {node} did not sign these values in realm {realm}"
            ))),
        }
    }

    /// Every part has a fixed length, so no two claims share a message.
    fn message(&self, realm: &RealmId) -> Vec<u8> {
        let index = self.index.to_le_bytes();
        let [entries, results, state] =
            [&self.entry_chain, &self.result_chain, &self.state_hash].map(Hash::as_bytes);
        [CHECKPOINT_DOMAIN, &realm.0, &index, entries, results, state].concat()
    }

    /// As an entry of the log carries them.
    pub fn with(&self, signatures: Vec<v1::CheckpointSignature>) -> v1::Checkpoint {
        v1::Checkpoint {
            index: self.index,
            entry_chain: self.entry_chain.0.to_vec(),
            result_chain: self.result_chain.0.to_vec(),
            state_hash: self.state_hash.0.to_vec(),
            signatures,
        }
    }
}

impl TryFrom<&v1::Checkpoint> for CheckpointValues {
    type Error = Error;

    fn try_from(checkpoint: &v1::Checkpoint) -> Result<Self> {
        Ok(Self {
            index: checkpoint.index,
            entry_chain: checkpoint.entry_chain.as_slice().try_into()?,
            result_chain: checkpoint.result_chain.as_slice().try_into()?,
            state_hash: checkpoint.state_hash.as_slice().try_into()?,
        })
    }
}
