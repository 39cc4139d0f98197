//! What an actor may do besides returning a state.

use super::{Entered, Function, log};
use crate::{fault::Broken, fuel, host::Level, state::State};
use althing_protocol::{ActorId, Kind, json, limits};
use wasmtime::{
    Result,
    component::{LinkerInstance, WasmStr},
};

pub(super) const NAME: &str = "althing:actor/host@0.1.0";

pub(super) const FUNCTIONS: &[Function] =
    &[("log", "func(string)"), ("send", "func(string, string)")];

pub(super) fn define(host: &mut LinkerInstance<'_, State>) -> Result<()> {
    host.func_wrap("log", |store, (message,): (WasmStr,)| {
        log::line(Entered::new(store, "host.log", fuel::LOG)?, Level::Info, &message)
    })?;
    host.func_wrap("send", |store, (to, message): (WasmStr, WasmStr)| {
        send(Entered::new(store, "host.send", fuel::SEND)?, &to, &message)
    })
}

/// A message that cannot be sent ends the call: there is no error to handle.
fn send(mut on: Entered<'_>, to: &WasmStr, message: &WasmStr) -> Result<()> {
    if !on.store.data().may_change {
        return Err(ends(Kind::GuestFailed, "called host.send, which only `handle` may call"));
    }
    let max = limits::ACTOR_ID_BYTES_MAX;
    let to = on.text("actor-id", to, max)?.map_err(|len| {
        let text = format!("sent to an actor id of {len} bytes, the limit is {max}");
        ends(Kind::GuestFailed, text)
    })?;
    let to = ActorId::new(to)
        .map_err(|error| ends(Kind::GuestFailed, format!("sent to {}", error.message)))?;
    let what = format!("message to {to}");
    let too_long = |len| {
        let max = limits::ACTOR_MESSAGE_BYTES_MAX;
        ends(Kind::GuestFailed, format!("sent a {what}: {len} bytes, the limit is {max}"))
    };
    let message = on.text("msg", message, limits::ACTOR_MESSAGE_BYTES_MAX)?.map_err(too_long)?;
    on.charge_bytes(message.len(), fuel::JSON_PER_BYTE + fuel::WRITE_PER_BYTE)?;
    let message = json::canonical(&what, message.as_bytes())
        .map_err(|error| ends(Kind::GuestFailed, format!("sent a {}", error.message)))?;
    if message.len() > limits::ACTOR_MESSAGE_BYTES_MAX {
        return Err(too_long(message.len()));
    }
    let sent = on.store.data_mut().actor().send(to, message);
    sent.map_err(|text| ends(Kind::Exhausted, text))
}

/// The end of a call, in words that follow "it".
fn ends(kind: Kind, text: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(Broken::Send(kind, text.into()))
}
