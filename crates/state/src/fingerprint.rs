//! The chains after an entry, kept beside its result.

use crate::{Applied, StateError};
use althing_protocol::Hash;

/// Both chains after an entry. Nodes that agree on it agree on every entry and every result up to
/// there; nodes that do not never will again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Chain over entries.
    pub entry_chain: Hash,
    /// Chain over results.
    pub result_chain: Hash,
}

/// Bytes that it takes before a result.
const BYTES: usize = 2 * 32;

impl Fingerprint {
    /// A row of the table `results`: the chains, then the encoded result.
    pub(crate) fn before(applied: &Applied, result: &[u8]) -> Vec<u8> {
        [&applied.entry_chain.0, &applied.result_chain.0, result].concat()
    }

    /// Takes a row apart.
    pub(crate) fn split(index: u64, row: &[u8]) -> Result<(Self, &[u8]), StateError> {
        let short = || StateError::Corrupt(format!("result {index} is too short"));
        let (chains, result) = row.split_at_checked(BYTES).ok_or_else(short)?;
        let (entry, of_results) = chains.split_at(BYTES / 2);
        let hash = |bytes| Hash::try_from(bytes).map_err(|_| short());
        Ok((Self { entry_chain: hash(entry)?, result_chain: hash(of_results)? }, result))
    }
}

impl From<&Applied> for Fingerprint {
    fn from(applied: &Applied) -> Self {
        Self { entry_chain: applied.entry_chain, result_chain: applied.result_chain }
    }
}
