//! The native program `actor`: JSON state behind contracts, messages, history.
//!
//! ```text
//!   Actor          the program: decodes, says what is needed, dispatches (args)
//!     | life       spawn, stop, remove
//!     | mail       inboxes, the queue of actors with mail, dead letters
//!     | turn       one message to one actor
//!     | deliver    what waits, behind the instructions of an entry and in ticks, in bounded parts
//!     | history    a hash-chained record of steps; going back
//!     | timers     messages at a time
//!     | topics     who subscribed to events and changed keys (subscribers)
//!     | tell       those become messages to them (news)
//!     | upgrade    another version takes over all actors of a program, or none
//!     | tick       what is due
//!     `-- books    the keys and records below all of them
//! ```
//!
//! A message is handled whole or not at all: what a guest returned and sent is written once all of
//! its contracts have agreed, through the scope of the entry.

mod args;
pub(crate) mod books;
mod deliver;
mod history;
mod life;
mod mail;
mod news;
mod query;
mod replay;
mod running;
mod subscribers;
mod tell;
mod tick;
mod timers;
mod topics;
mod turn;
mod upgrade;

pub(crate) use query::upgrading_to;
pub use query::{ActorLetters, ActorPage, ActorState};
pub use replay::{ActorDifference, ActorReplay};
pub(crate) use tell::Told;
pub use tick::Due;
pub(crate) use topics::TopicCache;

use crate::{Fault, Halt, Native, context::Logs, contract::Contracts, native::Call};
use althing_protocol::{ACTOR, Need, PublicKey, Result};
use althing_state::Scope;
use args::Args;
use prost::Message;
use std::sync::Arc;

/// Where in the log something happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// Index of the entry.
    pub(crate) index: u64,
    /// The log's clock.
    pub(crate) timestamp_us: u64,
}

/// What actors are run with: during an instruction, or behind those of an entry.
pub(crate) struct Actors<'a> {
    pub(crate) scope: &'a mut Scope,
    pub(crate) contracts: &'a Arc<Contracts>,
    pub(crate) at: At,
    pub(crate) logs: &'a mut Logs,
    /// What guests have used so far.
    pub(crate) fuel: u64,
}

/// The program's code; its state is in the scope.
pub(crate) struct Actor;

impl Native for Actor {
    fn id(&self) -> &'static str {
        ACTOR
    }

    fn needs(&self, method: &str, args: &[u8]) -> Result<Vec<Need>> {
        Args::decode(method, args)?.needs(method)
    }

    fn apply(&self, call: &mut Call<'_>, method: &str, args: &[u8]) -> Result<Vec<u8>, Fault> {
        let args = Args::decode(method, args)?;
        let author = call.context.author;
        let mut actors = call.actors();
        let done = actors.dispatch(&author, args);
        let fuel = actors.fuel;
        *call.guests.fuel = call.guests.fuel.saturating_add(fuel);
        let (output, event) = done?;
        if let Some((topic, actor)) = event {
            call.emit(topic, actor.as_bytes())?;
        }
        Ok(output)
    }
}

/// What a call gives, and the event of it: a topic, and the actor.
type Done = (Vec<u8>, Option<(&'static str, String)>);

impl Actors<'_> {
    fn dispatch(&mut self, author: &PublicKey, args: Args) -> Result<Done, Fault> {
        let actor = args.actor().to_owned();
        let mut event = args.topic().map(|topic| (topic, actor));
        let output = match args {
            Args::Spawn(args) => self.spawn(author, args)?.encode_to_vec(),
            Args::Send(args) => self.send(author, args)?.encode_to_vec(),
            Args::Request(args) => self.request(author, args)?.encode_to_vec(),
            Args::Stop(args) => self.stop(&args)?.encode_to_vec(),
            Args::Remove(args) => {
                let removed = self.remove(&args)?;
                event.take_if(|_| removed.more);
                removed.encode_to_vec()
            }
            Args::Rollback(args) => self.rollback(author, args)?.encode_to_vec(),
            Args::Retry(args) => self.retry(&args)?.encode_to_vec(),
            Args::SendAt(args) => self.send_at(args, author)?.encode_to_vec(),
            Args::SendEvery(args) => self.send_every(args, author)?.encode_to_vec(),
            Args::Cancel(args) => {
                self.cancel(&args)?;
                Vec::new()
            }
            Args::Subscribe(args) => self.subscribe(args, author)?.encode_to_vec(),
            Args::Unsubscribe(args) => {
                self.unsubscribe(&args)?;
                Vec::new()
            }
        };
        Ok((output, event))
    }
}

/// Whether instructions since the view of `scope` gave an actor a place in the queue. Without any
/// that concerned actors, nothing is read.
pub(crate) fn has_mail(scope: &Scope) -> Result<bool, Halt> {
    if scope.writes().get(&books::queue_key()).is_none() {
        return Ok(false);
    }
    Ok(books::queue(scope)?.placed > books::queue(scope.view())?.placed)
}

/// Behind the instructions there is nobody to whom an error could be told: delivery makes a dead
/// letter of what a message fails with, and within its limits nothing else can fail.
pub(crate) fn settled<T>(done: Result<T, Fault>) -> Result<T, Halt> {
    Fault::outcome(done)?.map_err(|error| {
        Halt::new(format!("mail of actors: {}: a defect of the machine", error.message))
    })
}
