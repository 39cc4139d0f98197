//! Actors in text form.

use super::{FUEL, MEMORY, component_of, engine, load, on_stack};
use althing_protocol::Error;
use althing_sandbox::{ActorLimits, Halt, Image, Next, Turn};

/// The actor of all tests.
pub const ID: &str = "bank/alice";

pub const LIMITS: ActorLimits =
    ActorLimits { fuel: FUEL, memory_bytes_max: MEMORY, deadline: None };

/// What each export does. `$msg` and `$msg_len`, `$state` and `$state_len`, `$from` and `$from_len` are
/// what it gets. `'text'` stands for the address and the length of a text.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    pub items: &'a str,
    pub init: &'a str,
    pub handle: &'a str,
    pub message_contract: &'a str,
    pub state_contract: &'a str,
    pub migrate: Option<&'a str>,
    pub describe: Option<&'a str>,
}

/// It begins with `{}`, and takes every message as its state.
impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            items: "",
            init: "(call $text '{}')",
            handle: "(call $text (local.get $msg) (local.get $msg_len))",
            message_contract: "(i32.const 1)",
            state_contract: "(i32.const 1)",
            migrate: None,
            describe: None,
        }
    }
}

impl Guest<'_> {
    /// The core module. Addresses below 1,024 are its own.
    pub fn module(&self) -> String {
        let optional = |body: Option<&str>, name: &str, params: &str| match body {
            Some(body) => format!(r#"(func (export "{name}") {params} (result i32) {body})"#),
            None => String::new(),
        };
        let message = "(param $msg i32) (param $msg_len i32)";
        let state = "(param $state i32) (param $state_len i32)";
        let from = format!("{state} (param $from i32) (param $from_len i32)");
        texts(&format!(
            r#"(module
  (import "althing:actor/host@0.1.0" "log" (func $log (param i32 i32)))
  (import "althing:actor/host@0.1.0" "send" (func $send (param i32 i32 i32 i32)))
  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const 131072))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16)))
      (then (drop (memory.grow (i32.const 16)))))
    (local.get $at))
  ;; Returns a text.
  (func $text (param i32 i32) (result i32)
    (i32.store (i32.const 16) (local.get 0))
    (i32.store (i32.const 20) (local.get 1))
    (i32.const 16))
  {items}
  (func (export "init") (result i32) {init})
  (func (export "handle") {message} {state} (result i32) {handle})
  (func (export "message-contract") {message} {state} (result i32) {message_contract})
  (func (export "state-contract") {state} (result i32) {state_contract})
  {migrate} {describe})"#,
            items = self.items,
            init = self.init,
            handle = self.handle,
            message_contract = self.message_contract,
            state_contract = self.state_contract,
            migrate = optional(self.migrate, "althing:actor/migration@0.1.0#migrate", &from),
            describe = optional(self.describe, "althing:actor/description@0.1.0#describe", ""),
        ))
    }

    /// The component; one that migrates describes itself, too.
    pub fn component(&self) -> Vec<u8> {
        let describe = self.describe.or(self.migrate.map(|_| "(call $text '{}')"));
        let world = match (self.migrate, describe) {
            (None, None) => "actor",
            (None, Some(_)) => "described-actor",
            (Some(_), _) => "migrating-actor",
        };
        component_of(world, &Self { describe, ..*self }.module())
    }

    pub fn image(&self) -> Image {
        load(engine(), &self.component())
    }
}

/// Puts what stands between single quotes into the memory of `module`, from 2,048 on.
fn texts(module: &str) -> String {
    let (mut code, mut data, mut at) = (String::new(), String::new(), 2_048);
    for (index, part) in module.split('\'').enumerate() {
        if index % 2 == 0 {
            code += part;
            continue;
        }
        let bytes: String = part.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        data += &format!("(data (i32.const {at}) \"{bytes}\")");
        code += &format!("(i32.const {at}) (i32.const {})", part.len());
        at += part.len();
    }
    let end = code.rfind(')').unwrap();
    code.insert_str(end, &data);
    code
}

/// What becomes of `state` by `message`.
pub fn turn(image: &Image, message: &str, state: &str) -> Turn {
    run(|| image.actor_turn(ID, message.as_bytes(), state.as_bytes(), &LIMITS))
}

pub fn run(work: impl FnOnce() -> Result<Turn, Halt> + Send) -> Turn {
    on_stack(work).unwrap()
}

/// The next state.
pub fn next(turn: Turn) -> String {
    let Next { state, .. } = turn.result.unwrap();
    String::from_utf8(state).unwrap()
}

/// Why there is none, and what that cost.
pub fn fails(turn: Turn) -> (Error, u64) {
    (turn.result.unwrap_err(), turn.fuel_used)
}
