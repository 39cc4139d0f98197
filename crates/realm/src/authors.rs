//! Sessions of the callers whose keys this node keeps.

use crate::realm::Core;
use althing_protocol::{Batch, Error, Kind, PublicKey, Result, SecretKey, limits, sign, sys, v1};
use prost::Message;
use rand::Rng;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

/// Instructions of one caller in flight: half the window, so that numbers lost to refusals at the
/// door never push the rest out of it.
const IN_FLIGHT_MAX: usize = (limits::SESSION_WINDOW / 2) as usize;
/// Times that a session which went away is replaced for one submission.
const REOPEN_MAX: usize = 3;
/// Times that a number which is taken is looked up again.
const OPEN_MAX: usize = 3;

/// Callers that have submitted something.
#[derive(Debug, Default)]
pub(crate) struct Authors(Mutex<HashMap<PublicKey, Arc<Author>>>);

#[derive(Debug)]
struct Author {
    in_flight: Arc<Semaphore>,
    seat: AsyncMutex<Option<Seat>>,
}

/// The open session of a caller.
#[derive(Clone, Copy, Debug)]
struct Seat {
    session: u64,
    /// The next number.
    next: u64,
    /// Numbers given out whose outcome is not known.
    outstanding: u64,
    /// The highest number that the log decided.
    decided: u64,
}

impl Authors {
    pub(crate) async fn submit(
        &self,
        core: &Arc<Core>,
        key: &SecretKey,
        instructions: Vec<v1::Instruction>,
    ) -> Result<Vec<v1::Outcome>> {
        let count = instructions.len();
        if count == 0 || count > limits::BATCH_PAYLOADS_MAX {
            return Err(Error::invalid(format!(
                "instructions: {count}, wants 1 to {}",
                limits::BATCH_PAYLOADS_MAX
            )));
        }
        let author = self.author(key.public());
        let permits = Arc::clone(&author.in_flight).acquire_many_owned(count as u32).await;
        let permits = permits.map_err(crate::halt::internal)?;
        let (core, key) = (Arc::clone(core), key.clone());
        // Its numbers are settled even if who waits goes away.
        let submitting = async move {
            let _permits = permits;
            author.submit(&core, &key, instructions).await
        };
        tokio::spawn(submitting).await.map_err(crate::halt::internal)?
    }

    fn author(&self, key: PublicKey) -> Arc<Author> {
        let mut authors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(authors.entry(key).or_insert_with(|| {
            let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
            Arc::new(Author { in_flight, seat: AsyncMutex::new(None) })
        }))
    }
}

impl Author {
    async fn submit(
        &self,
        core: &Arc<Core>,
        key: &SecretKey,
        instructions: Vec<v1::Instruction>,
    ) -> Result<Vec<v1::Outcome>> {
        let count = instructions.len() as u64;
        for _ in 0..REOPEN_MAX {
            let (session, sequence) = self.take(core, key, count).await?;
            let batch = Batch {
                realm: core.id,
                author: key.public(),
                session,
                sequence,
                instructions: instructions.clone(),
            };
            let result = core.submit(sign(key, batch), true).await;
            let is_gone = self.settle(session, sequence, count, &result).await;
            if !is_gone {
                return result;
            }
        }
        Err(Error::unavailable(
            "session of the caller: closed again and again; too many nodes or programs use its key",
        ))
    }

    /// Takes `count` numbers, opening a session if there is none.
    async fn take(&self, core: &Arc<Core>, key: &SecretKey, count: u64) -> Result<(u64, u64)> {
        let mut seat = self.seat.lock().await;
        let mut open = match *seat {
            Some(open) => open,
            None => Seat { session: open(core, key).await?, next: 1, outstanding: 0, decided: 0 },
        };
        let sequence = open.next;
        open.next += count;
        open.outstanding += count;
        *seat = Some(open);
        Ok((open.session, sequence))
    }

    /// Learns what became of numbers. True when the session is gone and nothing was decided.
    ///
    /// What was refused was never proposed, so its numbers are free again; once nothing is
    /// outstanding, they are given out again.
    async fn settle(
        &self,
        session: u64,
        sequence: u64,
        count: u64,
        result: &Result<Vec<v1::Outcome>>,
    ) -> bool {
        let is_missing = |error: &Error| {
            error.kind == Kind::NotFound
                && error.message.starts_with(&format!("session {session} "))
        };
        let is_gone = match result {
            Err(error) => is_missing(error),
            Ok(outcomes) => outcomes.iter().all(|outcome| match &outcome.result {
                Some(v1::outcome::Result::Failure(failure)) => is_missing(&failure.into()),
                _ => false,
            }),
        };
        let mut seat = self.seat.lock().await;
        let Some(open) = seat.as_mut().filter(|open| open.session == session) else {
            return is_gone;
        };
        if is_gone {
            *seat = None;
            return true;
        }
        open.outstanding -= count;
        match result {
            Ok(_) => open.decided = open.decided.max(sequence + count - 1),
            // The outcome is unknown: the numbers may be decided yet.
            Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Internal) => *seat = None,
            Err(_) if open.outstanding == 0 => open.next = open.decided + 1,
            Err(_) => {}
        }
        false
    }
}

/// Opens a session, with the author's next number in session 0. Where this node is behind, that number
/// may be taken: then it is looked up again.
async fn open(core: &Arc<Core>, key: &SecretKey) -> Result<u64> {
    let mut opened = open_once(core, key).await;
    for _ in 0..OPEN_MAX {
        match &opened {
            Err(error) if error.kind == Kind::Conflict && !core.is_alone() => {
                let index = core.read_index().await?;
                core.reach(index).await?;
                opened = open_once(core, key).await;
            }
            _ => break,
        }
    }
    opened
}

async fn open_once(core: &Arc<Core>, key: &SecretKey) -> Result<u64> {
    let author = key.public();
    let view = core.store.view();
    let (sequence, _) = core.machine.session_list(&view, &author).map_err(crate::halt::internal)?;
    drop(view);
    // Its own: two holders of a key that race for a number must not both get the one session.
    let label = format!("node {:016x}", rand::rng().next_u64());
    let batch = Batch {
        realm: core.id,
        author,
        session: 0,
        sequence,
        instructions: vec![sys::session_open(label)],
    };
    let outcomes = core.submit(sign(key, batch), true).await?;
    match outcomes.into_iter().next().and_then(|outcome| outcome.result) {
        Some(v1::outcome::Result::Output(output)) => {
            let opened = v1::SessionOpened::decode(output.as_slice());
            Ok(opened.map_err(crate::halt::internal)?.session)
        }
        Some(v1::outcome::Result::Failure(failure)) => Err((&failure).into()),
        None => Err(crate::halt::internal("a session was opened without an outcome")),
    }
}
