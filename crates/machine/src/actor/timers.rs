//! Timers: messages at a time, by the log's clock.
//!
//! A timer is due when an entry's time has come to it. Firings that are missed come as one, be it that
//! nobody led or that the actor did not get the one before: a timer that goes on has at most one message
//! in the inbox, and its next time is the first that lies ahead. While that message waits it has no time
//! at all: delivery gives it one. So timers of actors that do not run cause no ticks.
//!
//! A timer ends when nothing can come of it any more: it was to fire once, its actor takes no messages, or
//! who set it may not send any. In the last two cases its message is the dead letter that says so.

use super::{Actors, args, books, mail::Room, running};
use crate::{
    Fault, Halt,
    grants::{Read, decode_stored},
};
use althing_protocol::{Error, PublicKey, Result, limits, v1};
use althing_state::{Range, View};
use std::ops::Bound;
use v1::actor_sender::Sender;

pub(super) fn check_name(actor: &str, timer: &str) -> Result<()> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let len = 1..=limits::ACTOR_TIMER_BYTES_MAX;
    if len.contains(&timer.len()) && timer.bytes().all(inner) {
        return Ok(());
    }
    let shown: String = timer.chars().take(limits::ACTOR_TIMER_BYTES_MAX).collect();
    Err(Error::invalid(format!(
        "timer {shown:?} of {actor}: not a timer's name; use 1 to {} of a-z A-Z 0-9 . - _",
        limits::ACTOR_TIMER_BYTES_MAX
    )))
}

pub(super) fn check_at(args: &v1::ActorSendAt) -> Result<()> {
    check_name(&args.actor, &args.timer)?;
    args::check_message(&args.actor, &args.message)
}

pub(super) fn check_every(every: &v1::ActorSendEvery) -> Result<()> {
    let v1::ActorSendEvery { actor, timer, period_us, message, .. } = every;
    check_name(actor, timer)?;
    if *period_us < limits::ACTOR_PERIOD_US_MIN {
        return Err(Error::invalid(format!(
            "period of timer {timer} of {actor}: {period_us} us, the shortest is {}",
            limits::ACTOR_PERIOD_US_MIN
        )));
    }
    args::check_message(actor, message)
}

impl Actors<'_> {
    pub(super) fn send_at(
        &mut self,
        args: v1::ActorSendAt,
        author: &PublicKey,
    ) -> Result<v1::ActorTimer, Fault> {
        let v1::ActorSendAt { actor, timer, at_us, message } = args;
        self.set_timer(author, actor, timer, (at_us, 0), message)
    }

    pub(super) fn send_every(
        &mut self,
        args: v1::ActorSendEvery,
        author: &PublicKey,
    ) -> Result<v1::ActorTimer, Fault> {
        let v1::ActorSendEvery { actor, timer, first_us, period_us, message } = args;
        let first_us = match first_us {
            0 => self.at.timestamp_us.saturating_add(period_us),
            first_us => first_us,
        };
        self.set_timer(author, actor, timer, (first_us, period_us), message)
    }

    /// Sets a timer, in the place of the one with its name if there is one.
    fn set_timer(
        &mut self,
        author: &PublicKey,
        actor: String,
        timer: String,
        (due_us, period_us): (u64, u64),
        message: Vec<u8>,
    ) -> Result<v1::ActorTimer, Fault> {
        let info = self.info(&actor)?.ok_or_else(|| running::unknown(&actor))?;
        running::check_running(&info)?;
        let before = books::timer(self.scope, &actor, &timer)?;
        if let Some(before) = &before {
            self.end_timer(before)?;
        }
        let timer = v1::ActorTimer {
            actor,
            timer,
            due_us,
            period_us,
            message: Vec::new(),
            message_bytes: message.len() as u64,
            author: author.0.to_vec(),
            index: self.at.index,
            sent: None,
        };
        // One in the place of another that took as much room needs no more.
        if before.is_none_or(|before| before.message_bytes < timer.message_bytes) {
            self.check_timer_room(&info.program, &timer)?;
        }
        self.count_timer(&info.program, &timer)?;
        self.scope.put(books::timer_message_key(&timer), message)?;
        self.put_timer(&timer)?;
        Ok(timer)
    }

    fn check_timer_room(&self, program: &str, timer: &v1::ActorTimer) -> Result<(), Fault> {
        let v1::ActorTimer { actor, timer: name, message_bytes, .. } = timer;
        let most = limits::ACTOR_TIMERS_EACH_MAX;
        if self.scope.pairs(books::TIMER, &books::of_actor(actor), most)?.len() == most {
            return Err(Error::exhausted(format!(
                "timer {name} of {actor}: the actor has {most} others, which is the limit; `althing actor \
                 cancel` makes room"
            ))
            .into());
        }
        let (queue, share) = (self.queue()?, self.share(program)?);
        let thing = format_args!("timer {name} of {actor}");
        let remedy = "`althing actor cancel` makes room";
        let (what, own, all) = ("timers", share.timers, queue.timers);
        let room = Room { what, program, own, all, most: limits::ACTOR_TIMERS_MAX };
        room.check(1, thing, remedy)?;
        let (what, own, all) =
            ("bytes of messages of timers", share.timer_bytes, queue.timer_bytes);
        let room = Room { what, program, own, all, most: limits::ACTOR_TIMERS_BYTES_MAX };
        Ok(room.check(*message_bytes, thing, remedy)?)
    }

    fn count_timer(&mut self, program: &str, timer: &v1::ActorTimer) -> Result<(), Fault> {
        let (mut queue, mut share) = (self.queue()?, self.share(program)?);
        queue.timers += 1;
        queue.timer_bytes += timer.message_bytes;
        share.timers += 1;
        share.timer_bytes += timer.message_bytes;
        self.put_queue(&queue)?;
        self.put_share(program, &share)
    }

    /// One whose message waits has no time.
    fn put_timer(&mut self, timer: &v1::ActorTimer) -> Result<(), Fault> {
        if timer.sent.is_none() {
            self.scope.put(books::due_key(timer), Vec::new())?;
        }
        self.put(books::timer_key(&timer.actor, &timer.timer), timer)
    }

    pub(super) fn cancel(&mut self, args: &v1::ActorTimerName) -> Result<(), Fault> {
        let v1::ActorTimerName { actor, timer: name } = args;
        let Some(timer) = books::timer(self.scope, actor, name)? else {
            return Err(Error::not_found(format!(
                "timer {name} of {actor}: is not there, or has fired; `althing actor timers {actor}` \
                 lists them"
            ))
            .into());
        };
        self.end_timer(&timer)
    }

    /// Ends up to `max` timers of an actor; gives how many it ended.
    pub(super) fn forget_timers(&mut self, actor: &str, max: usize) -> Result<usize, Fault> {
        let timers = self.scope.pairs(books::TIMER, &books::of_actor(actor), max)?;
        for (_, bytes) in &timers {
            self.end_timer(&decode_stored("timer of an actor", bytes)?)?;
        }
        Ok(timers.len())
    }

    fn end_timer(&mut self, timer: &v1::ActorTimer) -> Result<(), Fault> {
        if timer.sent.is_none() {
            self.scope.delete(books::due_key(timer))?;
        }
        self.scope.delete(books::timer_message_key(timer))?;
        self.scope.delete(books::timer_key(&timer.actor, &timer.timer))?;
        let program =
            self.info(&timer.actor)?.ok_or_else(|| books::missing("info", &timer.actor))?.program;
        let (mut queue, mut share) = (self.queue()?, self.share(&program)?);
        queue.timers = queue.timers.saturating_sub(1);
        queue.timer_bytes = queue.timer_bytes.saturating_sub(timer.message_bytes);
        share.timers = share.timers.saturating_sub(1);
        share.timer_bytes = share.timer_bytes.saturating_sub(timer.message_bytes);
        self.put_queue(&queue)?;
        self.put_share(&program, &share)
    }

    /// Fires the timers that are due, those of the earliest times first, and as many as a tick may. One
    /// that goes on gets a later time, so those that are left are the first of the next tick.
    pub(super) fn fire_timers(&mut self) -> Result<(), Fault> {
        if self.queue()?.timers == 0 {
            return Ok(());
        }
        let beyond = self.at.timestamp_us.saturating_add(1).to_be_bytes();
        let due = Range { end: Bound::Excluded(&beyond), ..Range::of_prefix(b"") };
        let page = self.scope.range(books::DUE, due, limits::TICK_TIMERS_MAX, usize::MAX)?;
        let bytes_before = self.scope.writes().bytes();
        for (key, _) in page.pairs {
            let (_, actor, name) = split_due(&key)?;
            let timer = books::timer(self.scope, actor, name)?;
            self.fire(timer.ok_or_else(|| books::missing("a timer", actor))?)?;
            let written = self.scope.writes().bytes().saturating_sub(bytes_before);
            if written >= limits::TICK_TIMERS_BYTES_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Sends the message of a timer, and ends it if that was the last one.
    fn fire(&mut self, mut timer: v1::ActorTimer) -> Result<(), Fault> {
        let info = self.info(&timer.actor)?.ok_or_else(|| books::missing("info", &timer.actor))?;
        let mail = self.mail_of(&timer)?;
        let may = self.check_sender(&info, &mail)?;
        let runs = running::check_running(&info).is_ok();
        // The first time that is behind the pause, when there is no room.
        let retry_us = self.at.timestamp_us.saturating_add(limits::ACTOR_TIMER_RETRY_US);
        let retry_us = next_us(&timer, retry_us).filter(|_| runs && may.is_ok());
        let Some(retry_us) = retry_us else {
            self.end_timer(&timer)?;
            return match may {
                Ok(()) => self.post_or_letter(&timer.actor, mail),
                Err(error) => self.letter(&timer.actor, mail, &error),
            };
        };
        self.scope.delete(books::due_key(&timer))?;
        match Fault::outcome(self.post(&timer.actor, &mail))? {
            Ok(_waiting) => timer.sent = Some(info.next_mail),
            Err(_no_room) => timer.due_us = retry_us,
        }
        self.put_timer(&timer)
    }

    /// Message `number` of an actor does not wait any more: a timer that sent it has a time again, the
    /// first that lies ahead.
    pub(super) fn wake_timer(
        &mut self,
        actor: &str,
        number: u64,
        mail: &v1::ActorMail,
    ) -> Result<(), Fault> {
        let Some(Sender::Timer(of)) = mail.from.as_ref().and_then(|from| from.sender.as_ref())
        else {
            return Ok(());
        };
        // It may be another one of that name.
        let timer = books::timer(self.scope, actor, &of.timer)?;
        let Some(mut timer) = timer.filter(|timer| timer.sent == Some(number)) else {
            return Ok(());
        };
        timer.sent = None;
        // One that lies beyond all times does not come.
        timer.due_us = next_us(&timer, self.at.timestamp_us).unwrap_or(u64::MAX);
        self.put_timer(&timer)
    }

    fn mail_of(&self, timer: &v1::ActorTimer) -> Result<v1::ActorMail, Halt> {
        let of = v1::ActorTimerOf { timer: timer.timer.clone(), author: timer.author.clone() };
        let from = Some(v1::ActorSender { sender: Some(Sender::Timer(of)) });
        let message = books::timer_message(self.scope, timer)?;
        Ok(v1::ActorMail { from, message, index: self.at.index, ..Default::default() })
    }
}

/// When a timer fires next that has fired at `now_us`; none when it does not.
fn next_us(timer: &v1::ActorTimer, now_us: u64) -> Option<u64> {
    let missed = now_us.saturating_sub(timer.due_us).checked_div(timer.period_us)?;
    timer.period_us.checked_mul(missed + 1)?.checked_add(timer.due_us)
}

/// Time, actor and name of a timer, of the key by which it is found when it is due.
pub(super) fn split_due(key: &[u8]) -> Result<(u64, &str, &str), Halt> {
    let parts = || {
        let (due_us, name) = key.split_first_chunk::<8>()?;
        let (actor, timer) = std::str::from_utf8(name).ok()?.split_once('\0')?;
        Some((u64::from_be_bytes(*due_us), actor, timer))
    };
    parts().ok_or_else(|| Halt::new("state: the time of a timer is malformed"))
}

/// The time of the next timer.
pub(super) fn next_due(state: &View) -> Result<Option<u64>, Halt> {
    let page = state.scan(books::DUE, Bound::Unbounded, b"", 1, usize::MAX)?;
    page.pairs.first().map(|(key, _)| Ok(split_due(key)?.0)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_firings_come_as_one() {
        for (due_us, period_us, now_us, expected) in [
            (10, 0, 10, None),
            (10, 5, 10, Some(15)),
            (10, 5, 14, Some(15)),
            (10, 5, 15, Some(20)),
            (10, 5, 1_000_004, Some(1_000_005)),
            // It lies beyond all times.
            (u64::MAX - 3, 4, u64::MAX - 3, None),
            (0, u64::MAX, 7, Some(u64::MAX)),
            (1, u64::MAX, 7, None),
        ] {
            let timer = v1::ActorTimer { due_us, period_us, ..v1::ActorTimer::default() };
            assert_eq!(next_us(&timer, now_us), expected, "{timer:?} at {now_us}");
        }
    }
}
