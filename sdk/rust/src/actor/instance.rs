//! The exports of an actor: texts in, texts out.

use super::{Actor, MigrateState};
use crate::{
    Error, Result,
    schema::{self, Plan},
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use std::cell::OnceCell;

/// One instance of the component: what it was prepared with, and what it has read. The functions that it
/// answers in a row get the same texts.
#[doc(hidden)]
pub struct Instance<A: Actor> {
    message: Reader<A::Message>,
    state: Reader<A::State>,
}

/// What reads texts of a type.
struct Reader<T> {
    plan: OnceCell<Plan>,
    last: Option<Read<T>>,
}

/// A text, and the value that it is.
struct Read<T> {
    text: String,
    value: Result<T, String>,
}

impl<A: Actor> Default for Instance<A> {
    fn default() -> Self {
        Self { message: Reader::default(), state: Reader::default() }
    }
}

impl<T> Default for Reader<T> {
    fn default() -> Self {
        Self { plan: OnceCell::new(), last: None }
    }
}

impl<A: Actor> Instance<A> {
    /// Makes the schemas. `althing build` keeps the instance in which it has run, and each call starts
    /// with a copy of that one: to make them takes longer than all else that a small message needs.
    pub fn prepare(&self) -> Result<(), String> {
        for (what, plan) in [("message", self.message.plan()), ("state", self.state.plan())] {
            schema::check_schema(plan.schema()).map_err(|reason| format!("{what}: {reason}"))?;
        }
        Ok(())
    }

    /// The export `init`.
    pub fn init(&self) -> Result<String, String> {
        // Known before the first message, wherever this was built.
        self.prepare()?;
        text(&A::init())
    }

    /// The export `message-contract`.
    pub fn message_contract(&mut self, message: String, state: String) -> Result<(), String> {
        let message = self.message.read(message).as_ref()?;
        match self.state.read(state) {
            Ok(state) => A::message_contract(message, state).map_err(Error::into_text),
            // The state contract, which is asked next, says why.
            Err(_) => Ok(()),
        }
    }

    /// The export `state-contract`.
    pub fn state_contract(&mut self, state: String) -> Result<(), String> {
        let state = self.state.read(state).as_ref()?;
        A::state_contract(state).map_err(Error::into_text)
    }

    /// The export `handle`.
    pub fn handle(&mut self, message: String, state: String) -> Result<String, String> {
        let (message, state) = (self.message.take(message)?, self.state.take(state)?);
        text(&A::handle(message, state).map_err(Error::into_text)?)
    }

    /// The export `describe`.
    pub fn describe(&self) -> String {
        let (message, state) = (self.message.plan().schema(), self.state.plan().schema());
        serde_json::json!({ "message": message, "state": state }).to_string()
    }
}

impl<T: DeserializeOwned + JsonSchema> Reader<T> {
    fn plan(&self) -> &Plan {
        self.plan.get_or_init(|| Plan::new(schema::of::<T>()))
    }

    fn read(&mut self, text: String) -> &Result<T, String> {
        if self.last.as_ref().is_some_and(|last| last.text != text) {
            self.last = None;
        }
        let value = match self.last.take() {
            Some(last) => last.value,
            None => self.parse(&text),
        };
        &self.last.insert(Read { text, value }).value
    }

    fn take(&mut self, text: String) -> Result<T, String> {
        match self.last.take() {
            Some(last) if last.text == text => last.value,
            _ => self.parse(&text),
        }
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        if !self.plan().surely_fits(text) {
            let value = serde_json::from_str(text).map_err(|e| e.to_string())?;
            schema::check(self.plan().schema(), &value)?;
        }
        serde_json::from_str(text).map_err(|e| e.to_string())
    }
}

/// The export `migrate`.
#[doc(hidden)]
pub fn migrate_text<A: MigrateState>(state: &str, from_version: &str) -> Result<String, String> {
    let state = serde_json::from_str(state).map_err(|e| e.to_string())?;
    text(&A::migrate(state, from_version).map_err(Error::into_text)?)
}

fn text(state: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(state).map_err(|e| format!("the state cannot be JSON: {e}"))
}
