//! The first frame of a stream: `version u8 | form u8 | kind u8 | realm [32]`.

use crate::Kind;
use althing_protocol::RealmId;

pub(crate) const HEADER_BYTES: usize = 35;
const VERSION: u8 = 1;

/// How a stream is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One frame there, one back.
    Call = 0,
    /// An empty frame back when it is accepted, then frames both ways.
    Pipe = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) form: Form,
    pub(crate) kind: Kind,
    pub(crate) realm: RealmId,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..3].copy_from_slice(&[VERSION, self.form as u8, self.kind.0]);
        bytes[3..].copy_from_slice(self.realm.as_bytes());
        bytes
    }

    /// `None` for what is no header.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let ([version, form, kind], realm) = bytes.split_first_chunk()?;
        let form = match form {
            0 => Form::Call,
            1 => Form::Pipe,
            _ => return None,
        };
        let realm = RealmId::try_from(realm).ok()?;
        (*version == VERSION).then_some(Self { form, kind: Kind(*kind), realm })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_survives_the_wire(kind: u8, realm: [u8; 32], pipe: bool) {
            let form = if pipe { Form::Pipe } else { Form::Call };
            let header = Header { form, kind: Kind(kind), realm: RealmId(realm) };
            prop_assert_eq!(Header::decode(&header.encode()), Some(header));
        }

        #[test]
        fn what_decodes_encodes_to_the_same(bytes in prop::collection::vec(0..4u8, 34..37)) {
            if let Some(header) = Header::decode(&bytes) {
                prop_assert_eq!(header.encode().to_vec(), bytes);
            }
        }
    }
}
