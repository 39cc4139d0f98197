//! The byte layout of the store's file.
//!
//! One redb file, written in redb's two-phase commits with quick repair: opening after a crash
//! does not walk the file. All tables are written in the transaction that makes a frozen part of
//! the state durable, except where noted.
//!
//! | table | key | value | holds |
//! |---|---|---|---|
//! | `head` | name (string) | see below | what the file is, and where the state in it stands |
//! | `state` | keyspace ‖ 0 ‖ key | value | the replicated pairs: all that the state hash covers |
//! | `results` | index (u64) | entry chain ‖ result chain ‖ encoded `Result` | outcomes of the entries kept, and the chains after each; local to the node |
//! | `checkpoints` | index (u64) | entry chain ‖ result chain ‖ state hash | written by the realm, each in a transaction of its own |
//! | `meta` | name (string) | any bytes | small things of the node, each in a transaction of its own |
//!
//! **Every value ends with a check**: the CRC-32 (IEEE, 4 bytes, little-endian) of the key's bytes
//! (an index as 8 bytes, little-endian) followed by the value's. It is verified whenever a row is
//! read, so a byte that flipped in a row is an error that names the row, and is not served. A byte
//! that flipped in a key or in an inner page can hide a row from a read; [`check_file`] finds it,
//! with redb's page checksums and by adding up the state hash again.
//!
//! [`check_file`]: crate::check_file
//!
//! Rows of `head`:
//! - `format`: the version of this layout, u32 little-endian; this row and its check stay as they
//!   are in every version, so that any program can refuse what it does not know.
//! - `genesis`: the realm's encoded genesis.
//! - `applied`: `index, term, node, timestamp_us` (u64 little-endian each), entry chain, result
//!   chain (32 bytes each), membership (the rest).
//! - `sum`: the state's homomorphic sum, 1,024 u16 little-endian. Its hash is the state hash.
//!
//! `head`, `state` and `results` change together or not at all: after power loss the file holds
//! the state of one boundary with its position, chains, sum and results. A state that a snapshot
//! replaces goes in the one transaction in which the other comes, its results and checkpoints with
//! it: the pages of the old one are free for later writes once no view reads them any more.

use crate::{Applied, Key, StateError, digest::StateSum, key::shown, local};
use redb::{Database, Durability, ReadTransaction, Table, TableDefinition, WriteTransaction};

/// Version of the layout.
pub const FORMAT: u32 = 1;

pub(crate) const HEAD: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("head");
pub(crate) const STATE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("state");
pub(crate) const RESULTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("results");
pub(crate) const CHECKPOINTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("checkpoints");
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const CHECK_BYTES: usize = 4;

/// Value and check of a row, in a buffer that is used again for the next row.
pub(crate) fn seal<'a>(row: &'a mut Vec<u8>, key: &[u8], value: &[u8]) -> &'a [u8] {
    row.clear();
    row.extend_from_slice(value);
    row.extend_from_slice(&check(key, value));
    row
}

/// The value of a row whose check holds. `table` and `key` are named if it does not.
pub(crate) fn unseal<'a>(table: &str, key: &[u8], row: &'a [u8]) -> Result<&'a [u8], StateError> {
    match row.split_last_chunk::<CHECK_BYTES>() {
        Some((value, stored)) if check(key, value) == *stored => Ok(value),
        _ => Err(StateError::Corrupt(format!(
            "row {} of table {table} does not match its check",
            shown(key)
        ))),
    }
}

fn check(key: &[u8], value: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize().to_le_bytes()
}

/// One transaction, durable when this returns.
pub(crate) fn write<T, E: From<StateError>>(
    db: &Database,
    body: impl FnOnce(&WriteTransaction) -> Result<T, E>,
) -> Result<T, E> {
    let mut txn = db.begin_write().map_err(StateError::from)?;
    txn.set_durability(Durability::Immediate).map_err(StateError::from)?;
    txn.set_quick_repair(true);
    let done = body(&txn)?;
    txn.commit().map_err(StateError::from)?;
    Ok(done)
}

/// Writes where the state stands.
pub(crate) fn write_position(
    txn: &WriteTransaction,
    applied: &Applied,
    sum: &StateSum,
) -> Result<(), StateError> {
    let mut head = txn.open_table(HEAD)?;
    let mut row = Vec::new();
    head.insert("applied", seal(&mut row, b"applied", &applied.encode()))?;
    head.insert("sum", seal(&mut row, b"sum", &sum.to_bytes()))?;
    Ok(())
}

/// Adds the pairs of a new store.
pub(crate) struct Filler<'txn> {
    state: Table<'txn, &'static [u8], &'static [u8]>,
    row: Vec<u8>,
    pub(crate) sum: StateSum,
}

impl Filler<'_> {
    /// Adds a pair that is not there yet.
    pub(crate) fn put(&mut self, key: &Key, value: &[u8]) -> Result<(), StateError> {
        self.state.insert(key.as_bytes(), seal(&mut self.row, key.as_bytes(), value))?;
        self.sum.add(key, value);
        Ok(())
    }
}

/// Writes a new store in one transaction: nothing, if `fill` fails.
pub(crate) fn initialise<E: From<StateError>>(
    db: &Database,
    genesis: &[u8],
    applied: &Applied,
    fill: impl FnOnce(&mut Filler<'_>) -> Result<(), E>,
) -> Result<(), E> {
    write(db, |txn| {
        create_tables(txn, genesis)?;
        fill_state(txn, applied, fill).map(drop)
    })
}

/// Puts another state in the place of this one in one transaction: nothing changes if `fill`
/// fails. Results and checkpoints of the old state go with it; the values at `applied` become a
/// checkpoint. Blobs of the node stay, and those of `meta` are written.
pub(crate) fn replace<E: From<StateError>>(
    db: &Database,
    applied: &Applied,
    meta: &[(&str, &[u8])],
    fill: impl FnOnce(&mut Filler<'_>) -> Result<(), E>,
) -> Result<(), E> {
    write(db, |txn| {
        clear(txn)?;
        let sum = fill_state(txn, applied, fill)?;
        local::write_checkpoint(txn, &applied.checkpoint(sum.hash()))?;
        for (name, bytes) in meta {
            local::write_meta(txn, name, bytes)?;
        }
        Ok(())
    })
}

fn fill_state<E: From<StateError>>(
    txn: &WriteTransaction,
    applied: &Applied,
    fill: impl FnOnce(&mut Filler<'_>) -> Result<(), E>,
) -> Result<StateSum, E> {
    let state = txn.open_table(STATE).map_err(StateError::from)?;
    let mut filler = Filler { state, row: Vec::new(), sum: StateSum::empty() };
    fill(&mut filler)?;
    write_position(txn, applied, &filler.sum)?;
    Ok(filler.sum)
}

/// Drops what belongs to the state that is there.
fn clear(txn: &WriteTransaction) -> Result<(), StateError> {
    txn.delete_table(STATE)?;
    txn.delete_table(RESULTS)?;
    txn.delete_table(CHECKPOINTS)?;
    txn.open_table(RESULTS)?;
    txn.open_table(CHECKPOINTS)?;
    Ok(())
}

fn create_tables(txn: &WriteTransaction, genesis: &[u8]) -> Result<(), StateError> {
    txn.open_table(RESULTS)?;
    txn.open_table(CHECKPOINTS)?;
    txn.open_table(META)?;
    let mut head = txn.open_table(HEAD)?;
    let mut row = Vec::new();
    head.insert("format", seal(&mut row, b"format", &FORMAT.to_le_bytes()))?;
    head.insert("genesis", seal(&mut row, b"genesis", genesis))?;
    Ok(())
}

/// What `head` says.
pub(crate) struct Head {
    pub(crate) genesis: Vec<u8>,
    pub(crate) applied: Applied,
    pub(crate) sum: StateSum,
}

/// Reads `head`, refusing what is not ours or newer than we are.
pub(crate) fn read_head(txn: &ReadTransaction) -> Result<Head, StateError> {
    let not_ours = |what: &str| StateError::NotOurs(what.to_owned());
    let table = match txn.open_table(HEAD) {
        Ok(table) => table,
        Err(redb::TableError::Storage(error)) => return Err(error.into()),
        Err(error) => return Err(StateError::NotOurs(error.to_string())),
    };
    let row = |name: &'static str| -> Result<Vec<u8>, StateError> {
        let row = table.get(name)?.ok_or_else(|| not_ours(&format!("it has no {name}")))?;
        unseal("head", name.as_bytes(), row.value()).map(<[u8]>::to_vec)
    };
    let format = row("format")?.try_into().map(u32::from_le_bytes);
    match format {
        Ok(FORMAT) => {}
        Ok(found) if found > FORMAT => {
            return Err(StateError::NewerFormat { found, known: FORMAT });
        }
        _ => return Err(not_ours("its format is not a version")),
    }
    let damaged = |name: &str| StateError::Corrupt(format!("row {name:?} of table head"));
    Ok(Head {
        genesis: row("genesis")?,
        applied: Applied::decode(&row("applied")?).ok_or_else(|| damaged("applied"))?,
        sum: StateSum::from_bytes(&row("sum")?).ok_or_else(|| damaged("sum"))?,
    })
}
