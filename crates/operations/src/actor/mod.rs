//! Every instruction of the native program `actor` as an operation, and how its messages read as
//! JSON: for queries, for the log and for outputs alike.
//!
//! Messages and states come as any JSON. Planning makes them canonical, and refuses here what every
//! node would refuse.

mod arranged;
mod life;
mod messages;
mod shown;
mod timers;
mod topics;

pub use arranged::{ShownSubscription, ShownTimer, ShownUpgrade, ShownUpgraded, ShownUpgrading};
pub use shown::{
    ShownActor, ShownFailure, ShownLetter, ShownMail, ShownOut, ShownSender, ShownStep,
    ShownStepKind, json,
};

use crate::{GrantNeeded, Operation};
use althing_protocol::{ACTOR, ActorId, Error, Result, json::canonical_value};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// The actions of `actor`.
pub fn actions() -> Vec<Operation> {
    let mut all = life::actions();
    all.extend(messages::actions());
    all.extend(timers::actions());
    all.extend(topics::actions());
    all
}

/// Names an actor.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ActorInput {
    /// The actor's id.
    actor: String,
}

fn on_actor(method: &str) -> GrantNeeded {
    GrantNeeded::new(ACTOR, method).at("actor")
}

fn id(actor: String) -> Result<String> {
    Ok(ActorId::new(actor)?.to_string())
}

/// The canonical text of a JSON value, of at most `bytes_max`.
///
/// # Errors
/// `invalid`, when it has none, or a longer one.
pub fn canonical(what: &str, value: &Value, bytes_max: usize) -> Result<Vec<u8>> {
    let text = canonical_value(what, value)?;
    if text.len() > bytes_max {
        return Err(Error::invalid(format!(
            "{what}: {} bytes as canonical JSON, larger than the limit of {bytes_max} bytes; keep \
             bulk data elsewhere and send where it is",
            text.len()
        )));
    }
    Ok(text)
}
