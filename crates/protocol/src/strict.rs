//! Decoding that accepts one encoding of a message only.

use crate::{Error, Result};
use prost::Message;

/// Decodes `bytes` as `M`, refusing unknown fields and any encoding but the one we produce: what
/// two nodes accept as the same message is the same bytes.
///
/// # Errors
/// `invalid`, naming `what`.
pub fn decode<M: Message + Default>(what: &str, bytes: &[u8]) -> Result<M> {
    let message = M::decode(bytes)
        .map_err(|e| Error::invalid(format!("{what}: not a valid message: {e}")))?;
    if message.encoded_len() != bytes.len() || message.encode_to_vec() != bytes {
        return Err(Error::invalid(format!(
            "{what}: has unknown fields or is not in canonical form; encode the fields in order, \
             once, without defaults"
        )));
    }
    Ok(message)
}
