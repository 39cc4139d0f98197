//! Delivery: what waits for actors, behind the instructions of an entry and in ticks.
//!
//! A message that is refused is no outcome of an instruction: whoever sent it has one already. It
//! becomes a failed step of the actor, and a dead letter.

use super::{
    Actors, books, history::Happened, mail::Mailbox, running, running::Running, topics, upgrade,
};
use crate::{DeliveryExplained, Fault, Halt, Subject};
use althing_protocol::{ACTOR, Error, Need, PublicKey, Result, limits, v1};
use std::ops::Bound;
use v1::{actor_sender::Sender, actor_step::Kind};

impl Actors<'_> {
    /// Delivers up to `max` messages; begins none more when `fuel_max` is used, or when it has written as
    /// much as it may. `seen` gets what became of them.
    pub(crate) fn deliver(
        &mut self,
        max: usize,
        fuel_max: u64,
        mut seen: Option<&mut Vec<DeliveryExplained>>,
    ) -> Result<(), Fault> {
        let bytes_before = self.scope.writes().bytes();
        for _ in 0..max {
            if self.fuel >= fuel_max || !self.has_room(bytes_before) {
                break;
            }
            let Some(actor) = self.next_place()? else { break };
            let delivered = self.next_of(&actor)?;
            if let (Some(seen), Some(delivered)) = (&mut seen, delivered) {
                seen.push(delivered);
            }
        }
        Ok(())
    }

    /// Whether one more message may be handled here: whatever came before it has its own part of the
    /// scope, and what one message writes fits into what is left.
    fn has_room(&self, bytes_before: usize) -> bool {
        let most = limits::DELIVERIES_WRITES_BYTES_MAX;
        let bytes = self.scope.writes().bytes();
        bytes.saturating_sub(bytes_before) < most && bytes < limits::SCOPE_WRITES_BYTES_MAX - most
    }

    /// The actor whose turn it is. There may be a place before all that were there a moment ago: each
    /// delivery asks again.
    fn next_place(&self) -> Result<Option<String>, Halt> {
        let queue = self.queue()?;
        if queue.ready == 0 {
            return Ok(None);
        }
        let served = queue.turn.to_be_bytes();
        let start = Bound::Included(served.as_slice());
        let page = self.scope.scan(books::READY, start, b"", 1, usize::MAX)?;
        let missing = || Halt::new("state: places in the queue of actors are missing");
        let (key, _) = page.pairs.first().ok_or_else(missing)?;
        Ok(Some(books::split_ready(key)?.to_owned()))
    }

    /// The actor's turn has come: it gets its next message, and another place if there is one more. While
    /// it is paused it gives up the place, and keeps its mail.
    fn next_of(&mut self, actor: &str) -> Result<Option<DeliveryExplained>, Fault> {
        let info = self.info(actor)?.ok_or_else(|| books::missing("info", actor))?;
        let mut mailbox = self.mailbox(info)?;
        self.dequeue(&mut mailbox)?;
        let stands = match running::check_running(&mailbox.info) {
            Ok(()) => match Fault::outcome(self.running(&mailbox.info.program))? {
                Ok(running) => Ok(running),
                Err(_paused) => {
                    self.put_mailbox(&mailbox)?;
                    return Ok(None);
                }
            },
            Err(stopped) => Err(stopped),
        };
        let mail = self.take(&mut mailbox)?;
        let admitted = match stands {
            Ok(running) => self.check_sender(&mailbox.info, &mail)?.map(|()| running),
            Err(stopped) => Err(stopped),
        };
        match admitted {
            Ok(running) => self.delivery(mailbox, &running, mail).map(Some),
            Err(error) => {
                self.enqueue(&mut mailbox)?;
                self.put_mailbox(&mailbox)?;
                let actor = mailbox.info.actor;
                self.letter(&actor, mail, &error)?;
                let failure = Some((&error).into());
                Ok(Some(DeliveryExplained { actor, step: None, failure }))
            }
        }
    }

    fn delivery(
        &mut self,
        mut mailbox: Mailbox,
        running: &Running,
        mail: v1::ActorMail,
    ) -> Result<DeliveryExplained, Fault> {
        mailbox.info = upgrade::adopt(self.scope, mailbox.info)?;
        let answer = self.ask(&mailbox.info, running, mail)?;
        mailbox.charge(answer.fuel);
        self.enqueue(&mut mailbox)?;
        self.put_mailbox(&mailbox)?;
        let info = mailbox.info;
        let (actor, fuel, mail) = (info.actor.clone(), answer.fuel, answer.mail);
        let savepoint = self.scope.savepoint();
        let handled = match answer.result {
            Ok(next) => {
                let handled = self.commit(info.clone(), running, mail.clone(), next, fuel);
                Fault::outcome(handled)?
            }
            Err(error) => Err(error),
        };
        match handled {
            Ok(handled) => {
                self.scope.release(savepoint);
                Ok(DeliveryExplained { actor, step: Some(handled.step), failure: None })
            }
            Err(error) => {
                self.scope.rollback(savepoint);
                let step = self.refused(info, running, mail, &error, fuel)?;
                let failure = step.failure.clone();
                Ok(DeliveryExplained { actor, step: Some(step), failure })
            }
        }
    }

    /// Notes a message that the actor did not take.
    fn refused(
        &mut self,
        mut info: v1::ActorInfo,
        running: &Running,
        mail: v1::ActorMail,
        error: &Error,
        fuel: u64,
    ) -> Result<v1::ActorStep, Fault> {
        let happened = Happened {
            kind: Kind::Mail(mail.clone()),
            state: None,
            fuel,
            failure: Some(error.into()),
            sends: Vec::new(),
        };
        let step = self.append(&mut info, running, happened)?;
        self.put_info(&info)?;
        self.letter(&info.actor, mail, error)?;
        Ok(step)
    }

    /// Whether whoever sent `mail` may still send to this actor, and may still know what it says. An author
    /// was asked when the instruction ran; actors of one program may send to each other.
    pub(super) fn check_sender(
        &self,
        info: &v1::ActorInfo,
        mail: &v1::ActorMail,
    ) -> Result<Result<()>, Halt> {
        let table = self.contracts.grants.get(&*self.scope)?;
        let now_us = self.at.timestamp_us;
        let sends = |subject: Subject<'_>, method: &str| {
            table.allow(subject, &Need::new(ACTOR, method).at(info.actor.as_str()), now_us)
        };
        let sender = mail.from.as_ref().and_then(|from| from.sender.as_ref());
        Ok(match sender {
            None | Some(Sender::Key(_)) => Ok(()),
            Some(Sender::Actor(of)) if of.program == info.program => Ok(()),
            Some(Sender::Actor(of)) => sends(Subject::Program(&of.program), "send"),
            Some(Sender::Timer(of)) => {
                let author = stored_key(&of.author)?;
                let author = Subject::Key(&author);
                sends(author, "send_at").or_else(|_| sends(author, "send_every"))
            }
            Some(Sender::Topic(of)) => {
                let author = stored_key(&of.author)?;
                let knows = topics::need(&of.program, &of.topic, &of.key);
                sends(Subject::Key(&author), "subscribe")
                    .and_then(|()| table.allow(&author, &knows, now_us))
            }
        })
    }
}

fn stored_key(bytes: &[u8]) -> Result<PublicKey, Halt> {
    PublicKey::try_from(bytes).map_err(|e| Halt::new(format!("state: mail of an actor: {e}")))
}
