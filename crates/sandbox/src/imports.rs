//! The functions that a contract may import.
//!
//! Each one refuses to run during instantiation, charges its base, then checks lengths, charges for
//! the bytes, and only then copies. What a guest may handle it gets as an `error` record; what it
//! may not stops the call.

use crate::{
    call::{Export, Phase, State},
    fault::Broken,
    fuel,
    host::{Halt, HostError, Level, Page},
};
use althing_protocol::{Error, Kind, limits};
use std::sync::Arc;
use wasmtime::{
    Result, StoreContextMut, Trap,
    component::{ComponentType, Linker, LinkerInstance, Lower, WasmList, WasmStr},
};

/// The interfaces that a contract may import, each with its functions.
pub(crate) const OFFERED: &[(&str, &[&str])] = &[
    ("althing:contract/types@0.1.0", &[]),
    ("althing:contract/db@0.1.0", &["get", "put", "delete", "scan"]),
    ("althing:contract/context@0.1.0", &["author", "index", "timestamp-us", "seed", "program"]),
    ("althing:contract/events@0.1.0", &["emit"]),
    ("althing:contract/log@0.1.0", &["log"]),
];

/// `kind` of the world.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
enum WitKind {
    #[component(name = "invalid")]
    Invalid,
    #[component(name = "not-found")]
    NotFound,
    #[component(name = "denied")]
    Denied,
    #[component(name = "conflict")]
    Conflict,
    #[component(name = "exhausted")]
    Exhausted,
    #[component(name = "contract-violation")]
    ContractViolation,
    #[component(name = "guest-failed")]
    GuestFailed,
    #[component(name = "unavailable")]
    Unavailable,
    #[component(name = "internal")]
    Internal,
}

/// `error` of the world.
#[derive(ComponentType, Lower)]
#[component(record)]
struct WitError {
    kind: WitKind,
    message: String,
}

impl From<Error> for WitError {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            Kind::Invalid => WitKind::Invalid,
            Kind::NotFound => WitKind::NotFound,
            Kind::Denied => WitKind::Denied,
            Kind::Conflict => WitKind::Conflict,
            Kind::Exhausted => WitKind::Exhausted,
            Kind::ContractViolation => WitKind::ContractViolation,
            Kind::GuestFailed => WitKind::GuestFailed,
            Kind::Unavailable => WitKind::Unavailable,
            Kind::Internal => WitKind::Internal,
        };
        Self { kind, message: error.message }
    }
}

/// Why a host function gave nothing.
enum Failed {
    /// The guest gets the error and goes on.
    Refused(Error),
    /// The call ends.
    Stopped(wasmtime::Error),
}

impl From<HostError> for Failed {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Refused(error) => Self::Refused(error),
            HostError::Halt(halt) => Self::Stopped(wasmtime::Error::new(halt)),
        }
    }
}

impl From<Halt> for Failed {
    fn from(halt: Halt) -> Self {
        Self::Stopped(wasmtime::Error::new(halt))
    }
}

impl From<wasmtime::Error> for Failed {
    fn from(error: wasmtime::Error) -> Self {
        Self::Stopped(error)
    }
}

impl From<Trap> for Failed {
    fn from(trap: Trap) -> Self {
        Self::Stopped(wasmtime::Error::from(trap))
    }
}

/// What a function with an `error` returns to the guest.
type Answer<T> = Result<(std::result::Result<T, WitError>,)>;

fn answer<T>(result: std::result::Result<T, Failed>) -> Answer<T> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(Failed::Refused(error)) => Ok((Err(error.into()),)),
        Err(Failed::Stopped(error)) => Err(error),
    }
}

/// A running host function.
struct Entered<'a> {
    name: &'static str,
    store: StoreContextMut<'a, State>,
}

impl<'a> Entered<'a> {
    /// Enters the function `name`, whose base price is `base`.
    fn new(store: StoreContextMut<'a, State>, name: &'static str, base: u64) -> Result<Self> {
        if store.data().phase == Phase::Starting {
            return Err(wasmtime::Error::new(Broken::Starting(name)));
        }
        let mut entered = Self { name, store };
        entered.charge(base)?;
        Ok(entered)
    }

    /// Takes `units`, or all that is left.
    fn charge(&mut self, units: u64) -> Result<()> {
        let left = self.store.get_fuel()?;
        self.store.set_fuel(left.saturating_sub(units))?;
        if left < units { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
    }

    fn charge_bytes(&mut self, bytes: usize, price: u64) -> Result<()> {
        self.charge(price.saturating_mul(bytes as u64))
    }

    /// Refuses what changes something, in a query.
    fn writes(&self) -> std::result::Result<(), Failed> {
        if self.store.data().export == Export::Apply {
            return Ok(());
        }
        Err(Failed::Refused(Error::denied(format!(
            "{}: a query cannot change anything; do it in `apply`, by an instruction",
            self.name
        ))))
    }

    /// Checks the length of `list`, charges for it and gives its bytes.
    fn bytes(
        &mut self,
        what: &str,
        list: &WasmList<u8>,
        max: usize,
        price: u64,
    ) -> std::result::Result<&[u8], Failed> {
        self.check(what, list.len(), max)?;
        self.charge_bytes(list.len(), price)?;
        Ok(list.as_le_slice(&self.store))
    }

    fn check(&self, what: &str, len: usize, max: usize) -> std::result::Result<(), Failed> {
        if len <= max {
            return Ok(());
        }
        Err(Failed::Refused(Error::invalid(format!(
            "{what} of {}: {len} bytes, the limit is {max}",
            self.name
        ))))
    }

    fn key(&mut self, list: &WasmList<u8>) -> std::result::Result<Vec<u8>, Failed> {
        let key = self.bytes("key", list, limits::KEY_BYTES_MAX, fuel::COPY_PER_BYTE)?.to_vec();
        if key.is_empty() {
            let message = format!("key of {}: empty; a key has at least one byte", self.name);
            return Err(Failed::Refused(Error::invalid(message)));
        }
        Ok(key)
    }

    /// The text, if it is at most `max` bytes. Its length is known only once it is decoded, so it is
    /// charged then, whether it is taken or not.
    fn text(&mut self, text: &WasmStr, max: usize) -> Result<std::result::Result<String, usize>> {
        let broken = |_| wasmtime::Error::new(Broken::Text(self.name));
        let decoded = text.to_str(&self.store).map_err(broken)?;
        let len = decoded.len();
        let taken = if len <= max { Ok(decoded.into_owned()) } else { Err(len) };
        self.charge_bytes(len, fuel::COPY_PER_BYTE)?;
        Ok(taken)
    }
}

/// Everything in [`OFFERED`].
pub(crate) fn define(linker: &mut Linker<State>) -> Result<()> {
    linker.instance("althing:contract/types@0.1.0")?;
    db(&mut linker.instance("althing:contract/db@0.1.0")?)?;
    context(&mut linker.instance("althing:contract/context@0.1.0")?)?;
    events(&mut linker.instance("althing:contract/events@0.1.0")?)?;
    log(&mut linker.instance("althing:contract/log@0.1.0")?)
}

type Bytes = WasmList<u8>;

fn db(db: &mut LinkerInstance<'_, State>) -> Result<()> {
    db.func_wrap("get", |store, (key,): (Bytes,)| {
        let mut on = Entered::new(store, "db.get", fuel::DB_READ)?;
        answer(get(&mut on, &key))
    })?;
    db.func_wrap("put", |store, (key, value): (Bytes, Bytes)| {
        let mut on = Entered::new(store, "db.put", fuel::DB_WRITE)?;
        answer(put(&mut on, &key, &value))
    })?;
    db.func_wrap("delete", |store, (key,): (Bytes,)| {
        let mut on = Entered::new(store, "db.delete", fuel::DB_WRITE)?;
        answer(delete(&mut on, &key))
    })?;
    db.func_wrap("scan", |store, (prefix, after, limit): (Bytes, Option<Bytes>, u32)| {
        let mut on = Entered::new(store, "db.scan", fuel::DB_READ)?;
        answer(scan(&mut on, &prefix, after.as_ref(), limit))
    })
}

fn get(on: &mut Entered<'_>, key: &Bytes) -> std::result::Result<Option<Arc<[u8]>>, Failed> {
    let key = on.key(key)?;
    let value = on.store.data_mut().host.db_get(&key)?;
    on.charge_bytes(value.as_ref().map_or(0, |value| value.len()), fuel::COPY_PER_BYTE)?;
    Ok(value)
}

fn put(on: &mut Entered<'_>, key: &Bytes, value: &Bytes) -> std::result::Result<(), Failed> {
    on.writes()?;
    let key = on.key(key)?;
    let value = on.bytes("value", value, limits::VALUE_BYTES_MAX, fuel::WRITE_PER_BYTE)?.into();
    Ok(on.store.data_mut().host.db_put(&key, value)?)
}

fn delete(on: &mut Entered<'_>, key: &Bytes) -> std::result::Result<bool, Failed> {
    on.writes()?;
    let key = on.key(key)?;
    Ok(on.store.data_mut().host.db_delete(&key)?)
}

fn scan(
    on: &mut Entered<'_>,
    prefix: &Bytes,
    after: Option<&Bytes>,
    limit: u32,
) -> std::result::Result<Page, Failed> {
    let max = limits::KEY_BYTES_MAX;
    let prefix = on.bytes("prefix", prefix, max, fuel::COPY_PER_BYTE)?.to_vec();
    let after = match after {
        Some(after) => Some(on.bytes("after", after, max, fuel::COPY_PER_BYTE)?.to_vec()),
        None => None,
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(limits::SCAN_PAIRS_MAX);
    let page = on.store.data_mut().host.db_scan(&prefix, after.as_deref(), limit)?;
    assert!(page.pairs.len() <= limit, "the host gave more pairs than asked for");
    on.charge(fuel::DB_SCAN_PAIR * page.pairs.len() as u64)?;
    let bytes = page.pairs.iter().map(|pair| pair.key.len() + pair.value.len()).sum();
    on.charge_bytes(bytes, fuel::COPY_PER_BYTE)?;
    Ok(page)
}

fn context(context: &mut LinkerInstance<'_, State>) -> Result<()> {
    fn enter<'a>(
        store: StoreContextMut<'a, State>,
        name: &'static str,
    ) -> Result<StoreContextMut<'a, State>> {
        Ok(Entered::new(store, name, fuel::CONTEXT)?.store)
    }
    context.func_wrap("author", |store, (): ()| {
        Ok((enter(store, "context.author")?.data().host.context().author.to_vec(),))
    })?;
    context.func_wrap("index", |store, (): ()| {
        Ok((enter(store, "context.index")?.data().host.context().index,))
    })?;
    context.func_wrap("timestamp-us", |store, (): ()| {
        Ok((enter(store, "context.timestamp-us")?.data().host.context().timestamp_us,))
    })?;
    context.func_wrap("seed", |store, (): ()| {
        Ok((enter(store, "context.seed")?.data().host.context().seed.to_vec(),))
    })?;
    context.func_wrap("program", |store, (): ()| {
        Ok((enter(store, "context.program")?.data().host.context().program.clone(),))
    })
}

fn events(events: &mut LinkerInstance<'_, State>) -> Result<()> {
    events.func_wrap("emit", |store, (topic, data): (WasmStr, Bytes)| {
        let mut on = Entered::new(store, "events.emit", fuel::EMIT)?;
        answer(emit(&mut on, &topic, &data))
    })
}

fn emit(on: &mut Entered<'_>, topic: &WasmStr, data: &Bytes) -> std::result::Result<(), Failed> {
    on.writes()?;
    let topic = match on.text(topic, limits::TOPIC_BYTES_MAX)? {
        Ok(topic) => topic,
        Err(len) => return on.check("topic", len, limits::TOPIC_BYTES_MAX),
    };
    let max = limits::OUTCOME_BYTES_MAX;
    let data = on.bytes("data", data, max, fuel::WRITE_PER_BYTE)?.to_vec();
    Ok(on.store.data_mut().host.emit(&topic, &data)?)
}

fn log(log: &mut LinkerInstance<'_, State>) -> Result<()> {
    log.func_wrap("log", |store, (level, message): (Level, WasmStr)| {
        let mut on = Entered::new(store, "log.log", fuel::LOG)?;
        let room = limits::GUEST_LOG_BYTES_MAX - on.store.data().log_bytes;
        let text = on.text(&message, room)?;
        let state = on.store.data_mut();
        match text {
            Ok(text) => {
                state.log_bytes += text.len();
                state.host.log(level, &text);
            }
            Err(_) => state.logs_dropped += 1,
        }
        Ok(())
    })
}
