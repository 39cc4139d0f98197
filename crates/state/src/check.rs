//! Looking for damage.

use crate::{
    Applied, Options, StateError, Store,
    digest::StateSum,
    error::guarded,
    range::Span,
    store::open_file,
    tables::{CHECKPOINTS, META, RESULTS, unseal},
};
use althing_protocol::Hash;
use redb::{ReadTransaction, ReadableTable};
use std::path::Path;

/// What an undamaged store holds on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where it stands.
    pub applied: Applied,
    /// Its state hash, added up from every pair.
    pub state_hash: Hash,
    /// Pairs in it.
    pub pairs: u64,
    /// Results kept.
    pub results: u64,
    /// Checkpoints kept.
    pub checkpoints: u64,
}

/// Checks a store that nothing has open: redb's checksum of every page, then all that
/// [`Store::check`] does.
///
/// Opening a file and checking it may complete what a crash cut short; a byte that flipped in a
/// page in use is an error.
///
/// # Errors
/// What is damaged, or why the store does not open.
pub fn check_file(path: &Path, options: &Options) -> Result<Report, StateError> {
    let clean = guarded(|| Ok(open_file(path, options)?.check_integrity()?))?;
    if !clean {
        return Err(StateError::Corrupt("pages do not match their checksums".to_owned()));
    }
    Store::open_with(path, options)?.check()
}

impl Store {
    /// Reads every row that is on disk, verifies its check, and adds up the state hash again.
    /// Costs one row read and one lattice hash a pair; the store can be used meanwhile.
    ///
    /// # Errors
    /// What is damaged.
    pub fn check(&self) -> Result<Report, StateError> {
        let disk = self.shared.base().disk;
        let mut sum = StateSum::empty();
        let mut pairs = 0;
        for row in disk.rows(&Span::everything())? {
            let (key, value) = row?;
            sum.add(&key, &value);
            pairs += 1;
        }
        if sum != disk.sum || pairs != disk.pairs()? {
            return Err(StateError::Corrupt(format!(
                "{pairs} pairs hash to {}, the state hash on disk is {}",
                sum.hash(),
                disk.sum.hash()
            )));
        }
        let (results, checkpoints) = self.read_local(check_rows)?;
        let applied = (*disk.applied).clone();
        Ok(Report { applied, state_hash: sum.hash(), pairs, results, checkpoints })
    }
}

/// Verifies the rows of the local tables; counts results and checkpoints.
fn check_rows(txn: &ReadTransaction) -> Result<(u64, u64), StateError> {
    let mut counts = [0, 0];
    for (table, count) in [RESULTS, CHECKPOINTS].into_iter().zip(&mut counts) {
        let name = redb::TableHandle::name(&table).to_owned();
        for row in txn.open_table(table)?.iter()? {
            let (index, row) = row?;
            unseal(&name, &index.value().to_le_bytes(), row.value())?;
            *count += 1;
        }
    }
    for row in txn.open_table(META)?.iter()? {
        let (name, row) = row?;
        unseal("meta", name.value().as_bytes(), row.value())?;
    }
    Ok((counts[0], counts[1]))
}
