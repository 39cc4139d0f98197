//! Other programs.

use super::{Bytes, Entered, Function, entered::Shown, error::Tried};
use crate::{fuel, host::Callee, state::State};
use althing_protocol::limits;
use wasmtime::{
    Result,
    component::{LinkerInstance, WasmStr},
};

pub(super) const NAME: &str = "althing:contract/programs@0.1.0";

pub(super) const FUNCTIONS: &[Function] = &[
    ("call", "func(string, string, list<u8>) -> result<list<u8>, error>"),
    ("query", "func(string, string, list<u8>) -> result<list<u8>, error>"),
];

type Args = (WasmStr, WasmStr, Bytes);

pub(super) fn define(programs: &mut LinkerInstance<'_, State>) -> Result<()> {
    programs.func_wrap("call", |store, args: Args| {
        let mut on = Entered::new(store, "programs.call", fuel::PROGRAM)?;
        let called = on.writes().and_then(|()| call(&mut on, &args, false));
        on.answer(called, |output| Shown(output).to_string())
    })?;
    programs.func_wrap("query", |store, args: Args| {
        let mut on = Entered::new(store, "programs.query", fuel::PROGRAM)?;
        let called = call(&mut on, &args, true);
        on.answer(called, |output| Shown(output).to_string())
    })
}

/// What the callee used is taken whatever it returned.
fn call(on: &mut Entered<'_>, (program, method, args): &Args, is_query: bool) -> Tried<Vec<u8>> {
    let program = on.text_at_most("program", program, limits::PROGRAM_ID_BYTES_MAX)?;
    let method = on.text_at_most("method", method, limits::METHOD_BYTES_MAX)?;
    let max = limits::INSTRUCTION_BYTES_MAX;
    let args = on.bytes("args", args, max, fuel::COPY_PER_BYTE)?.to_vec();
    let callee = Callee { program: &program, method: &method, args: &args, is_query };
    let fuel = on.store.get_fuel()?;
    let (output, used) = on.store.data_mut().host.call_program(callee, fuel)?;
    on.charge(used.min(fuel))?;
    let output = output.map_err(crate::HostError::Refused)?;
    on.charge_bytes(output.len(), fuel::COPY_PER_BYTE)?;
    Ok(output)
}
