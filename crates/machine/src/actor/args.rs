//! Calls of the program `actor`: decoded, checked, and what they need.

use super::{timers, topics};
use althing_protocol::{ACTOR, ActorId, Error, Need, ProgramId, Result, decode, json, limits, v1};

/// A decoded call.
pub(super) enum Args {
    Spawn(v1::ActorSpawn),
    Send(v1::ActorSend),
    Request(v1::ActorSend),
    Stop(v1::ActorName),
    Remove(v1::ActorName),
    Rollback(v1::ActorRollback),
    Retry(v1::ActorRetry),
    SendAt(v1::ActorSendAt),
    SendEvery(v1::ActorSendEvery),
    Cancel(v1::ActorTimerName),
    Subscribe(v1::ActorTopic),
    Unsubscribe(v1::ActorTopic),
}

/// The methods, for people who mistyped one.
const METHODS: &str = "spawn, send, request, stop, remove, rollback, retry, send_at, send_every, \
                       cancel, subscribe, unsubscribe";

impl Args {
    pub(super) fn decode(method: &str, args: &[u8]) -> Result<Self> {
        let what = "args of actor";
        Ok(match method {
            "spawn" => Self::Spawn(decode(what, args)?),
            "send" => Self::Send(decode(what, args)?),
            "request" => Self::Request(decode(what, args)?),
            "stop" => Self::Stop(decode(what, args)?),
            "remove" => Self::Remove(decode(what, args)?),
            "rollback" => Self::Rollback(decode(what, args)?),
            "retry" => Self::Retry(decode(what, args)?),
            "send_at" => Self::SendAt(decode(what, args)?),
            "send_every" => Self::SendEvery(decode(what, args)?),
            "cancel" => Self::Cancel(decode(what, args)?),
            "subscribe" => Self::Subscribe(decode(what, args)?),
            "unsubscribe" => Self::Unsubscribe(decode(what, args)?),
            _ => {
                return Err(Error::not_found(format!(
                    "method {method} of actor: does not exist; there are {METHODS}"
                )));
            }
        })
    }

    /// Checks the args, and says what the author must be granted.
    pub(super) fn needs(&self, method: &str) -> Result<Vec<Need>> {
        let mut needs = vec![Need::new(ACTOR, method).at(self.actor())];
        ActorId::new(self.actor())?;
        match self {
            Self::Spawn(spawn) => {
                ProgramId::new(spawn.program.as_str())?;
                needs.push(Need::new(&spawn.program, "spawn").at(spawn.actor.as_str()));
            }
            Self::Send(send) | Self::Request(send) => check_message(&send.actor, &send.message)?,
            Self::Rollback(rollback) => check_rollback(rollback)?,
            Self::Stop(_) | Self::Remove(_) | Self::Retry(_) => {}
            Self::Cancel(_) | Self::Unsubscribe(_) => {}
            Self::SendAt(args) => timers::check_at(args)?,
            Self::SendEvery(args) => timers::check_every(args)?,
            Self::Subscribe(topic) => {
                topics::check(topic)?;
                needs.push(topics::need(&topic.program, &topic.topic, &topic.prefix));
            }
        }
        Ok(needs)
    }

    /// The topic of the event when it is done, if it has one.
    pub(super) fn topic(&self) -> Option<&'static str> {
        match self {
            Self::Spawn(_) => Some("spawned"),
            Self::Stop(_) => Some("stopped"),
            Self::Remove(_) => Some("removed"),
            Self::Rollback(_) => Some("rolled_back"),
            _ => None,
        }
    }

    /// The actor that it is about.
    pub(super) fn actor(&self) -> &str {
        match self {
            Self::Spawn(args) => &args.actor,
            Self::Send(args) | Self::Request(args) => &args.actor,
            Self::Stop(args) | Self::Remove(args) => &args.actor,
            Self::Rollback(args) => &args.actor,
            Self::Retry(args) => &args.actor,
            Self::SendAt(args) => &args.actor,
            Self::SendEvery(args) => &args.actor,
            Self::Cancel(args) => &args.actor,
            Self::Subscribe(args) | Self::Unsubscribe(args) => &args.actor,
        }
    }
}

/// A message must be canonical when it comes: then what is signed, kept and hashed is one text.
pub(super) fn check_message(actor: &str, message: &[u8]) -> Result<()> {
    if message.len() > limits::ACTOR_MESSAGE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "message to {actor}: {} bytes, the limit is {}",
            message.len(),
            limits::ACTOR_MESSAGE_BYTES_MAX
        )));
    }
    json::check_canonical(&format!("message to {actor}"), message)
}

fn check_rollback(rollback: &v1::ActorRollback) -> Result<()> {
    let v1::ActorRollback { actor, to, state } = rollback;
    if *to == 0 {
        return Err(Error::invalid(format!("rollback of {actor}: wants a step; the first is 1")));
    }
    match state {
        Some(state) if state.len() > limits::ACTOR_STATE_BYTES_MAX => Err(Error::invalid(format!(
            "state of {actor}: {} bytes, the limit is {}",
            state.len(),
            limits::ACTOR_STATE_BYTES_MAX
        ))),
        _ => Ok(()),
    }
}
