//! What belongs to one node and is not hashed: the values of checkpoints that it computed itself, and
//! small blobs.

use crate::{
    CheckpointValues, StateError, Store,
    error::guarded,
    tables::{CHECKPOINTS, META, seal, unseal, write},
};
use althing_protocol::Hash;
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};

fn decode_checkpoint(index: u64, row: &[u8]) -> Result<CheckpointValues, StateError> {
    let bytes = unseal("checkpoints", &index.to_le_bytes(), row)?;
    let hash = |at: usize| {
        let bytes = bytes.get(at..at + 32).and_then(|bytes| Hash::try_from(bytes).ok());
        bytes.ok_or_else(|| StateError::Corrupt(format!("checkpoint {index} is too short")))
    };
    let (entry_chain, result_chain, state_hash) = (hash(0)?, hash(32)?, hash(64)?);
    Ok(CheckpointValues { index, entry_chain, result_chain, state_hash })
}

pub(crate) fn write_checkpoint(
    txn: &WriteTransaction,
    values: &CheckpointValues,
) -> Result<(), StateError> {
    let hashes = [values.entry_chain.0, values.result_chain.0, values.state_hash.0].concat();
    let mut row = Vec::new();
    let row = seal(&mut row, &values.index.to_le_bytes(), &hashes);
    txn.open_table(CHECKPOINTS)?.insert(values.index, row)?;
    Ok(())
}

pub(crate) fn write_meta(
    txn: &WriteTransaction,
    name: &str,
    bytes: &[u8],
) -> Result<(), StateError> {
    let mut row = Vec::new();
    txn.open_table(META)?.insert(name, seal(&mut row, name.as_bytes(), bytes))?;
    Ok(())
}

/// Each of these writes is durable when it returns, and waits for a flush under way.
impl Store {
    /// Keeps the values of a checkpoint.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn checkpoint_put(&self, values: &CheckpointValues) -> Result<(), StateError> {
        self.write_local(|txn| write_checkpoint(txn, values))
    }

    /// The values kept for the checkpoint at `index`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn checkpoint_get(&self, index: u64) -> Result<Option<CheckpointValues>, StateError> {
        self.read_local(|txn| {
            let row = txn.open_table(CHECKPOINTS)?.get(index)?;
            row.map(|row| decode_checkpoint(index, row.value())).transpose()
        })
    }

    /// The newest checkpoint kept.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn checkpoint_last(&self) -> Result<Option<CheckpointValues>, StateError> {
        self.read_local(|txn| {
            let table = txn.open_table(CHECKPOINTS)?;
            let last = table.last()?;
            last.map(|(index, row)| decode_checkpoint(index.value(), row.value())).transpose()
        })
    }

    /// Drops checkpoints before `below`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn checkpoints_prune(&self, below: u64) -> Result<(), StateError> {
        self.write_local(|txn| Ok(txn.open_table(CHECKPOINTS)?.retain_in(..below, |_, _| false)?))
    }

    /// The blob named `name`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn meta_get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.read_local(|txn| {
            let row = txn.open_table(META)?.get(name)?;
            row.map(|row| Ok(unseal("meta", name.as_bytes(), row.value())?.to_vec())).transpose()
        })
    }

    /// Keeps a blob under `name`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn meta_put(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.write_local(|txn| write_meta(txn, name, bytes))
    }

    pub(crate) fn read_local<T>(
        &self,
        f: impl FnOnce(&ReadTransaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        guarded(|| f(&self.shared.db.begin_read()?))
    }

    fn write_local(
        &self,
        f: impl FnOnce(&WriteTransaction) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        guarded(|| write(&self.shared.db, f))
    }
}
