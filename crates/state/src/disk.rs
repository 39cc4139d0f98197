//! The part of a view that lies on disk: one read transaction, its tables opened once.

use crate::{
    Applied, Fingerprint, Key, StateError, Value,
    digest::StateSum,
    engine::Engine,
    error::guarded,
    key::shown,
    range::{Order, Span},
    tables::{RESULTS, STATE, read_head, unseal},
};
use arc_swap::ArcSwapOption;
use redb::{ReadOnlyTable, ReadableDatabase, ReadableTableMetadata};
use std::sync::Arc;

type StateTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

struct Tables {
    state: StateTable,
    results: ReadOnlyTable<u64, &'static [u8]>,
}

/// The state as of one flush. While it lives, redb keeps its pages, so it can be told to
/// [expire](Disk::expire).
pub(crate) struct Disk {
    /// Counts flushes since the store was opened.
    pub(crate) generation: u64,
    pub(crate) genesis: Arc<[u8]>,
    pub(crate) applied: Arc<Applied>,
    pub(crate) sum: StateSum,
    /// None once expired. Declared before the database: the transaction ends before it closes.
    tables: ArcSwapOption<Tables>,
    _db: Arc<Engine>,
}

impl Disk {
    /// What the last commit holds.
    pub(crate) fn open(db: &Arc<Engine>, generation: u64) -> Result<Self, StateError> {
        guarded(|| Self::open_unguarded(db, generation))
    }

    fn open_unguarded(db: &Arc<Engine>, generation: u64) -> Result<Self, StateError> {
        let txn = db.begin_read()?;
        let head = read_head(&txn)?;
        let tables = Tables { state: txn.open_table(STATE)?, results: txn.open_table(RESULTS)? };
        Ok(Self {
            generation,
            genesis: head.genesis.into(),
            applied: Arc::new(head.applied),
            sum: head.sum,
            tables: ArcSwapOption::from_pointee(tables),
            _db: Arc::clone(db),
        })
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<Value>, StateError> {
        self.read(|tables| {
            let Some(row) = tables.state.get(key.as_bytes())? else {
                return Ok(None);
            };
            Ok(Some(unseal("state", key.as_bytes(), row.value())?.into()))
        })
    }

    pub(crate) fn rows(&self, span: &Span) -> Result<Rows, StateError> {
        let order = span.order;
        self.read(|tables| Ok(Rows { range: tables.state.range::<&[u8]>(span.bounds())?, order }))
    }

    pub(crate) fn pairs(&self) -> Result<u64, StateError> {
        self.read(|tables| Ok(tables.state.len()?))
    }

    pub(crate) fn result(&self, index: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.read(|tables| {
            let Some(row) = tables.results.get(index)? else {
                return Ok(None);
            };
            let row = unseal("results", &index.to_le_bytes(), row.value())?;
            Ok(Some(Fingerprint::split(index, row)?.1.to_vec()))
        })
    }

    /// The chains of the last entry with a result up to `index`.
    pub(crate) fn fingerprint(&self, index: u64) -> Result<Option<Fingerprint>, StateError> {
        self.read(|tables| {
            let Some((at, row)) = tables.results.range(..=index)?.next_back().transpose()? else {
                return Ok(None);
            };
            let row = unseal("results", &at.value().to_le_bytes(), row.value())?;
            Ok(Some(Fingerprint::split(at.value(), row)?.0))
        })
    }

    /// Ends the transaction; reads fail from now on.
    pub(crate) fn expire(&self) {
        self.tables.store(None);
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.tables.load().is_none()
    }

    fn read<T>(&self, f: impl FnOnce(&Tables) -> Result<T, StateError>) -> Result<T, StateError> {
        match &*self.tables.load() {
            Some(tables) => guarded(|| f(tables)),
            None => Err(StateError::ViewExpired(self.generation)),
        }
    }
}

/// Pairs on disk in the order of a span. It keeps the transaction alive.
pub(crate) struct Rows {
    range: redb::Range<'static, &'static [u8], &'static [u8]>,
    order: Order,
}

impl Rows {
    fn read(&mut self) -> Result<Option<(Key, Value)>, StateError> {
        let next = match self.order {
            Order::Ascending => self.range.next(),
            Order::Descending => self.range.next_back(),
        };
        let Some((key, row)) = next.transpose()? else {
            return Ok(None);
        };
        let bytes = key.value();
        let value = unseal("state", bytes, row.value())?;
        let key = Key::from_stored(bytes)
            .ok_or_else(|| StateError::Corrupt(format!("key {} has no keyspace", shown(bytes))))?;
        Ok(Some((key, value.into())))
    }
}

impl Iterator for Rows {
    type Item = Result<(Key, Value), StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        guarded(|| self.read()).transpose()
    }
}
