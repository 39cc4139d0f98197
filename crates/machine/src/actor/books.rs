//! What is kept of actors: keys, records, and how they are read and written.
//!
//! Ids of actors, programs and timers have no zero byte, so a zero ends each of them in a key, and
//! keys are in the order of what they are made of.

use super::Actors;
use crate::{
    Fault, Halt,
    grants::{Read, decode_stored},
};
use althing_protocol::{Result, v1};
use althing_state::{Key, Value};
use prost::Message;

/// actor -> `ActorInfo`.
pub(crate) const INFO: &str = "actor.info";
/// program ‖ 0 ‖ actor -> nothing.
pub(crate) const OF: &str = "actor.of";
/// actor ‖ 0 ‖ step (8 bytes, big-endian) -> the state after that step, canonical JSON.
pub(crate) const STATE: &str = "actor.state";
/// actor ‖ 0 ‖ step (8 bytes, big-endian) -> `ActorStep`.
pub(crate) const STEP: &str = "actor.step";
/// actor ‖ 0 ‖ number (8 bytes, big-endian) -> `ActorMail`.
pub(crate) const INBOX: &str = "actor.inbox";
/// turn (8 bytes, big-endian) ‖ actor -> nothing.
pub(crate) const READY: &str = "actor.ready";
/// program -> `ActorShare`.
pub(crate) const SHARE: &str = "actor.share";
/// number (8 bytes, big-endian) -> `ActorLetter`.
pub(crate) const LETTER: &str = "actor.letter";
/// program ‖ 0 ‖ number (8 bytes, big-endian) -> nothing.
pub(crate) const LETTER_OF: &str = "actor.letter_of";
/// actor ‖ 0 ‖ timer -> `ActorTimer`, without its message.
pub(crate) const TIMER: &str = "actor.timer";
/// actor ‖ 0 ‖ timer -> the message, canonical JSON.
pub(crate) const TIMER_MESSAGE: &str = "actor.timer_message";
/// time (8 bytes, big-endian) ‖ actor ‖ 0 ‖ timer -> nothing.
pub(crate) const DUE: &str = "actor.due";
/// program ‖ 0 ‖ topic ‖ 0 ‖ actor ‖ 0 ‖ prefix -> `ActorSubscription`.
pub(crate) const TOPIC: &str = "actor.topic";
/// actor ‖ 0 ‖ program ‖ 0 ‖ topic ‖ 0 ‖ prefix -> nothing, or the number (8 bytes, big-endian) of the dead
/// letter that says that the actor was not told of something.
pub(crate) const SUBSCRIBED: &str = "actor.subscribed";
/// program -> `ActorProgram`.
pub(crate) const PROGRAM: &str = "actor.program";
/// actor -> `ActorShadow`.
pub(crate) const SHADOW: &str = "actor.shadow";
/// `queue` -> `ActorQueue`.
pub(crate) const META: &str = "actor.meta";

pub(crate) fn info_key(actor: &str) -> Key {
    Key::new(INFO, actor.as_bytes())
}

pub(crate) fn of_key(program: &str, actor: &str) -> Key {
    Key::new(OF, &joined(&[program.as_bytes(), actor.as_bytes()]))
}

pub(crate) fn program_key(program: &str) -> Key {
    Key::new(PROGRAM, program.as_bytes())
}

pub(crate) fn shadow_key(actor: &str) -> Key {
    Key::new(SHADOW, actor.as_bytes())
}

pub(crate) fn queue_key() -> Key {
    Key::new(META, b"queue")
}

/// The key of what an actor has by number: states, steps and mail; and of what a program has.
pub(crate) fn numbered_key(keyspace: &str, actor: &str, number: u64) -> Key {
    Key::new(keyspace, &numbered(actor, number))
}

/// The same, without its keyspace.
pub(crate) fn numbered(actor: &str, number: u64) -> Vec<u8> {
    let mut key = of_actor(actor);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number at the end of such a key.
pub(crate) fn number_of(key: &[u8]) -> Result<u64, Halt> {
    let number = key.last_chunk::<8>().map(|number| u64::from_be_bytes(*number));
    number.ok_or_else(|| Halt::new("state: a key of an actor has no number"))
}

/// What the keys of all that an actor has begin with, where they begin with the actor.
pub(crate) fn of_actor(actor: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(actor.len() + 9);
    key.extend_from_slice(actor.as_bytes());
    key.push(0);
    key
}

pub(crate) fn ready_key(turn: u64, actor: &str) -> Key {
    Key::new(READY, &[&turn.to_be_bytes()[..], actor.as_bytes()].concat())
}

/// The actor that has a place in the queue.
pub(crate) fn split_ready(key: &[u8]) -> Result<&str, Halt> {
    let actor = key.split_first_chunk::<8>().and_then(|(_, id)| std::str::from_utf8(id).ok());
    actor.ok_or_else(|| Halt::new("state: a place in the queue of actors is malformed"))
}

pub(crate) fn share_key(program: &str) -> Key {
    Key::new(SHARE, program.as_bytes())
}

pub(crate) fn letter_key(letter: u64) -> Key {
    Key::new(LETTER, &letter.to_be_bytes())
}

pub(crate) fn letter_of_key(program: &str, letter: u64) -> Key {
    numbered_key(LETTER_OF, program, letter)
}

pub(crate) fn timer_key(actor: &str, timer: &str) -> Key {
    Key::new(TIMER, &joined(&[actor.as_bytes(), timer.as_bytes()]))
}

pub(crate) fn timer_message_key(timer: &v1::ActorTimer) -> Key {
    Key::new(TIMER_MESSAGE, &joined(&[timer.actor.as_bytes(), timer.timer.as_bytes()]))
}

pub(crate) fn due_key(timer: &v1::ActorTimer) -> Key {
    let name = joined(&[timer.actor.as_bytes(), timer.timer.as_bytes()]);
    Key::new(DUE, &[&timer.due_us.to_be_bytes()[..], &name].concat())
}

pub(crate) fn topic_key(topic: &v1::ActorTopic) -> Key {
    let v1::ActorTopic { actor, program, topic, prefix } = topic;
    let parts = [program.as_bytes(), topic.as_bytes(), actor.as_bytes(), prefix];
    Key::new(TOPIC, &joined(&parts))
}

pub(crate) fn subscribed_key(topic: &v1::ActorTopic) -> Key {
    let v1::ActorTopic { actor, program, topic, prefix } = topic;
    let parts = [actor.as_bytes(), program.as_bytes(), topic.as_bytes(), prefix];
    Key::new(SUBSCRIBED, &joined(&parts))
}

/// The key of the subscription that a key of [`SUBSCRIBED`] stands for.
pub(crate) fn topic_of_subscribed(key: &[u8]) -> Option<Key> {
    let mut parts = key.splitn(4, |b| *b == 0);
    let mut part = || parts.next();
    let (actor, program, topic, prefix) = (part()?, part()?, part()?, part()?);
    Some(Key::new(TOPIC, &joined(&[program, topic, actor, prefix])))
}

/// What a subscription is to, of the key by which its actor has it.
pub(crate) fn split_subscribed(key: &[u8]) -> Result<v1::ActorTopic, Halt> {
    let mut parts = key.splitn(4, |byte| *byte == 0);
    let mut part = || parts.next().map(<[u8]>::to_vec).unwrap_or_default();
    let texts = [part(), part(), part()].map(String::from_utf8);
    let [Ok(actor), Ok(program), Ok(topic)] = texts else {
        return Err(Halt::new("state: a subscription of an actor is malformed"));
    };
    Ok(v1::ActorTopic { actor, program, topic, prefix: part() })
}

/// The number of that letter.
pub(crate) fn noted(subscribed: &[u8]) -> Result<Option<u64>, Halt> {
    match subscribed {
        [] => Ok(None),
        number => number_of(number).map(Some),
    }
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&0)
}

fn record<M: Message + Default>(
    state: &impl Read,
    what: &str,
    key: &Key,
) -> Result<Option<M>, Halt> {
    state.read(key)?.map(|bytes| decode_stored(what, &bytes)).transpose()
}

/// The actor, if it is there.
pub(crate) fn info(state: &impl Read, actor: &str) -> Result<Option<v1::ActorInfo>, Halt> {
    record(state, "actor", &info_key(actor))
}

/// What is known of all actors.
pub(crate) fn queue(state: &impl Read) -> Result<v1::ActorQueue, Halt> {
    Ok(record(state, "queue of actors", &queue_key())?.unwrap_or_default())
}

/// What is known of the actors of a program.
pub(crate) fn program(state: &impl Read, program: &str) -> Result<v1::ActorProgram, Halt> {
    let found = record(state, "actors of a program", &program_key(program))?;
    Ok(found.unwrap_or_else(|| v1::ActorProgram {
        program: program.to_owned(),
        ..v1::ActorProgram::default()
    }))
}

/// The state that was stored with `step`, if it is kept.
pub(crate) fn state(state: &impl Read, actor: &str, step: u64) -> Result<Option<Value>, Halt> {
    Ok(state.read(&numbered_key(STATE, actor, step))?)
}

/// One step of an actor's history.
pub(crate) fn step(
    state: &impl Read,
    actor: &str,
    step: u64,
) -> Result<Option<v1::ActorStep>, Halt> {
    record(state, "step of an actor", &numbered_key(STEP, actor, step))
}

/// One message that waits.
pub(crate) fn mail(
    state: &impl Read,
    actor: &str,
    number: u64,
) -> Result<Option<v1::ActorMail>, Halt> {
    record(state, "mail of an actor", &numbered_key(INBOX, actor, number))
}

pub(crate) fn shadow(state: &impl Read, actor: &str) -> Result<Option<v1::ActorShadow>, Halt> {
    record(state, "shadow of an actor", &shadow_key(actor))
}

pub(crate) fn timer(
    state: &impl Read,
    actor: &str,
    timer: &str,
) -> Result<Option<v1::ActorTimer>, Halt> {
    record(state, "timer of an actor", &timer_key(actor, timer))
}

/// What a timer sends.
pub(crate) fn timer_message(state: &impl Read, timer: &v1::ActorTimer) -> Result<Vec<u8>, Halt> {
    let found = state.read(&timer_message_key(timer))?;
    Ok(found.ok_or_else(|| missing("the message of a timer", &timer.actor))?.to_vec())
}

/// What a program's actors have of what all of them share.
pub(crate) fn share(state: &impl Read, program: &str) -> Result<v1::ActorShare, Halt> {
    Ok(record(state, "share of a program", &share_key(program))?.unwrap_or_default())
}

pub(crate) fn letter(state: &impl Read, letter: u64) -> Result<Option<v1::ActorLetter>, Halt> {
    record(state, "dead letter", &letter_key(letter))
}

/// A record that a key of ours must have.
pub(crate) fn missing(what: &str, actor: &str) -> Halt {
    Halt::new(format!("state: {what} of actor {actor} is missing"))
}

/// The last part of a key: an actor's id.
pub(crate) fn actor_of(key: &[u8]) -> Result<&str, Halt> {
    let id = key.rsplit(|b| *b == 0).next().unwrap_or_default();
    std::str::from_utf8(id).map_err(|_| Halt::new("state: an actor's id is malformed"))
}

impl Actors<'_> {
    pub(crate) fn info(&self, actor: &str) -> Result<Option<v1::ActorInfo>, Halt> {
        info(self.scope, actor)
    }

    pub(crate) fn put_info(&mut self, info: &v1::ActorInfo) -> Result<(), Fault> {
        self.put(info_key(&info.actor), info)
    }

    pub(crate) fn queue(&self) -> Result<v1::ActorQueue, Halt> {
        queue(self.scope)
    }

    pub(crate) fn put_queue(&mut self, queue: &v1::ActorQueue) -> Result<(), Fault> {
        self.put(queue_key(), queue)
    }

    pub(crate) fn program(&self, program: &str) -> Result<v1::ActorProgram, Halt> {
        self::program(self.scope, program)
    }

    pub(crate) fn put_program(&mut self, program: &v1::ActorProgram) -> Result<(), Fault> {
        self.put(program_key(&program.program), program)
    }

    pub(crate) fn share(&self, program: &str) -> Result<v1::ActorShare, Halt> {
        share(self.scope, program)
    }

    /// One that says nothing is not kept.
    pub(crate) fn put_share(&mut self, program: &str, share: &v1::ActorShare) -> Result<(), Fault> {
        let key = share_key(program);
        match *share == v1::ActorShare::default() {
            true if self.scope.get(&key)?.is_none() => Ok(()),
            true => Ok(self.scope.delete(key)?),
            false => self.put(key, share),
        }
    }

    pub(crate) fn put(&mut self, key: Key, record: &impl Message) -> Result<(), Fault> {
        Ok(self.scope.put(key, record.encode_to_vec())?)
    }
}
