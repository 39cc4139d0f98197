//! Events.

use super::{Bytes, Entered, Function, error::Tried};
use crate::{fuel, state::State};
use althing_protocol::limits;
use wasmtime::{
    Result,
    component::{LinkerInstance, WasmStr},
};

pub(super) const NAME: &str = "althing:contract/events@0.1.0";

pub(super) const FUNCTIONS: &[Function] = &[("emit", "func(string, list<u8>) -> result<_, error>")];

pub(super) fn define(events: &mut LinkerInstance<'_, State>) -> Result<()> {
    events.func_wrap("emit", |store, (topic, data): (WasmStr, Bytes)| {
        let mut on = Entered::new(store, "events.emit", fuel::EMIT)?;
        let emitted = emit(&mut on, &topic, &data);
        on.answer(emitted, |()| String::new())
    })
}

fn emit(on: &mut Entered<'_>, topic: &WasmStr, data: &Bytes) -> Tried<()> {
    on.writes()?;
    let topic = on.text_at_most("topic", topic, limits::TOPIC_BYTES_MAX)?;
    let max = limits::OUTCOME_BYTES_MAX;
    let data = on.bytes("data", data, max, fuel::WRITE_PER_BYTE)?.to_vec();
    Ok(on.store.data_mut().host.emit(&topic, &data)?)
}
