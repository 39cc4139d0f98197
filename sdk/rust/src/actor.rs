//! Actors: JSON state, and what may become of it.
//!
//! An actor is a type with a state, messages, and a function from both to the next state:
//!
//! ```
//! use althing_sdk::{Actor, Result, actor, data};
//!
//! data! {
//!     /// What a counter is told.
//!     pub enum Message {
//!         Add {
//!             #[schemars(range(min = 1, max = 1000))]
//!             by: u32,
//!         },
//!         Reset,
//!     }
//!
//!     /// What a counter knows.
//!     #[derive(Default)]
//!     pub struct State {
//!         #[schemars(range(max = 5000))]
//!         pub count: u32,
//!     }
//! }
//!
//! struct Counter;
//!
//! impl Actor for Counter {
//!     type Message = Message;
//!     type State = State;
//!
//!     fn init() -> State {
//!         State::default()
//!     }
//!
//!     fn handle(message: Message, mut state: State) -> Result<State> {
//!         match message {
//!             Message::Add { by } => state.count += by,
//!             Message::Reset => state.count = 0,
//!         }
//!         Ok(state)
//!     }
//! }
//!
//! actor!(Counter);
//!
//! // The same code runs natively, on a stage in memory:
//! use althing_sdk::{serde_json::json, testing::Stage};
//! let mut stage = Stage::new();
//! stage.spawn::<Counter>("one").unwrap();
//! assert_eq!(stage.send("one", json!({"add": {"by": 2}})), Ok(json!({"count": 2})));
//! let error = stage.send("one", json!({"add": {"by": 1001}})).unwrap_err();
//! assert!(error.contains("`add.by`: 1001, wants at most 1000"), "{error}");
//! ```
//!
//! **Contracts.** Before a message is handled, `message_contract` sees it, and `state_contract` the
//! state; afterwards `state_contract` sees the new state, in an instance of its own. What comes by
//! itself is that the JSON fits the schema of the type: its shape, and what attributes of schemars say,
//! such as `range`, `length` and `extend("maxProperties" = 10)`. [`Actor::message_contract`] and
//! [`Actor::state_contract`] say what no schema can. When one refuses, nothing is stored, nothing is
//! sent, and the outcome has the reason.
//!
//! **An actor knows nothing else**: no clock, no chance, no keyspace, not who sent a message, not its
//! own id. What it is to know stands in a message.
//!
//! **Numbers are those of JSON.** Beyond 2^53 not every integer is one; larger ones are strings. A
//! `range(max = 9_007_199_254_740_991_u64)` says so before it is too late.

mod event;
mod instance;
mod macros;

pub use event::{Change, Event, NewValue};
pub use instance::{Instance, migrate_text};

use crate::{Error, Result};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The code of actors.
pub trait Actor {
    /// What an actor knows.
    type State: Serialize + DeserializeOwned + JsonSchema;
    /// What it is told.
    type Message: DeserializeOwned + JsonSchema;

    /// The state of an actor that begins.
    fn init() -> Self::State;

    /// The state after `message`. What is [`send`]t here goes out once the new state is stored.
    ///
    /// # Errors
    /// What `message_contract` should have refused. An error costs the whole fuel limit, a refused
    /// message does not.
    fn handle(message: Self::Message, state: Self::State) -> Result<Self::State>;

    /// Whether an actor in `state` takes `message`, which fits its schema.
    ///
    /// # Errors
    /// The reason why it does not.
    fn message_contract(message: &Self::Message, state: &Self::State) -> Result<()> {
        let _ = (message, state);
        Ok(())
    }

    /// Whether `state`, which fits its schema, may be.
    ///
    /// # Errors
    /// The reason why it may not.
    fn state_contract(state: &Self::State) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// An actor that takes over the states of another version of itself.
pub trait MigrateState: Actor {
    /// `state` as this version wants it, of an actor whose version was `from_version`: what the
    /// manifest said. After a rollback it is the version that returns which is asked.
    ///
    /// All actors are migrated before one of them runs with the new version. When one cannot be, or
    /// its new state is refused, all of them stay with the version before.
    ///
    /// # Errors
    /// When it cannot go on from that state.
    fn migrate(state: Value, from_version: &str) -> Result<Self::State>;
}

/// Sends a message to an actor, once [`Actor::handle`] has returned and its state is stored. 64
/// messages may be sent at once, 256 KiB in all. What sends elsewhere than in `handle` fails the call.
///
/// # Errors
/// When `message` cannot be JSON.
pub fn send(actor: &str, message: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(message)
        .map_err(|e| Error::new(format!("message to {actor}: {e}")))?;
    crate::host::send(actor, &text);
    Ok(())
}

/// What the exports of a component do with what they get.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest {
    use crate::host;

    /// The answer of a contract; the reason of a refusal is logged.
    pub fn verdict(ask: impl FnOnce() -> Result<(), String>) -> bool {
        host::enter_actor();
        ask().inspect_err(|reason| host::log_line(reason)).is_ok()
    }

    /// The answer, or a trap whose reason is logged.
    pub fn or_trap<T>(ask: impl FnOnce() -> Result<T, String>) -> T {
        host::enter_actor();
        ask().unwrap_or_else(|reason| {
            host::log_line(&reason);
            core::arch::wasm32::unreachable()
        })
    }
}
