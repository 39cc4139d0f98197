//! The actors of a scenario and their mailboxes. A realm delivers in the same order: the actors that
//! have mail take turns, one message a turn.

use super::{
    file::{Actor, Beginning},
    run::Cast,
};
use althing_protocol::{ActorId, Error, Result, limits};
use althing_sandbox::{Halt, Sent, Turn};
use std::collections::{BTreeMap, VecDeque};

/// Messages among actors that one message from outside may cause. A realm bounds the length of each
/// chain and goes on; here somebody waits for the end.
pub(super) const DELIVERIES_MAX: usize = 10_000;
/// Lines that are kept of what one message from outside made actors log.
const LOG_LINES_MAX: usize = 1_000;

/// The actors.
pub(super) struct Stage<'a> {
    cast: &'a Cast,
    states: BTreeMap<String, Vec<u8>>,
    inboxes: BTreeMap<String, VecDeque<Mail>>,
    /// Actors that have mail, each once.
    turns: VecDeque<String>,
}

struct Mail {
    message: Vec<u8>,
    /// Messages before it, of which each made an actor send the next.
    hops: u32,
}

/// What a message from outside came to, with all that it caused.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// Why it was refused.
    pub(super) error: Option<Error>,
    /// What its receiver sent.
    pub(super) sends: Vec<Sent>,
    /// Fuel that its receiver used.
    pub(super) fuel: u64,
    /// Lines that were logged, with who did.
    pub(super) logs: Vec<(String, String)>,
    /// What could not be delivered to others: whom it was for, and why.
    pub(super) letters: Vec<(String, Error)>,
    /// Whether more waits than is delivered: the actors send and send.
    pub(super) is_endless: bool,
}

/// An actor cannot begin as the scenario says.
pub(super) struct NotBegun {
    pub(super) line: u64,
    pub(super) actor: String,
    /// What the component, or its state contract, says against it.
    pub(super) error: Error,
}

impl<'a> Stage<'a> {
    /// Puts the actors on it, each with its first state.
    ///
    /// # Errors
    /// When this machine cannot run the component.
    pub(super) fn new(
        cast: &'a Cast,
        actors: &BTreeMap<String, Actor>,
    ) -> Result<Result<Self, NotBegun>> {
        let Cast { image, limits } = cast;
        let mut states = BTreeMap::new();
        for (id, Actor { line, begins }) in actors {
            let turn = match begins {
                Beginning::Init => image.actor_init(id, limits),
                Beginning::State(state) => image.actor_check(id, state, limits),
                Beginning::Migrated { state, from_version } => {
                    image.actor_migrate(id, state, from_version, limits)
                }
            };
            let next = match turn.map_err(halted)?.result {
                Ok(next) => next,
                Err(error) => {
                    return Ok(Err(NotBegun { line: *line, actor: id.clone(), error }));
                }
            };
            let state = match begins {
                Beginning::State(state) => state.clone(),
                Beginning::Init | Beginning::Migrated { .. } => next.state,
            };
            states.insert(id.clone(), state);
        }
        Ok(Ok(Self { cast, states, inboxes: BTreeMap::new(), turns: VecDeque::new() }))
    }

    /// The state of an actor that there is.
    pub(super) fn state(&self, actor: &str) -> &[u8] {
        self.states.get(actor).map_or(b"null", Vec::as_slice)
    }

    /// Delivers a message to an actor, and then all that actors send each other, until none is left.
    ///
    /// # Errors
    /// When this machine cannot run the component.
    pub(super) fn deliver(&mut self, to: &str, message: &[u8]) -> Result<Came> {
        let mut came = Came::default();
        let (fuel, sends) = match self.turn(to, message, 0, &mut came)? {
            (fuel, Ok(sends)) => (fuel, sends),
            (fuel, Err(error)) => {
                came.error = Some(error);
                (fuel, Vec::new())
            }
        };
        (came.fuel, came.sends) = (fuel, sends);
        for _ in 0..DELIVERIES_MAX {
            let Some(actor) = self.turns.pop_front() else { return Ok(came) };
            let inbox = self.inboxes.entry(actor.clone()).or_default();
            let Some(mail) = inbox.pop_front() else { continue };
            if !inbox.is_empty() {
                self.turns.push_back(actor.clone());
            }
            if let (_, Err(error)) = self.turn(&actor, &mail.message, mail.hops, &mut came)? {
                came.letters.push((actor, error));
            }
        }
        came.is_endless = !self.turns.is_empty();
        Ok(came)
    }

    /// One message to one actor: the fuel, and what it sent, which is in the mailboxes already.
    fn turn(
        &mut self,
        actor: &str,
        message: &[u8],
        hops: u32,
        came: &mut Came,
    ) -> Result<(u64, Result<Vec<Sent>>)> {
        let (state, Cast { image, limits }) = (self.state(actor), self.cast);
        let turn = image.actor_turn(actor, message, state, limits).map_err(halted)?;
        let Turn { result, fuel_used, logs, .. } = turn;
        let room = LOG_LINES_MAX.saturating_sub(came.logs.len());
        came.logs.extend(logs.into_iter().take(room).map(|line| (actor.to_owned(), line)));
        let next = match result {
            Ok(next) => next,
            Err(error) => return Ok((fuel_used, Err(error))),
        };
        self.states.insert(actor.to_owned(), next.state);
        for sent in &next.sends {
            if let Err(error) = self.post(sent, hops + 1) {
                came.letters.push((sent.to.clone(), error));
            }
        }
        Ok((fuel_used, Ok(next.sends)))
    }

    fn post(&mut self, sent: &Sent, hops: u32) -> Result<()> {
        let to = ActorId::new(sent.to.as_str())?.to_string();
        if !self.states.contains_key(&to) {
            return Err(Error::not_found(format!("actor {to}: is not in this scenario")));
        }
        if hops > limits::ACTOR_HOPS_MAX {
            return Err(Error::exhausted(format!(
                "message to {to}: is the end of a chain of {} messages",
                limits::ACTOR_HOPS_MAX
            )));
        }
        let inbox = self.inboxes.entry(to.clone()).or_default();
        if inbox.len() as u64 >= limits::ACTOR_WAITING_MAX {
            return Err(Error::exhausted(format!("actor {to}: {} messages wait", inbox.len())));
        }
        if inbox.is_empty() {
            self.turns.push_back(to);
        }
        inbox.push_back(Mail { message: sent.message.clone(), hops });
        Ok(())
    }
}

/// What keeps this machine from running a component.
pub(super) fn halted(halt: Halt) -> Error {
    Error::unavailable(format!("this machine: {halt}"))
}
