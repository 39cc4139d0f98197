//! Lines for people.

use super::{Entered, Function};
use crate::{fuel, host::Level, state::State};
use althing_protocol::limits;
use wasmtime::{
    Result,
    component::{LinkerInstance, WasmStr},
};

pub(super) const NAME: &str = "althing:contract/log@0.1.0";

pub(super) const FUNCTIONS: &[Function] =
    &[("log", "func(enum { debug, info, warn, error }, string)")];

pub(super) fn define(log: &mut LinkerInstance<'_, State>) -> Result<()> {
    log.func_wrap("log", |store, (level, message): (Level, WasmStr)| {
        line(Entered::new(store, "log.log", fuel::LOG)?, level, &message)
    })
}

/// Logs `message` if it fits. Its end counts too, so that empty lines are bounded.
pub(super) fn line(mut on: Entered<'_>, level: Level, message: &WasmStr) -> Result<()> {
    let room = limits::GUEST_LOG_BYTES_MAX - on.store.data().log_bytes;
    let text = on.text("message", message, room)?;
    let state = on.store.data_mut();
    match text {
        Ok(text) if text.len() < room => {
            state.log_bytes += text.len() + 1;
            state.host.log(level, &text);
        }
        _ => state.logs_dropped = state.logs_dropped.saturating_add(1),
    }
    Ok(())
}
