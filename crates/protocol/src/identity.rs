//! Hashes, ids and keys.

use crate::{Error, Result};
use data_encoding::HEXLOWER_PERMISSIVE;
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = Error;

            fn try_from(bytes: &[u8]) -> Result<Self> {
                bytes.try_into().map(Self).map_err(|_| {
                    Error::invalid(format!("{}: has {} bytes, wants 32", $what, bytes.len()))
                })
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|e| {
                    Error::invalid(format!("{} {text:?}: not hexadecimal: {e}", $what))
                })?;
                Self::try_from(bytes.as_slice())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

bytes32! {
    /// A BLAKE3 hash; shown as 64 hexadecimal digits.
    Hash, "hash"
}

bytes32! {
    /// A realm: the hash of its genesis.
    RealmId, "realm id"
}

bytes32! {
    /// An ed25519 public key: an author, a node, a founder.
    PublicKey, "public key"
}

impl Hash {
    /// BLAKE3 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// An ed25519 secret key. Its bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct SecretKey(ed25519_zebra::SigningKey);

impl SecretKey {
    /// The key of a 32-byte seed (RFC 8032). Randomness is the caller's business.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self((*seed).into())
    }

    /// The 32-byte seed.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.into())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(ed25519_zebra::VerificationKeyBytes::from(&self.0).into())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).into()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public())
    }
}
