//! Ids of actors, and builders of the instructions of the native program `actor`.

use crate::{Error, Result, limits, v1};
use prost::Message;
use std::fmt;

/// The native program that keeps the actors.
pub const ACTOR: &str = "actor";

/// A valid actor id: 1 to 128 of `a-z A-Z 0-9 . - _ /`. Slashes part segments, none of which is empty:
/// a grant may reach all actors below one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(String);

impl ActorId {
    /// Checks `id`.
    ///
    /// # Errors
    /// `invalid`, saying what an id looks like.
    pub fn new(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
        let valid = id.len() <= limits::ACTOR_ID_BYTES_MAX
            && id.bytes().all(inner)
            && id.split('/').all(|segment| !segment.is_empty());
        if valid {
            return Ok(Self(id));
        }
        let shown: String = id.chars().take(limits::ACTOR_ID_BYTES_MAX).collect();
        Err(Error::invalid(format!(
            "actor {shown:?}: not an actor id; use 1 to {} of a-z A-Z 0-9 . - _, in segments parted \
             by /",
            limits::ACTOR_ID_BYTES_MAX
        )))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn instruction(method: &str, args: &impl Message) -> v1::Instruction {
    v1::Instruction::new(ACTOR, method, args.encode_to_vec())
}

/// Makes an actor of a program.
pub fn spawn(actor: impl Into<String>, program: impl Into<String>) -> v1::Instruction {
    instruction("spawn", &v1::ActorSpawn { actor: actor.into(), program: program.into() })
}

/// Puts a message, canonical JSON, into an actor's mailbox.
pub fn send(actor: impl Into<String>, message: impl Into<Vec<u8>>) -> v1::Instruction {
    instruction("send", &v1::ActorSend { actor: actor.into(), message: message.into() })
}

/// Delivers a message, canonical JSON, and gives what came of it.
pub fn request(actor: impl Into<String>, message: impl Into<Vec<u8>>) -> v1::Instruction {
    instruction("request", &v1::ActorSend { actor: actor.into(), message: message.into() })
}

/// Lets an actor take no more messages.
pub fn stop(actor: impl Into<String>) -> v1::Instruction {
    instruction("stop", &v1::ActorName { actor: actor.into() })
}

/// Deletes a stopped actor with its history.
pub fn remove(actor: impl Into<String>) -> v1::Instruction {
    instruction("remove", &v1::ActorName { actor: actor.into() })
}

/// Puts the state after an earlier step back.
pub fn rollback(args: &v1::ActorRollback) -> v1::Instruction {
    instruction("rollback", args)
}

/// Sends a dead letter again.
pub fn retry(actor: impl Into<String>, letter: u64) -> v1::Instruction {
    instruction("retry", &v1::ActorRetry { actor: actor.into(), letter })
}

/// Sends a message at a time.
pub fn send_at(args: &v1::ActorSendAt) -> v1::Instruction {
    instruction("send_at", args)
}

/// Sends a message again and again.
pub fn send_every(args: &v1::ActorSendEvery) -> v1::Instruction {
    instruction("send_every", args)
}

/// Ends a timer.
pub fn cancel(actor: impl Into<String>, timer: impl Into<String>) -> v1::Instruction {
    let args = v1::ActorTimerName { actor: actor.into(), timer: timer.into() };
    instruction("cancel", &args)
}

/// Makes messages of events.
pub fn subscribe(topic: &v1::ActorTopic) -> v1::Instruction {
    instruction("subscribe", topic)
}

/// Ends a subscription.
pub fn unsubscribe(topic: &v1::ActorTopic) -> v1::Instruction {
    instruction("unsubscribe", topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for id in ["a", "bank", "bank/Alice.2", "a-b_c/1/2", &"x".repeat(128)] {
            assert!(ActorId::new(id).is_ok(), "{id}");
        }
        for id in ["", "/", "/a", "a/", "a//b", "a b", "ä", "a\0", "a:b", &"x".repeat(129)] {
            assert!(ActorId::new(id).is_err(), "{id:?}");
        }
    }
}
