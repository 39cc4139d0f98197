//! Mail: what waits for actors, in which order they get it, and what could not be delivered.
//!
//! Mail waits for each actor in the order in which it came. An actor with mail has one place in the
//! queue of all, at which it gets one message. Places are numbered by turns, and a program gets one place
//! a turn: the first turn that is not served yet and lies behind the last place of the program, which the
//! fuel that its actors use moves on. So one program with many actors, or with slow ones, has as much of
//! the queue as another one with a single actor.
//!
//! ```text
//!   turn      5      6      7      8
//!   many     m/1    m/2    m/3    m/4     four actors of one program
//!   few      f/1                          comes while 4 is served: it does not wait for all of them
//! ```

use super::{Actors, books, running};
use crate::{Fault, Halt};
use althing_protocol::{ActorId, Error, PublicKey, Result, limits, v1};
use prost::Message;
use std::{fmt, ops::Bound};
use v1::actor_sender::Sender;

/// What all actors of a realm share, and what is left of it. A program has at most as much as is left, so
/// none can take all of it, however long its actors do not run.
pub(super) struct Room<'a> {
    pub(super) what: &'static str,
    pub(super) program: &'a str,
    /// What the program has, and all of them, this one too.
    pub(super) own: u64,
    pub(super) all: u64,
    /// What all of them may have.
    pub(super) most: u64,
}

impl Room<'_> {
    /// Whether the program may have so much `more`, for the sake of `thing`.
    pub(super) fn check(&self, more: u64, thing: fmt::Arguments<'_>, remedy: &str) -> Result<()> {
        let Self { what, program, own, all, most } = self;
        let left = most.saturating_sub(*all);
        if own.saturating_add(more) <= left {
            return Ok(());
        }
        Err(Error::exhausted(format!(
            "{thing}: program {program} has {own} {what} and wants {more} more; of the {most} of the realm \
             {left} are left, and no program has more than is left; {remedy}"
        )))
    }
}

/// The records that change when mail comes or goes: an actor's, its program's and the realm's. They are
/// read together, and written together.
pub(super) struct Mailbox {
    pub(super) info: v1::ActorInfo,
    pub(super) share: v1::ActorShare,
    pub(super) queue: v1::ActorQueue,
}

impl Mailbox {
    /// Whether one more message of so many bytes may wait.
    fn check_room(&self, bytes: u64) -> Result<()> {
        let Self { info, share, queue } = self;
        let (actor, program) = (&info.actor, &info.program);
        let full = |whose: String, waiting: u64| {
            Err(Error::exhausted(format!(
                "messages for {whose}: {waiting} wait, which is the limit; send again once some are \
                 delivered"
            )))
        };
        if info.waiting >= limits::ACTOR_WAITING_MAX {
            return full(format!("actor {actor}"), info.waiting);
        }
        if share.waiting >= limits::PROGRAM_WAITING_MAX {
            return full(format!("actors of program {program}"), share.waiting);
        }
        let thing = format_args!("message to actor {actor}");
        let remedy = "send again once some are delivered; `althing actor list` shows for whom they wait, \
                      and an actor of a program that is disabled gets none";
        let (what, own, all) = ("messages that wait", share.waiting, queue.waiting);
        let room = Room { what, program, own, all, most: limits::ACTORS_WAITING_MAX };
        room.check(1, thing, remedy)?;
        let (what, own, all) =
            ("bytes of messages that wait", share.waiting_bytes, queue.waiting_bytes);
        let room = Room { what, program, own, all, most: limits::ACTORS_WAITING_BYTES_MAX };
        room.check(bytes, thing, remedy)
    }

    /// Has the program wait longer for its next place, by the fuel that a delivery used.
    pub(super) fn charge(&mut self, fuel: u64) {
        self.share.turn = self.share.turn.saturating_add(fuel / limits::ACTOR_TURN_FUEL);
    }

    fn came(&mut self, bytes: u64) {
        let Self { info, share, queue } = self;
        info.next_mail += 1;
        info.waiting += 1;
        share.waiting += 1;
        share.waiting_bytes += bytes;
        queue.waiting += 1;
        queue.waiting_bytes += bytes;
    }

    fn went(&mut self, bytes: u64) {
        let Self { info, share, queue } = self;
        info.waiting = info.waiting.saturating_sub(1);
        share.waiting = share.waiting.saturating_sub(1);
        share.waiting_bytes = share.waiting_bytes.saturating_sub(bytes);
        queue.waiting = queue.waiting.saturating_sub(1);
        queue.waiting_bytes = queue.waiting_bytes.saturating_sub(bytes);
    }
}

impl Actors<'_> {
    /// Puts a message into an actor's inbox, for an author.
    pub(super) fn send(
        &mut self,
        author: &PublicKey,
        args: v1::ActorSend,
    ) -> Result<v1::ActorSent, Fault> {
        let mail = signed(author, args.message, self.at.index);
        Ok(v1::ActorSent { waiting: self.post(&args.actor, &mail)? })
    }

    /// Puts `mail` into the inbox of `to`. Gives how many messages wait there, this one among them.
    /// Writes nothing when it fails.
    ///
    /// # Errors
    /// `not-found` and `conflict` for an actor that is not there or stopped; `exhausted` when too
    /// much waits already.
    pub(crate) fn post(&mut self, to: &str, mail: &v1::ActorMail) -> Result<u64, Fault> {
        // What a guest names can be anything.
        ActorId::new(to)?;
        let info = self.info(to)?.ok_or_else(|| running::unknown(to))?;
        running::check_running(&info)?;
        let mut mailbox = self.mailbox(info)?;
        let mail = mail.encode_to_vec();
        mailbox.check_room(mail.len() as u64)?;
        let number = mailbox.info.next_mail;
        mailbox.came(mail.len() as u64);
        self.scope.put(books::numbered_key(books::INBOX, to, number), mail)?;
        self.enqueue(&mut mailbox)?;
        self.put_mailbox(&mailbox)?;
        Ok(mailbox.info.waiting)
    }

    /// Puts `mail` into the inbox of `to`, or else among the dead letters.
    pub(super) fn post_or_letter(&mut self, to: &str, mail: v1::ActorMail) -> Result<(), Fault> {
        match Fault::outcome(self.post(to, &mail))? {
            Ok(_waiting) => Ok(()),
            Err(error) => self.letter(to, mail, &error),
        }
    }

    pub(super) fn mailbox(&self, info: v1::ActorInfo) -> Result<Mailbox, Halt> {
        let (share, queue) = (self.share(&info.program)?, self.queue()?);
        Ok(Mailbox { info, share, queue })
    }

    pub(super) fn put_mailbox(&mut self, mailbox: &Mailbox) -> Result<(), Fault> {
        let Mailbox { info, share, queue } = mailbox;
        self.put_info(info)?;
        self.put_share(&info.program, share)?;
        self.put_queue(queue)
    }

    /// Has the actor wait for its turn, if mail waits for it; gives it back as it is then.
    pub(super) fn line_up(&mut self, info: v1::ActorInfo) -> Result<v1::ActorInfo, Fault> {
        let mut mailbox = self.mailbox(info)?;
        self.enqueue(&mut mailbox)?;
        self.put_mailbox(&mailbox)?;
        Ok(mailbox.info)
    }

    /// Gives the actor a place in the queue, if mail waits for it and it has none. The caller writes the
    /// records.
    pub(super) fn enqueue(&mut self, mailbox: &mut Mailbox) -> Result<(), Fault> {
        let Mailbox { info, share, queue } = mailbox;
        if info.turn != 0 || info.waiting == 0 {
            return Ok(());
        }
        share.turn = share.turn.max(queue.turn).saturating_add(1);
        // 0 is no place.
        info.turn = share.turn;
        queue.placed += 1;
        queue.ready += 1;
        Ok(self.scope.put(books::ready_key(info.turn, &info.actor), *b"")?)
    }

    /// Takes the actor's place away: its turn is served. The caller writes the records.
    pub(super) fn dequeue(&mut self, mailbox: &mut Mailbox) -> Result<(), Fault> {
        let Mailbox { info, queue, .. } = mailbox;
        self.scope.delete(books::ready_key(info.turn, &info.actor))?;
        queue.turn = queue.turn.max(info.turn);
        queue.ready = queue.ready.saturating_sub(1);
        info.turn = 0;
        Ok(())
    }

    /// Takes the first message out of the inbox: the timer that sent it may send the next. The caller
    /// writes the records.
    pub(super) fn take(&mut self, mailbox: &mut Mailbox) -> Result<v1::ActorMail, Fault> {
        let info = &mailbox.info;
        let number = info.next_mail.saturating_sub(info.waiting);
        let mail = books::mail(self.scope, &info.actor, number)?
            .ok_or_else(|| books::missing("mail", &info.actor))?;
        self.scope.delete(books::numbered_key(books::INBOX, &info.actor, number))?;
        self.wake_timer(&mailbox.info.actor, number, &mail)?;
        mailbox.went(mail.encoded_len() as u64);
        Ok(mail)
    }

    /// Keeps a message that could not be delivered. The oldest one of its program goes when there are too
    /// many of that, the oldest one of all when there are too many.
    pub(crate) fn letter(
        &mut self,
        actor: &str,
        mail: v1::ActorMail,
        error: &Error,
    ) -> Result<(), Fault> {
        let program = self.program_of(actor, &mail)?;
        self.make_room_for_letter(&program)?;
        let (mut queue, mut share) = (self.queue()?, self.share(&program)?);
        let letter = queue.next_letter;
        let record = v1::ActorLetter {
            letter,
            actor: actor.to_owned(),
            mail: Some(mail),
            failure: Some(error.into()),
            index: self.at.index,
            timestamp_us: self.at.timestamp_us,
            program,
        };
        self.put(books::letter_key(letter), &record)?;
        self.scope.put(books::letter_of_key(&record.program, letter), *b"")?;
        queue.next_letter += 1;
        queue.letters += 1;
        share.letters += 1;
        self.put_queue(&queue)?;
        self.put_share(&record.program, &share)
    }

    /// Whose letter it is: of whom it comes from, so that none takes the room of others.
    fn program_of(&self, actor: &str, mail: &v1::ActorMail) -> Result<String, Halt> {
        if let Some(v1::ActorSender { sender: Some(Sender::Actor(of)) }) = &mail.from {
            return Ok(of.program.clone());
        }
        Ok(self.info(actor)?.map(|info| info.program).unwrap_or_default())
    }

    fn make_room_for_letter(&mut self, program: &str) -> Result<(), Fault> {
        let (mut queue, mut share) = (self.queue()?, self.share(program)?);
        // What was deleted at the front is not walked over again.
        let number = if share.letters >= limits::PROGRAM_LETTERS_MAX {
            let start = books::numbered(program, share.first_letter);
            let number = self.first_number(books::LETTER_OF, &start, &books::of_actor(program))?;
            share.first_letter = number + 1;
            self.put_share(program, &share)?;
            number
        } else if queue.letters >= limits::ACTOR_LETTERS_MAX {
            let start = queue.first_letter.to_be_bytes();
            let number = self.first_number(books::LETTER, &start, b"")?;
            queue.first_letter = number + 1;
            self.put_queue(&queue)?;
            number
        } else {
            return Ok(());
        };
        let letter = books::letter(self.scope, number)?;
        self.drop_letter(&letter.ok_or_else(|| Halt::new("state: a dead letter is missing"))?)
    }

    fn first_number(&self, keyspace: &str, start: &[u8], prefix: &[u8]) -> Result<u64, Halt> {
        let page = self.scope.scan(keyspace, Bound::Included(start), prefix, 1, usize::MAX)?;
        let first =
            page.pairs.first().ok_or_else(|| Halt::new("state: dead letters are missing"))?;
        books::number_of(&first.0)
    }

    fn drop_letter(&mut self, letter: &v1::ActorLetter) -> Result<(), Fault> {
        let (program, number) = (&letter.program, letter.letter);
        self.scope.delete(books::letter_key(number))?;
        self.scope.delete(books::letter_of_key(program, number))?;
        let (mut queue, mut share) = (self.queue()?, self.share(program)?);
        queue.letters = queue.letters.saturating_sub(1);
        share.letters = share.letters.saturating_sub(1);
        if share.letters == 0 {
            share.first_letter = 0;
        }
        self.put_queue(&queue)?;
        self.put_share(program, &share)
    }

    /// Forgets what a program that is removed has of what all share; but for its dead letters.
    pub(super) fn forget_share(&mut self, program: &str) -> Result<(), Fault> {
        let share = v1::ActorShare { turn: 0, ..self.share(program)? };
        self.put_share(program, &share)
    }

    /// Sends a dead letter again, as a message of whom it was from.
    pub(super) fn retry(&mut self, args: &v1::ActorRetry) -> Result<v1::ActorSent, Fault> {
        let found = books::letter(self.scope, args.letter)?;
        let letter = found.filter(|letter| letter.actor == args.actor).ok_or_else(|| {
            Error::not_found(format!(
                "dead letter {} of actor {1}: is not kept; `althing actor letters {1}` lists them",
                args.letter, args.actor
            ))
        })?;
        self.drop_letter(&letter)?;
        // Somebody wants it sent: the chain of messages that it was part of begins anew.
        let mail = v1::ActorMail { hops: 0, spent: 0, ..letter.mail.unwrap_or_default() };
        Ok(v1::ActorSent { waiting: self.post(&args.actor, &mail)? })
    }
}

/// A message that somebody signed.
pub(super) fn signed(author: &PublicKey, message: Vec<u8>, index: u64) -> v1::ActorMail {
    let sender = Sender::Key(author.0.to_vec());
    let from = Some(v1::ActorSender { sender: Some(sender) });
    v1::ActorMail { from, message, index, ..Default::default() }
}
