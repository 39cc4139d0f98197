//! The program's own keyspace.

use super::{
    Bytes, Entered, Function,
    entered::Shown,
    error::{Failed, Tried},
};
use crate::{
    fuel,
    host::{Order, Page, Range},
    state::State,
};
use althing_protocol::limits;
use std::sync::Arc;
use wasmtime::{
    Result,
    component::{ComponentType, Lift, LinkerInstance, Lower},
};

pub(super) const NAME: &str = "althing:contract/db@0.1.0";

pub(super) const FUNCTIONS: &[Function] = &[
    ("get", "func(list<u8>) -> result<option<list<u8>>, error>"),
    ("put", "func(list<u8>, list<u8>) -> result<_, error>"),
    ("delete", "func(list<u8>) -> result<bool, error>"),
    (
        "scan",
        "func(record { prefix: list<u8>, after: option<list<u8>>, before: option<list<u8>> }, enum { \
         ascending, descending }, u32) -> result<record { pairs: list<record { key: list<u8>, value: \
         list<u8> }>, more: bool }, error>",
    ),
    ("delete-prefix", "func(list<u8>, u32) -> result<record { keys: u32, more: bool }, error>"),
];

/// `range` of the world.
#[derive(ComponentType, Lift)]
#[component(record)]
struct WitRange {
    prefix: Bytes,
    after: Option<Bytes>,
    before: Option<Bytes>,
}

/// `deleted` of the world.
#[derive(ComponentType, Lower)]
#[component(record)]
struct WitDeleted {
    keys: u32,
    more: bool,
}

pub(super) fn define(db: &mut LinkerInstance<'_, State>) -> Result<()> {
    db.func_wrap("get", |store, (key,): (Bytes,)| {
        let mut on = Entered::new(store, "db.get", fuel::DB_READ)?;
        let got = get(&mut on, &key);
        on.answer(got, |value| match value {
            Some(value) => Shown(value).to_string(),
            None => "none".to_owned(),
        })
    })?;
    db.func_wrap("put", |store, (key, value): (Bytes, Bytes)| {
        let mut on = Entered::new(store, "db.put", fuel::DB_WRITE)?;
        let put = put(&mut on, &key, &value);
        on.answer(put, |()| String::new())
    })?;
    db.func_wrap("delete", |store, (key,): (Bytes,)| {
        let mut on = Entered::new(store, "db.delete", fuel::DB_WRITE)?;
        let deleted = delete(&mut on, &key);
        on.answer(deleted, bool::to_string)
    })?;
    db.func_wrap("scan", |store, (range, order, limit): (WitRange, Order, u32)| {
        let mut on = Entered::new(store, "db.scan", fuel::DB_READ)?;
        let page = scan(&mut on, &range, order, limit);
        on.answer(page, |page| {
            format!("{} pairs{}", page.pairs.len(), if page.more { ", more" } else { "" })
        })
    })?;
    db.func_wrap("delete-prefix", |store, (prefix, limit): (Bytes, u32)| {
        let mut on = Entered::new(store, "db.delete-prefix", fuel::DB_READ)?;
        let deleted = delete_prefix(&mut on, &prefix, limit);
        on.answer(deleted, |deleted| {
            format!("{} keys{}", deleted.keys, if deleted.more { ", more" } else { "" })
        })
    })
}

fn get(on: &mut Entered<'_>, key: &Bytes) -> Tried<Option<Arc<[u8]>>> {
    let key = on.key(key)?;
    let value = on.store.data_mut().host.db_get(&key)?;
    on.charge_bytes(value.as_ref().map_or(0, |value| value.len()), fuel::COPY_PER_BYTE)?;
    Ok(value)
}

fn put(on: &mut Entered<'_>, key: &Bytes, value: &Bytes) -> Tried<()> {
    on.writes()?;
    let key = on.key(key)?;
    let value = on.bytes("value", value, limits::VALUE_BYTES_MAX, fuel::WRITE_PER_BYTE)?.into();
    Ok(on.store.data_mut().host.db_put(&key, value)?)
}

fn delete(on: &mut Entered<'_>, key: &Bytes) -> Tried<bool> {
    on.writes()?;
    let key = on.key(key)?;
    let value_bytes = on.store.data_mut().host.db_delete(&key)?;
    on.charge_bytes(value_bytes.unwrap_or(0), fuel::COPY_PER_BYTE)?;
    Ok(value_bytes.is_some())
}

fn scan(on: &mut Entered<'_>, range: &WitRange, order: Order, limit: u32) -> Tried<Page> {
    let prefix = end(on, "prefix", Some(&range.prefix))?.unwrap_or_default();
    let after = end(on, "after", range.after.as_ref())?;
    let before = end(on, "before", range.before.as_ref())?;
    on.tell("order", order);
    on.tell("limit", limit);
    let limit = at_most(limit, limits::SCAN_PAIRS_MAX);
    let range = Range { prefix: &prefix, after: after.as_deref(), before: before.as_deref() };
    let page = on.store.data_mut().host.db_scan(range, order, limit)?;
    assert!(page.pairs.len() <= limit, "the host gave more pairs than asked for");
    on.charge(fuel::DB_SCAN_PAIR * page.pairs.len() as u64)?;
    let bytes = page.pairs.iter().map(|pair| pair.key.len() + pair.value.len()).sum();
    on.charge_bytes(bytes, fuel::COPY_PER_BYTE)?;
    Ok(page)
}

fn end(on: &mut Entered<'_>, what: &'static str, end: Option<&Bytes>) -> Tried<Option<Vec<u8>>> {
    let Some(end) = end else { return Ok(None) };
    let bytes = on.bytes(what, end, limits::KEY_BYTES_MAX, fuel::COPY_PER_BYTE)?;
    Ok(Some(bytes.to_vec()))
}

/// In steps, so that what is read and written is never much more than what was paid for.
fn delete_prefix(on: &mut Entered<'_>, prefix: &Bytes, limit: u32) -> Tried<WitDeleted> {
    on.writes()?;
    let prefix = end(on, "prefix", Some(prefix))?.unwrap_or_default();
    on.tell("limit", limit);
    let limit = at_most(limit, limits::DELETE_PREFIX_KEYS_MAX);
    let mut keys = 0;
    loop {
        let step = (limit - keys).min(limits::SCAN_PAIRS_MAX);
        let deleted = on.store.data_mut().host.db_delete_prefix(&prefix, step)?;
        assert!(deleted.keys <= step, "the host deleted more keys than asked for");
        on.charge(fuel::DB_WRITE * deleted.keys as u64)?;
        on.charge_bytes(deleted.bytes, fuel::COPY_PER_BYTE)?;
        keys += deleted.keys;
        // A step that deletes nothing would be followed by another one.
        if !deleted.more || keys == limit || deleted.keys == 0 {
            let keys = u32::try_from(keys).map_err(|_| Failed::from(wasmtime::Trap::OutOfFuel))?;
            return Ok(WitDeleted { keys, more: deleted.more });
        }
    }
}

fn at_most(limit: u32, max: usize) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX).min(max)
}
