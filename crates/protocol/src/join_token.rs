//! What `althing invite` prints and `althing join` takes: one line of text.
//!
//! `althing-join-1.` and base64url, without padding, of an encoded [`JoinToken`](v1::JoinToken) with
//! four bytes of its hash behind it: a token that lost or changed a character on its way is told
//! apart from one that is not valid any more.

use crate::{Error, PublicKey, RealmId, Result, SecretKey, check_address, limits, strict, v1};
use data_encoding::BASE64URL_NOPAD;
use prost::Message;
use std::str::FromStr;
use zeroize::{Zeroize, Zeroizing};

const PREFIX: &str = "althing-join-1.";
const CHECKSUM: &str = "althing join token v1";
const CHECKSUM_BYTES: usize = 4;

/// A member that takes requests to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// `HOST:PORT` at which it is reached.
    pub address: String,
    /// Its key: who answers must have it.
    pub key: PublicKey,
}

/// Lets one machine join a realm.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// The realm.
    pub realm: RealmId,
    /// Secret half of the invitation's key.
    pub secret: SecretKey,
    /// Members to ask: 1 to [`limits::JOIN_CONTACTS_MAX`].
    pub contacts: Vec<Contact>,
}

impl JoinToken {
    /// The invitation that `sys` knows.
    pub fn invite(&self) -> PublicKey {
        self.secret.public()
    }

    /// What makes the machine with the key `node` a member; anybody may submit it, nobody can change
    /// it.
    pub fn join(&self, node: &PublicKey, address: &str, labels: Vec<v1::Label>) -> v1::MemberJoin {
        let join = v1::MemberJoin {
            invite: self.invite().0.to_vec(),
            key: node.0.to_vec(),
            address: address.to_owned(),
            labels,
            signature: Vec::new(),
        };
        join.signed(&self.realm, &self.secret)
    }

    /// The text. Who has it can join.
    pub fn text(&self) -> Zeroizing<String> {
        let contact = |contact: &Contact| v1::Contact {
            address: contact.address.clone(),
            key: contact.key.0.to_vec(),
        };
        let mut token = v1::JoinToken {
            realm: self.realm.0.to_vec(),
            secret: self.secret.seed().to_vec(),
            contacts: self.contacts.iter().map(contact).collect(),
        };
        let mut bytes = Zeroizing::new(token.encode_to_vec());
        token.secret.zeroize();
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        Zeroizing::new(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }
}

impl FromStr for JoinToken {
    type Err = Error;

    /// Reads a token, with blanks around it or without. No error repeats the token: it is a secret.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &str| {
            Error::invalid(format!(
                "join token: {why}; copy the whole line that `althing invite` printed"
            ))
        };
        let text = text.trim();
        if text.len() > limits::JOIN_TOKEN_BYTES_MAX {
            return Err(refused("is too long"));
        }
        let encoded = text
            .strip_prefix(PREFIX)
            .ok_or_else(|| refused(&format!("does not begin with {PREFIX}")))?;
        let bytes = BASE64URL_NOPAD
            .decode(encoded.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| refused("is cut, or has characters that no token has"))?;
        let (message, sum) = bytes
            .split_at_checked(bytes.len().saturating_sub(CHECKSUM_BYTES))
            .ok_or_else(|| refused("is empty"))?;
        if checksum(message) != sum {
            return Err(refused("is cut or changed: its checksum does not match"));
        }
        let token: v1::JoinToken = strict::decode("join token", message)?;
        let count = token.contacts.len();
        if count == 0 || count > limits::JOIN_CONTACTS_MAX {
            return Err(refused(&format!("names {count} members to ask")));
        }
        let secret = Zeroizing::new(token.secret);
        let seed = <[u8; 32]>::try_from(secret.as_slice()).map(Zeroizing::new);
        let seed = seed.map_err(|_| refused("its secret has not 32 bytes"))?;
        let contact = |contact: v1::Contact| {
            check_address(&contact.address)?;
            let key = PublicKey::try_from(contact.key.as_slice())?;
            Ok(Contact { address: contact.address, key })
        };
        Ok(Self {
            realm: RealmId::try_from(token.realm.as_slice())?,
            secret: SecretKey::from_seed(&seed),
            contacts: token.contacts.into_iter().map(contact).collect::<Result<_>>()?,
        })
    }
}

fn checksum(message: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::derive_key(CHECKSUM, message);
    std::array::from_fn(|at| hash[at])
}
