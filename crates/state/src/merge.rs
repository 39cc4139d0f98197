//! An ordered walk over layers of writes and the table on disk, the newest winning.

use crate::{Key, StateError, Value, disk::Rows};
use imbl::OrdMap;
use std::{collections::BTreeMap, ops::Bound};

/// Writes that are not on disk yet.
pub(crate) type Layer = OrdMap<Key, Option<Value>>;

type Write<'a> = (&'a Key, &'a Option<Value>);

struct Memory<'a> {
    head: Option<Write<'a>>,
    rest: Box<dyn Iterator<Item = Write<'a>> + 'a>,
}

/// The pairs of all layers from a bound on, in key order, without what is deleted.
pub(crate) struct Merge<'a> {
    /// Newest first.
    memory: Vec<Memory<'a>>,
    disk_head: Option<(Key, Value)>,
    disk: Rows,
    failed: bool,
}

/// Where a walk begins.
pub(crate) type Start<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl<'a> Merge<'a> {
    pub(crate) fn new(mut disk: Rows) -> Result<Self, StateError> {
        let disk_head = disk.next().transpose()?;
        Ok(Self { memory: Vec::new(), disk_head, disk, failed: false })
    }

    /// Adds a layer older than those added before.
    pub(crate) fn layer(&mut self, layer: &'a Layer, start: Start<'_>) {
        self.push(Box::new(layer.range::<_, [u8]>(start)));
    }

    /// Adds a scope's own writes, before any other layer.
    pub(crate) fn overlay(&mut self, overlay: &'a BTreeMap<Key, Option<Value>>, start: Start<'_>) {
        self.push(Box::new(overlay.range::<[u8], _>(start)));
    }

    fn push(&mut self, mut rest: Box<dyn Iterator<Item = Write<'a>> + 'a>) {
        let head = rest.next();
        self.memory.push(Memory { head, rest });
    }

    fn step(&mut self) -> Result<Option<(Key, Value)>, StateError> {
        loop {
            let heads = self.memory.iter().filter_map(|memory| memory.head.map(|(key, _)| key));
            let least = heads.chain(self.disk_head.as_ref().map(|(key, _)| key)).min();
            let Some(key) = least.cloned() else {
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
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<(Key, Value), StateError>;

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
