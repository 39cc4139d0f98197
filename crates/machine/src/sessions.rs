//! Exactly once, bounded.
//!
//! A session keeps the outcomes of its last [`limits::SESSION_WINDOW`] sequence numbers in a ring
//! of slots. Below the window everything is decided, so a captured envelope is useless; inside it
//! a retry gets the recorded outcome. Session 0 belongs to every author and only opens sessions.

use crate::{
    Halt,
    context::digest,
    grants::{Read, decode_stored},
    keyspace,
};
use althing_protocol::{Error, PublicKey, Result, limits, v1};
use althing_state::{Key, Writes};
use prost::Message;

/// A session as queries show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Its number, unique for the author.
    pub session: u64,
    /// What the state keeps about it.
    pub state: v1::SessionState,
}

/// Where a sequence number stands.
#[derive(Debug, PartialEq)]
pub(crate) enum Seat {
    /// Not decided yet.
    Free,
    /// Decided: the outcome of the first time.
    Decided(v1::Outcome),
}

/// Finds the seat of one instruction in a session whose highest number is `highest`.
///
/// # Errors
/// `conflict` when the number is decided and this is no retry; `invalid` when it is no number of
/// this window.
pub(crate) fn seat(
    state: &impl Read,
    author: &PublicKey,
    session: u64,
    highest: u64,
    sequence: u64,
    instruction: &v1::Instruction,
) -> Result<Result<Seat>, Halt> {
    if sequence == 0 {
        return Ok(Err(Error::invalid("sequence 0: the first number of a session is 1")));
    }
    if sequence > highest.saturating_add(limits::SESSION_WINDOW) {
        return Ok(Err(Error::invalid(format!(
            "sequence {sequence} of session {session}: too far ahead, the last one was {highest}"
        ))));
    }
    let decided = || {
        Error::conflict(format!(
            "sequence {sequence} of session {session}: already decided; use the next number"
        ))
    };
    if sequence + limits::SESSION_WINDOW <= highest {
        return Ok(Err(decided()));
    }
    let Some(bytes) = state.read(&decided_key(author, session, sequence))? else {
        return Ok(Ok(Seat::Free));
    };
    let record: v1::Decided = decode_stored("decided instruction", &bytes)?;
    if record.sequence != sequence {
        return Ok(Ok(Seat::Free));
    }
    if record.digest != digest(instruction) {
        return Ok(Err(decided()));
    }
    Ok(Ok(Seat::Decided(record.outcome.unwrap_or_default())))
}

/// The author's session.
///
/// # Errors
/// `not-found` when it was never opened, or is closed.
pub(crate) fn find(
    state: &impl Read,
    author: &PublicKey,
    session: u64,
) -> Result<Result<v1::SessionState>, Halt> {
    match state.read(&session_key(author, session))? {
        Some(bytes) => Ok(Ok(decode_stored("session", &bytes)?)),
        None if session == 0 => Ok(Ok(v1::SessionState::default())),
        None => Ok(Err(not_open(author, session))),
    }
}

/// What is said of a session that was never opened, or is closed.
pub(crate) fn not_open(author: &PublicKey, session: u64) -> Error {
    Error::not_found(format!(
        "session {session} of key {author}: not open; it may have been closed as the least \
         recently used; open another"
    ))
}

/// Records what was decided for `sequence`.
pub(crate) fn decide(
    writes: &mut Writes,
    author: &PublicKey,
    session: u64,
    sequence: u64,
    digest: Vec<u8>,
    outcome: &v1::Outcome,
) {
    let record = v1::Decided { sequence, digest, outcome: Some(outcome.clone()) };
    writes.put(decided_key(author, session, sequence), record.encode_to_vec());
}

/// All sessions of `author` but session 0, by number.
pub(crate) fn list(state: &impl Read, author: &PublicKey) -> Result<Vec<Session>, Halt> {
    let limit = limits::SESSIONS_PER_AUTHOR_MAX + 2;
    let mut sessions = Vec::new();
    for (key, bytes) in state.pairs(keyspace::SESSION, author.as_bytes(), limit)? {
        let number = key.get(32..40).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes);
        if number != 0 {
            sessions.push(Session { session: number, state: decode_stored("session", &bytes)? });
        }
    }
    Ok(sessions)
}

pub(crate) fn session_key(author: &PublicKey, session: u64) -> Key {
    Key::new(keyspace::SESSION, &session_bytes(author, session))
}

/// Prefix of the decided instructions of a session.
pub(crate) fn session_bytes(author: &PublicKey, session: u64) -> Vec<u8> {
    [author.as_bytes().as_slice(), &session.to_be_bytes()].concat()
}

fn decided_key(author: &PublicKey, session: u64, sequence: u64) -> Key {
    let slot = (sequence % limits::SESSION_WINDOW) as u16;
    let mut bytes = session_bytes(author, session);
    bytes.extend(slot.to_be_bytes());
    Key::new(keyspace::DECIDED, &bytes)
}
