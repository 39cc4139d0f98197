//! What readers hold: the state at one moment.

use crate::{
    Applied, Fingerprint, Key, Range, StateError, Value, Writes,
    digest::StateSum,
    disk::Disk,
    gaps::{Gaps, Run},
    merge::{Layer, Merge},
    range::Span,
};
use althing_protocol::Hash;
use imbl::OrdMap;
use std::{cell::RefCell, fmt, ops::Bound, sync::Arc};

/// Results by index with the chains before them, not on disk yet.
pub(crate) type Results = OrdMap<u64, Arc<[u8]>>;

/// What the flusher is writing: complete up to one entry, and no longer changing.
pub(crate) struct Frozen {
    pub(crate) writes: Layer,
    pub(crate) results: Results,
    pub(crate) applied: Arc<Applied>,
}

/// The lower layers of every view: the disk, and what is on its way there.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) disk: Arc<Disk>,
    pub(crate) frozen: Option<Arc<Frozen>>,
}

/// The layers of a view. A newer layer hides an older one.
pub(crate) struct Layers {
    pub(crate) base: Base,
    pub(crate) fresh: Layer,
    pub(crate) results: Results,
    pub(crate) applied: Arc<Applied>,
}

impl Layers {
    /// What is on disk, without anything over it.
    pub(crate) fn of(base: Base) -> Self {
        let applied = Arc::clone(&base.disk.applied);
        Self { base, fresh: Layer::new(), results: Results::new(), applied }
    }
}

/// The whole state after one entry. It never changes, and cloning it is cheap.
///
/// While it lives, the file keeps what was in it then and grows: hold it for one query, or let
/// the realm limit its life with [`Store::expire_views`](crate::Store::expire_views).
#[derive(Clone)]
pub struct View(pub(crate) Arc<Layers>);

/// Part of an ordered scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys without their keyspace, and values, in the order of the scan.
    pub pairs: Vec<(Vec<u8>, Value)>,
    /// Whether there is more after the last pair.
    pub more: bool,
}

impl View {
    /// The value of `key`.
    ///
    /// # Errors
    /// When the disk fails, or the store closed this view.
    pub fn get(&self, key: &Key) -> Result<Option<Value>, StateError> {
        let Layers { base, fresh, .. } = &*self.0;
        let frozen = || base.frozen.as_ref().and_then(|frozen| frozen.writes.get(key));
        match fresh.get(key).or_else(frozen) {
            Some(value) => Ok(value.clone()),
            None => base.disk.get(key),
        }
    }

    /// The pairs of `keyspace` whose keys begin with `prefix`, from `start` on.
    ///
    /// The page ends before it has more than `limit_pairs` pairs or `limit_bytes` bytes of keys
    /// and values; but it has at least one pair if there is one and `limit_pairs` is not 0. To
    /// go on, start after ([`Bound::Excluded`]) the last key.
    ///
    /// # Errors
    /// When the disk fails, or the store closed this view.
    pub fn scan(
        &self,
        keyspace: &str,
        start: Bound<&[u8]>,
        prefix: &[u8],
        limit_pairs: usize,
        limit_bytes: usize,
    ) -> Result<Page, StateError> {
        let range = Range { start, ..Range::of_prefix(prefix) };
        self.range(keyspace, range, limit_pairs, limit_bytes)
    }

    /// The pairs of `keyspace` that lie in `range`, in its order. Pages are cut as
    /// [`scan`](Self::scan) cuts them: to go on when descending, end before the last key.
    ///
    /// # Errors
    /// When the disk fails, or the store closed this view.
    pub fn range(
        &self,
        keyspace: &str,
        range: Range<'_>,
        limit_pairs: usize,
        limit_bytes: usize,
    ) -> Result<Page, StateError> {
        self.page(None, range.within(keyspace), limit_pairs, limit_bytes)
    }

    /// A page, seen through a scope's own writes, with what it knows of stretches without keys.
    pub(crate) fn page(
        &self,
        overlay: Option<(&Writes, &RefCell<Gaps>)>,
        span: Option<Span>,
        limit_pairs: usize,
        limit_bytes: usize,
    ) -> Result<Page, StateError> {
        let mut page = Page::default();
        let mut bytes = 0;
        let Some(mut span) = span else { return Ok(page) };
        let (writes, gaps) = overlay.unzip();
        let mut walk = self.merge(writes, &span)?;
        let mut run: Option<Run> = None;
        while let Some(pair) = walk.next().transpose()? {
            let (key, value) = pair;
            let Some(value) = value else {
                let Some(gaps) = gaps else { continue };
                run.get_or_insert_with(|| Run::new(key.as_bytes())).step();
                let gaps = gaps.borrow();
                if let Some(gap) = gaps.around(key.as_bytes()) {
                    if !span.jump(gap) {
                        break;
                    }
                    walk = self.merge(writes, &span)?;
                }
                continue;
            };
            if let (Some(run), Some(gaps)) = (run.take(), gaps) {
                run.end_at(key.as_bytes(), span.order, &mut gaps.borrow_mut());
            }
            let key = key.key();
            bytes += key.len() + value.len();
            let full = page.pairs.len() >= limit_pairs || bytes > limit_bytes;
            if full && (limit_pairs == 0 || !page.pairs.is_empty()) {
                page.more = true;
                return Ok(page);
            }
            page.pairs.push((key.to_vec(), value));
        }
        if let (Some(run), Some(gaps)) = (run, gaps) {
            run.end_with(span.end(), span.order, &mut gaps.borrow_mut());
        }
        Ok(page)
    }

    fn merge<'a>(
        &'a self,
        overlay: Option<&'a Writes>,
        span: &Span,
    ) -> Result<Merge<'a>, StateError> {
        let Layers { base, fresh, .. } = &*self.0;
        let mut merge = Merge::new(base.disk.rows(span)?, span.order)?;
        if let Some(overlay) = overlay {
            merge.overlay(overlay.map(), span);
        }
        merge.layer(fresh, span);
        if let Some(frozen) = &base.frozen {
            merge.layer(&frozen.writes, span);
        }
        Ok(merge)
    }

    /// Every pair, in key order.
    pub(crate) fn pairs(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Key, Value), StateError>> + '_, StateError> {
        let live = |pair: Result<(Key, Option<Value>), _>| match pair {
            Ok((key, value)) => value.map(|value| Ok((key, value))),
            Err(error) => Some(Err(error)),
        };
        Ok(self.merge(None, &Span::everything())?.filter_map(live))
    }

    /// The position and chains of the last entry this view contains.
    pub fn applied(&self) -> &Applied {
        &self.0.applied
    }

    /// The realm's encoded genesis.
    pub fn genesis(&self) -> &[u8] {
        &self.0.base.disk.genesis
    }

    /// The encoded result of the entry at `index`, if it is kept.
    ///
    /// # Errors
    /// When the disk fails, or the store closed this view.
    pub fn result(&self, index: u64) -> Result<Option<Vec<u8>>, StateError> {
        let Layers { base, results, .. } = &*self.0;
        let frozen = || base.frozen.as_ref().and_then(|frozen| frozen.results.get(&index));
        match results.get(&index).or_else(frozen) {
            Some(row) => Ok(Some(Fingerprint::split(index, row)?.1.to_vec())),
            None => base.disk.result(index),
        }
    }

    /// Both chains after the entry at `index`; none when this view does not reach it, or when no
    /// result up to it is kept.
    ///
    /// # Errors
    /// When the disk fails, or the store closed this view.
    pub fn fingerprint(&self, index: u64) -> Result<Option<Fingerprint>, StateError> {
        let Layers { base, results, applied, .. } = &*self.0;
        if index > applied.index {
            return Ok(None);
        }
        // An entry without a result, the consensus engine's own, moves no chain on.
        let frozen = || base.frozen.as_ref().and_then(|frozen| frozen.results.get_prev(&index));
        match results.get_prev(&index).or_else(frozen) {
            Some((at, row)) => Ok(Some(Fingerprint::split(*at, row)?.0)),
            None => base.disk.fingerprint(index),
        }
    }

    /// The state hash at [`applied`](Self::applied).
    ///
    /// It starts from the sum of what is on disk and costs, for each key written since, one read of
    /// its old value and two lattice hashes of about 1.4 us: with 100,000 keys, near half a second.
    /// Call it away from the apply thread. A flush computes the same for its boundary.
    ///
    /// # Errors
    /// When the disk fails, or the store closed this view.
    pub fn state_hash(&self) -> Result<Hash, StateError> {
        Ok(self.tally()?.0.hash())
    }

    /// The sum over all pairs, and how many they are.
    pub(crate) fn tally(&self) -> Result<(StateSum, u64), StateError> {
        let Layers { base, fresh, .. } = &*self.0;
        let mut sum = base.disk.sum.clone();
        let mut pairs = base.disk.pairs()?;
        let frozen = base.frozen.iter().flat_map(|frozen| frozen.writes.iter());
        let hidden = |key: &Key| fresh.contains_key(key);
        for (key, new) in fresh.iter().chain(frozen.filter(|(key, _)| !hidden(key))) {
            let old = base.disk.get(key)?;
            sum.change(key, old.as_deref(), new.as_deref());
            pairs += u64::from(new.is_some());
            pairs -= u64::from(old.is_some());
        }
        Ok((sum, pairs))
    }

    /// Counts the flushes before this view: views of one generation share what they hold on disk.
    pub fn generation(&self) -> u64 {
        self.0.base.disk.generation
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, generation) = (self.applied().index, self.generation());
        write!(f, "View {{ index: {index}, generation: {generation} }}")
    }
}
