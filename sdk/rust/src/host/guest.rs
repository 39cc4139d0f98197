//! The host, when this runs as a guest.

use super::Page;
use crate::{
    Error, Kind, Result,
    bindings::{
        actor::althing::actor::host as actor_host,
        althing::contract::{context, crypto, db, events, log as wit_log, programs, types},
    },
    context::Caller,
    db::{Deleted, Range},
    log::Level,
};
use std::cell::Cell;

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        let kind = match error.kind {
            types::Kind::Invalid => Kind::Invalid,
            types::Kind::NotFound => Kind::NotFound,
            types::Kind::Denied => Kind::Denied,
            types::Kind::Conflict => Kind::Conflict,
            types::Kind::Exhausted => Kind::Exhausted,
            types::Kind::ContractViolation => Kind::ContractViolation,
            types::Kind::GuestFailed => Kind::GuestFailed,
            types::Kind::Unavailable => Kind::Unavailable,
            types::Kind::Internal => Kind::Internal,
        };
        Self::of(kind, error.message)
    }
}

pub(crate) fn db_get(key: &[u8]) -> Result<Option<Vec<u8>>> {
    Ok(db::get(key)?)
}

pub(crate) fn db_put(key: &[u8], value: &[u8]) -> Result<()> {
    Ok(db::put(key, value)?)
}

pub(crate) fn db_delete(key: &[u8]) -> Result<bool> {
    Ok(db::delete(key)?)
}

pub(crate) fn db_delete_prefix(prefix: &[u8], limit: u32) -> Result<Deleted> {
    let db::Deleted { keys, more } = db::delete_prefix(prefix, limit)?;
    Ok(Deleted { keys, more })
}

pub(crate) fn db_scan(range: &Range, limit: u32) -> Result<Page> {
    let order = match range.is_descending {
        true => db::Order::Descending,
        false => db::Order::Ascending,
    };
    let range = db::Range {
        prefix: range.prefix.clone(),
        after: range.after.clone(),
        before: range.before.clone(),
    };
    let page = db::scan(&range, order, limit)?;
    Ok((page.pairs.into_iter().map(|pair| (pair.key, pair.value)).collect(), page.more))
}

pub(crate) fn caller() -> Caller {
    match context::caller() {
        context::Subject::Key(key) => Caller::Key(bytes32(&key)),
        context::Subject::Program(program) => Caller::Program(program),
    }
}

pub(crate) fn author() -> [u8; 32] {
    bytes32(&context::author())
}

pub(crate) fn index() -> u64 {
    context::index()
}

pub(crate) fn timestamp_us() -> u64 {
    context::timestamp_us()
}

pub(crate) fn seed() -> [u8; 32] {
    bytes32(&context::seed())
}

pub(crate) fn program() -> String {
    context::program()
}

pub(crate) fn blake3(data: &[u8]) -> [u8; 32] {
    bytes32(&crypto::hash(crypto::Algorithm::Blake3, data))
}

pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    bytes32(&crypto::hash(crypto::Algorithm::Sha256, data))
}

pub(crate) fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    crypto::verify_signature(key, message, signature)
}

pub(crate) fn call_program(
    program: &str,
    method: &str,
    args: &[u8],
    is_query: bool,
) -> Result<Vec<u8>> {
    Ok(match is_query {
        true => programs::query(program, method, args)?,
        false => programs::call(program, method, args)?,
    })
}

pub(crate) fn emit(topic: &str, data: &[u8]) -> Result<()> {
    Ok(events::emit(topic, data)?)
}

thread_local! {
    /// Where lines go. Set by the export that runs, so that a component imports what its own world has,
    /// and nothing of the other.
    static LOG: Cell<fn(Level, &str)> = const { Cell::new(|_, _| {}) };
}

pub(crate) fn log(level: Level, text: &str) {
    LOG.get()(level, text);
}

/// A call of a contract begins.
pub(crate) fn enter_contract() {
    LOG.set(|level, text| {
        let level = match level {
            Level::Debug => wit_log::Level::Debug,
            Level::Info => wit_log::Level::Info,
            Level::Warn => wit_log::Level::Warn,
            Level::Error => wit_log::Level::Error,
        };
        wit_log::log(level, text);
    });
    report_panics();
}

/// A call of an actor begins. Its lines have no levels.
pub(crate) fn enter_actor() {
    LOG.set(|_, text| log_line(text));
    report_panics();
}

/// A line of an actor.
pub(crate) fn log_line(text: &str) {
    actor_host::log(text);
}

pub(crate) fn send(actor: &str, message: &str) {
    actor_host::send(actor, message);
}

/// A panic ends the guest without a word otherwise.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
}

/// The host gives 32 bytes where the world says so.
fn bytes32(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(bytes);
    array
}
