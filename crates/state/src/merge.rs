//! An ordered walk over layers of writes and the table on disk, the newest winning.

use crate::{Key, Order, StateError, Value, disk::Rows, range::Span};
use imbl::OrdMap;
use std::collections::BTreeMap;

/// Writes that are not on disk yet.
pub(crate) type Layer = OrdMap<Key, Option<Value>>;

type Write<'a> = (&'a Key, &'a Option<Value>);

struct Memory<'a> {
    head: Option<Write<'a>>,
    rest: Box<dyn Iterator<Item = Write<'a>> + 'a>,
}

/// The keys of all layers in a span, in its order, with their newest values: none for what is deleted
/// in memory, and may be on disk still.
pub(crate) struct Merge<'a> {
    order: Order,
    /// Newest first.
    memory: Vec<Memory<'a>>,
    disk_head: Option<(Key, Value)>,
    disk: Rows,
    failed: bool,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(mut disk: Rows, order: Order) -> Result<Self, StateError> {
        let disk_head = disk.next().transpose()?;
        Ok(Self { order, memory: Vec::new(), disk_head, disk, failed: false })
    }

    /// Adds a layer older than those added before.
    pub(crate) fn layer(&mut self, layer: &'a Layer, span: &Span) {
        self.push(layer.range::<_, [u8]>(span.bounds()));
    }

    /// Adds a scope's own writes, before any other layer.
    pub(crate) fn overlay(&mut self, overlay: &'a BTreeMap<Key, Option<Value>>, span: &Span) {
        self.push(overlay.range::<[u8], _>(span.bounds()));
    }

    fn push(&mut self, writes: impl DoubleEndedIterator<Item = Write<'a>> + 'a) {
        let mut rest: Box<dyn Iterator<Item = Write<'a>> + 'a> = match self.order {
            Order::Ascending => Box::new(writes),
            Order::Descending => Box::new(writes.rev()),
        };
        let head = rest.next();
        self.memory.push(Memory { head, rest });
    }

    fn step(&mut self) -> Result<Option<(Key, Option<Value>)>, StateError> {
        let heads = self.memory.iter().filter_map(|memory| memory.head.map(|(key, _)| key));
        let heads = heads.chain(self.disk_head.as_ref().map(|(key, _)| key));
        let next = match self.order {
            Order::Ascending => heads.min(),
            Order::Descending => heads.max(),
        };
        let Some(key) = next.cloned() else {
            return Ok(None);
        };

        let mut newest = None;
        for memory in &mut self.memory {
            if let Some((_, value)) = memory.head.filter(|(head, _)| **head == key) {
                newest.get_or_insert(value);
                memory.head = memory.rest.next();
            }
        }
        let newest = newest.cloned();
        let on_disk = self.disk_head.take_if(|(head, _)| *head == key);
        if on_disk.is_some() {
            self.disk_head = self.disk.next().transpose()?;
        }
        let value = newest.unwrap_or_else(|| on_disk.map(|(_, value)| value));
        Ok(Some((key, value)))
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<(Key, Option<Value>), StateError>;

    /// Ends after the first error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.step().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}
