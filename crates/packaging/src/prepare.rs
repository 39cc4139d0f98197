//! Guests that are prepared before they start.
//!
//! A core module may export `althing-prepare`. It is called once, here, and the memory that it leaves
//! behind becomes the memory that each instance starts with: what is the same for every call is done
//! when the guest is built. Componentize-py does the same for guests in Python.

use althing_protocol::Error as Refusal;
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};
use wasmparser::{Parser, Payload, ValType};
use wasmtime::{
    Caller, Config, Engine, Error, Extern, Instance, Linker, Module, OptLevel, Result, Store, Trap,
    UnknownImportError, Val, bail,
};
use wasmtime_wizer::{InstanceState, SnapshotVal, Wizer};

/// The export that prepares.
const PREPARE: &str = "althing-prepare";
/// The import that says why it fails.
const LOG: (&str, &str) = ("althing:actor/host@0.1.0", "log");
/// Instructions that it may take: some seconds.
const FUEL_MAX: u64 = 5_000_000_000;

/// The module `module`, prepared if it wants to be. `name` is for errors.
///
/// # Errors
/// `invalid`, with what the function logged last when it trapped, or why the module cannot be
/// prepared.
pub(crate) fn prepared(name: &str, module: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    if !wants_it(&module) {
        return Ok(module);
    }
    run(&module).map_err(|why| Refusal::invalid(format!("{name}: cannot be prepared: {why}")))
}

/// Whether there is something to call. What is no module is for others to refuse.
fn wants_it(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).any(|part| match part {
        Ok(Payload::ExportSection(exports)) => {
            exports.into_iter().flatten().any(|export| export.name == PREPARE)
        }
        _ => false,
    })
}

/// The module as it is after the function has run, and without it.
fn run(module: &[u8]) -> Result<Vec<u8>, String> {
    let in_full = |error: Error| format!("{error:#}");
    let mut wizer = Wizer::new();
    wizer.init_func(PREPARE);
    let (context, instrumented) = wizer.instrument(module).map_err(in_full)?;
    let mut guest = Guest::start(&instrumented).map_err(in_full)?;
    guest.prepare().map_err(|error| guest.reason(&error))?;
    // It would wait for a guest that runs elsewhere; this one has run.
    let mut snapshot = pin!(wizer.snapshot(&context, &mut guest));
    match snapshot.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(snapshot) => snapshot.map_err(in_full),
        Poll::Pending => Err("its memory is not there yet".into()),
    }
}

/// An instance, and the lines that it logged.
struct Guest {
    store: Store<Vec<String>>,
    instance: Instance,
}

impl Guest {
    fn start(module: &[u8]) -> Result<Self> {
        let mut config = Config::new();
        // Compiled to run once.
        config.consume_fuel(true).cranelift_opt_level(OptLevel::None);
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, module)?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap(LOG.0, LOG.1, log)?;
        linker.define_unknown_imports_as_traps(&module)?;
        let mut store = Store::new(&engine, Vec::new());
        store.set_fuel(FUEL_MAX)?;
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Self { store, instance })
    }

    fn prepare(&mut self) -> Result<()> {
        let prepare = self.instance.get_typed_func::<(), ()>(&mut self.store, PREPARE)?;
        prepare.call(&mut self.store, ())
    }

    /// Why it was not prepared, in words.
    fn reason(&mut self, error: &Error) -> String {
        if let Some(unknown) = error.downcast_ref::<UnknownImportError>() {
            return format!(
                "it calls {} {}, and there is no host yet",
                unknown.module(),
                unknown.name()
            );
        }
        if error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel) {
            return format!("{PREPARE} has not returned after {FUEL_MAX} instructions");
        }
        self.store.data_mut().pop().unwrap_or_else(|| error.root_cause().to_string())
    }
}

/// Keeps a line, of which the guest gives the address and the length.
fn log(mut guest: Caller<'_, Vec<String>>, at: u32, len: u32) -> Result<()> {
    let Some(memory) = guest.get_export("memory").and_then(Extern::into_memory) else {
        bail!("it exports no memory");
    };
    let (at, len) = (at as usize, len as usize);
    let text = memory.data(&guest).get(at..at.saturating_add(len)).unwrap_or_default();
    let line = String::from_utf8_lossy(text).into_owned();
    guest.data_mut().push(line);
    Ok(())
}

/// Only what `instrument` has added to the exports is asked for.
impl InstanceState for Guest {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let global = self.instance.get_global(&mut self.store, name);
        match global.map(|global| global.get(&mut self.store)) {
            Some(Val::I32(value)) => SnapshotVal::I32(value),
            Some(Val::I64(value)) => SnapshotVal::I64(value),
            Some(Val::F32(bits)) => SnapshotVal::F32(bits),
            Some(Val::F64(bits)) => SnapshotVal::F64(bits),
            Some(Val::V128(value)) => SnapshotVal::V128(value.as_u128()),
            other => unreachable!("{name} is {other:?}, which `instrument` refuses"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.instance.get_memory(&mut self.store, name) {
            Some(memory) => contents(memory.data(&self.store)),
            None => unreachable!("{name} is an export that `instrument` adds"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn module(prepare: &str, items: &str) -> Vec<u8> {
        let text = format!(
            r#"(module
  (import "althing:actor/host@0.1.0" "log" (func $log (param i32 i32)))
  (import "althing:actor/host@0.1.0" "send" (func $send (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (global $stack (mut i32) (i32.const 1024))
  {items}
  (data (i32.const 8) "first")
  (func (export "sum") (result i32) (i32.add (global.get $stack)
    (i32.add (i32.load8_u (i32.const 8)) (i32.load (i32.const 65536)))))
  (func (export "althing-prepare") {prepare}))"#
        );
        wat::parse_str(text).unwrap()
    }

    fn refused(module: Vec<u8>, why: &str) {
        let error = prepared("guest", module).unwrap_err();
        assert_eq!(error.message, format!("guest: cannot be prepared: {why}"));
    }

    #[test]
    fn every_instance_starts_with_what_was_prepared() {
        let prepare =
            "(drop (memory.grow (i32.const 1))) (i32.store (i32.const 65536) (i32.const 1000))
          (i32.store8 (i32.const 8) (i32.const 7)) (global.set $stack (i32.const 20))";
        let prepared = prepared("guest", module(prepare, "")).unwrap();
        let mut guest = Guest::start(&prepared).unwrap();
        assert!(guest.prepare().is_err(), "it need not be called again");
        let sum = guest.instance.get_typed_func::<(), i32>(&mut guest.store, "sum").unwrap();
        assert_eq!(sum.call(&mut guest.store, ()).unwrap(), 1027);
        let memory = guest.instance.get_memory(&mut guest.store, "memory").unwrap();
        assert_eq!(&memory.data(&guest.store)[8..13], b"\x07irst");
    }

    #[test]
    fn what_wants_no_preparation_is_left_alone() {
        let plain = wat::parse_str("(module (memory (export \"memory\") 1))").unwrap();
        assert_eq!(prepared("guest", plain.clone()).unwrap(), plain);
    }

    #[test]
    fn what_fails_says_why() {
        let said = "(call $log (i32.const 8) (i32.const 5)) unreachable";
        refused(module(said, ""), "first");
        let sends = "(call $send (i32.const 8) (i32.const 5) (i32.const 8) (i32.const 5))";
        refused(
            module(sends, ""),
            "it calls althing:actor/host@0.1.0 send, and there is no host yet",
        );
        let far = "(call $log (i32.const -1) (i32.const -1)) unreachable";
        refused(module(far, ""), "");
        let table = "(table 1 funcref) (func $drop (table.set (i32.const 0) (ref.null func)))";
        refused(module("", table), "unsupported `table.set` instruction");
        refused(
            module("(loop $again (br $again))", ""),
            "althing-prepare has not returned after 5000000000 instructions",
        );
    }
}
