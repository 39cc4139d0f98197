//! Actors: JSON in, JSON out, and two contracts that watch over it.
//!
//! ```text
//!   mod    what happens to a message, in its order
//!   run    a run of functions: instances, one after the other, and the fuel of all of them
//!   host   what an actor does besides returning a state: it logs and sends
//! ```
//!
//! What comes out is a function of the image, the message, the state and the limits: there is no
//! keyspace and no context, so whoever has these four can prove what a node says.

mod host;
mod run;

pub(crate) use host::ActorHost;

use crate::{
    Deadline, Halt, Image,
    image::{ActorExports, Exports},
};
use althing_protocol::Error;
use run::{End, Run};

/// What a run of an actor's functions may use.
#[derive(Clone, Copy, Debug)]
pub struct ActorLimits {
    /// Fuel, of all functions together: a run that uses all of it has failed.
    pub fuel: u64,
    /// Linear memory of an instance.
    pub memory_bytes_max: u64,
    /// When it must have ended: none for what is replicated, which fuel alone may stop.
    pub deadline: Option<Deadline>,
}

/// How a run ended. The same on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What there is now, or why nothing has changed. The error names the actor.
    pub result: Result<Next, Error>,
    /// Fuel it cost: all it was given, when a function did not return by itself.
    pub fuel_used: u64,
    /// What it logged.
    pub logs: Vec<String>,
    /// Lines of the log that did not fit.
    pub logs_dropped: u32,
}

/// What a message made of an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// Its state, canonical JSON.
    pub state: Vec<u8>,
    /// What it sent, in order.
    pub sends: Vec<Sent>,
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The actor that is to get it; a valid id, of which there may be no actor.
    pub to: String,
    /// The message, canonical JSON.
    pub message: Vec<u8>,
}

/// An image of an actor. All of these run on the calling thread, which needs the stack of a guest:
/// [`STACK_BYTES_MAX`](crate::limits::STACK_BYTES_MAX) and some for the host. They fail with a [`Halt`]
/// when the node cannot run them, or is asked to for an image of another kind.
impl Image {
    /// The state of an actor that begins.
    ///
    /// # Errors
    /// A [`Halt`].
    pub fn actor_init(&self, actor: &str, limits: &ActorLimits) -> Result<Turn, Halt> {
        self.turn(actor, limits, |run| {
            let state = run.fresh(|instance| instance.init())?;
            run.fresh(|instance| instance.takes_state(&state, " that `init` returned"))?;
            Ok(state)
        })
    }

    /// What becomes of an actor in `state`, canonical JSON, when it gets `message`, canonical JSON.
    ///
    /// # Errors
    /// A [`Halt`].
    pub fn actor_turn(
        &self,
        actor: &str,
        message: &[u8],
        state: &[u8],
        limits: &ActorLimits,
    ) -> Result<Turn, Halt> {
        self.turn(actor, limits, |run| {
            let next = run.fresh(|instance| {
                instance.takes_message(message, state)?;
                instance.takes_state(state, " before the message")?;
                instance.handle(message, state)
            })?;
            // Nothing that `handle` left behind in memory can make this one lie.
            run.fresh(|instance| instance.takes_state(&next, " that `handle` returned"))?;
            Ok(next)
        })
    }

    /// The `state` of an actor whose version was `from_version`, as this image wants it.
    ///
    /// # Errors
    /// A [`Halt`].
    pub fn actor_migrate(
        &self,
        actor: &str,
        state: &[u8],
        from_version: &str,
        limits: &ActorLimits,
    ) -> Result<Turn, Halt> {
        self.turn(actor, limits, |run| {
            let Some(migrate) = &run.exports().migrate else {
                let left = format!(
                    " as version {from_version} left it (this version has no export `migrate`)"
                );
                run.fresh(|instance| instance.takes_state(state, &left))?;
                return Ok(state.to_vec());
            };
            let next = run.fresh(|instance| instance.migrate(migrate, state, from_version))?;
            run.fresh(|instance| instance.takes_state(&next, " that `migrate` returned"))?;
            Ok(next)
        })
    }

    /// Asks the state contract alone; the state stays.
    ///
    /// # Errors
    /// A [`Halt`].
    pub fn actor_check(
        &self,
        actor: &str,
        state: &[u8],
        limits: &ActorLimits,
    ) -> Result<Turn, Halt> {
        self.turn(actor, limits, |run| {
            run.fresh(|instance| instance.takes_state(state, ""))?;
            Ok(state.to_vec())
        })
    }

    /// What an actor says about its messages and its state, canonical JSON; none when it has no
    /// export `describe`. An error is the guest's.
    ///
    /// # Errors
    /// A [`Halt`].
    pub fn actor_describe(
        &self,
        limits: &ActorLimits,
    ) -> Result<Result<Option<Vec<u8>>, Error>, Halt> {
        let Some(describe) = &self.actor_exports()?.describe else { return Ok(Ok(None)) };
        let image = format!("image {}", self.hash());
        let turn =
            self.turn(&image, limits, |run| run.fresh(|instance| instance.describe(describe)))?;
        Ok(turn.result.map(|next| Some(next.state)))
    }

    fn actor_exports(&self) -> Result<&ActorExports, Halt> {
        match &self.linked().exports {
            Exports::Actor(exports) => Ok(exports),
            Exports::Contract { .. } => {
                Err(Halt::new("a contract was called like an actor: a defect"))
            }
        }
    }

    /// Does `work`, which gives the state after it.
    fn turn<'a>(
        &'a self,
        actor: &'a str,
        limits: &'a ActorLimits,
        work: impl FnOnce(&mut Run<'a>) -> Result<Vec<u8>, End>,
    ) -> Result<Turn, Halt> {
        let exports = self.actor_exports()?;
        // Held for longer than any store, whose instance is in the slot.
        let _slot = match limits.deadline.map(|_| self.linked().queries.enter()).transpose() {
            Ok(slot) => slot,
            Err(full) => {
                return Ok(Turn {
                    result: Err(full),
                    fuel_used: 0,
                    logs: Vec::new(),
                    logs_dropped: 0,
                });
            }
        };
        let mut run = Run::new(self.linked(), exports, actor, limits);
        let ended = work(&mut run);
        run.finish(ended)
    }
}
