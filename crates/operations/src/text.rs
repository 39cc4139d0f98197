//! Bytes in JSON: text where they are text, base64 where they are not.
//!
//! A field `value` has a sibling `value_base64`; exactly one of the two is there.

use althing_protocol::{Error, Hash, PublicKey, Result};
use data_encoding::BASE64;

/// The bytes of exactly one of `field` and `field_base64`.
///
/// # Errors
/// `invalid`, when there are none or both, or the base64 is wrong.
pub fn bytes(field: &str, text: Option<String>, base64: Option<String>) -> Result<Vec<u8>> {
    optional_bytes(field, text, base64)?.ok_or_else(|| {
        Error::invalid(format!("{field}: missing; give {field} (text) or {field}_base64"))
    })
}

/// The bytes of at most one of `field` and `field_base64`.
///
/// # Errors
/// `invalid`, when there are both or the base64 is wrong.
pub fn optional_bytes(
    field: &str,
    text: Option<String>,
    base64: Option<String>,
) -> Result<Option<Vec<u8>>> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(base64)) => decode_base64(&format!("{field}_base64"), &base64).map(Some),
        (Some(_), Some(_)) => Err(Error::invalid(format!(
            "{field}: is there twice; give {field} (text) or {field}_base64, not both"
        ))),
    }
}

/// The bytes that `base64` of `field` stands for.
///
/// # Errors
/// `invalid`, naming the field.
pub fn decode_base64(field: &str, base64: &str) -> Result<Vec<u8>> {
    BASE64
        .decode(base64.as_bytes())
        .map_err(|e| Error::invalid(format!("{field}: not base64 (standard, padded): {e}")))
}

/// Base64 of `bytes`, standard and padded.
pub fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// `(text, None)` if `bytes` are UTF-8, else `(None, base64)`: the two fields of an output.
pub fn text_or_base64(bytes: Vec<u8>) -> (Option<String>, Option<String>) {
    match String::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(encode_base64(error.as_bytes()))),
    }
}

/// The key that `field` shows in hexadecimal.
///
/// # Errors
/// `invalid`, naming the field.
pub fn public_key(field: &str, hex: &str) -> Result<PublicKey> {
    hex.parse().map_err(|e: Error| Error::invalid(format!("{field}: {}", e.message)))
}

/// The hash that `field` shows in hexadecimal.
///
/// # Errors
/// `invalid`, naming the field.
pub fn hash(field: &str, hex: &str) -> Result<Hash> {
    hex.parse().map_err(|e: Error| Error::invalid(format!("{field}: {}", e.message)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_survive(given: Vec<u8>) {
            let (text, base64) = text_or_base64(given.clone());
            prop_assert!(text.is_some() != base64.is_some());
            prop_assert_eq!(bytes("value", text, base64).unwrap(), given);
        }
    }

    #[test]
    fn exactly_one() {
        let some = || Some("YQ==".to_owned());
        assert!(bytes("value", None, None).unwrap_err().message.contains("value_base64"));
        assert!(bytes("value", some(), some()).unwrap_err().message.contains("not both"));
        assert_eq!(bytes("value", None, some()).unwrap(), b"a");
        assert!(
            bytes("value", None, Some("%".into())).unwrap_err().message.contains("value_base64")
        );
    }
}
