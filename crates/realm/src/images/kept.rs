//! Which images stay on this node: those that programs of the state need, and those that entries of
//! the log need. Another node may have to run these entries again: one that joins, or was away.
//!
//! Apply notes the image that an entry asks for. Once in a while [`look`](KeptImages::look) finds what no
//! program needs any more: then no entry to come asks for it, and it goes once the log begins behind
//! all those that may have. The table is on disk before the state that the entries lead to, so a crash
//! forgets none of them: the others are applied again.

use althing_blobs::Blobs;
use althing_protocol::{Hash, Result, decode};
use althing_state::{StateError, Store};
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Key of the store's local table: a [`Table`].
const KEPT: &str = "images kept";

/// The images that this node keeps.
pub(crate) struct KeptImages {
    blobs: Arc<Blobs>,
    /// The entry that apply runs.
    entry: AtomicU64,
    needs: Mutex<Needs>,
    /// Held while the table is written: one that is older never comes after a newer one.
    saving: Mutex<()>,
}

#[derive(Default)]
struct Needs {
    of: BTreeMap<Hash, Need>,
    /// The table on disk says something else.
    is_unsaved: bool,
}

/// Who needs an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// A program, or an entry that was just run: the last one that is known to have asked.
    Since(u64),
    /// Entries up to this one, at most.
    Until(u64),
}

/// What is on disk of it.
#[derive(Clone, PartialEq, Message)]
struct Table {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<Row>,
}

#[derive(Clone, PartialEq, Message)]
struct Row {
    #[prost(bytes = "vec", tag = "1")]
    image: Vec<u8>,
    /// The last entry that may need it; none while programs do.
    #[prost(uint64, optional, tag = "2")]
    until: Option<u64>,
}

impl KeptImages {
    /// Those that an earlier process kept.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn open(store: &Store, blobs: Arc<Blobs>) -> Result<Self> {
        let table = store.meta_get(KEPT).map_err(crate::halt::internal)?.unwrap_or_default();
        let table: Table = decode("images kept", &table)?;
        let need = |row: &Row| {
            let need = row.until.map_or(Need::Since(0), Need::Until);
            Ok((Hash::try_from(row.image.as_slice())?, need))
        };
        let of: BTreeMap<_, _> = table.rows.iter().map(need).collect::<Result<_>>()?;
        of.keys().for_each(|hash| blobs.pin(*hash));
        let needs = Mutex::new(Needs { of, is_unsaved: false });
        Ok(Self { blobs, entry: AtomicU64::new(0), needs, saving: Mutex::default() })
    }

    /// From now on it is entry `index` that asks.
    pub(crate) fn applies(&self, index: u64) {
        self.entry.store(index, Ordering::Relaxed);
    }

    /// The entry that is applied asks for an image.
    pub(super) fn note(&self, hash: &Hash) {
        let need = Need::Since(self.entry.load(Ordering::Relaxed));
        let mut needs = self.needs();
        if !matches!(needs.of.insert(*hash, need), Some(Need::Since(_))) {
            needs.is_unsaved = true;
            self.blobs.pin(*hash);
        }
    }

    /// Takes notice that after entry `index` programs need these images and no others. Of those before
    /// `first_kept` no entry is run again by anybody.
    pub(crate) fn look(&self, index: u64, in_use: &BTreeSet<Hash>, first_kept: u64) {
        let mut needs = self.needs();
        let before = needs.of.clone();
        for hash in in_use {
            match needs.of.get(hash) {
                Some(Need::Since(_)) => {}
                _ => drop(needs.of.insert(*hash, Need::Since(index))),
            }
            self.blobs.pin(*hash);
        }
        needs.of.retain(|hash, need| {
            match *need {
                // A later entry may have asked for it, which the caller has not seen applied.
                Need::Since(at) if at <= index && !in_use.contains(hash) => {
                    *need = Need::Until(index);
                }
                _ => {}
            }
            let is_needed = !matches!(*need, Need::Until(last) if last < first_kept);
            if !is_needed {
                self.blobs.unpin(hash);
            }
            is_needed
        });
        needs.is_unsaved |= needs.of != before;
    }

    /// Writes the table to disk if it has changed.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn save(&self, store: &Store) -> std::result::Result<(), StateError> {
        let _one_at_a_time = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let table = {
            let mut needs = self.needs();
            if !needs.is_unsaved {
                return Ok(());
            }
            needs.is_unsaved = false;
            Table { rows: needs.of.iter().map(row).collect() }
        };
        store.meta_put(KEPT, &table.encode_to_vec()).inspect_err(|_| {
            self.needs().is_unsaved = true;
        })
    }

    fn needs(&self) -> MutexGuard<'_, Needs> {
        self.needs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row((hash, need): (&Hash, &Need)) -> Row {
    let until = match need {
        Need::Since(_) => None,
        Need::Until(last) => Some(*last),
    };
    Row { image: hash.0.to_vec(), until }
}
