//! One message to one actor: its turn.

use super::{Actors, books, history::Happened, mail, running::Running, upgrade};
use crate::Fault;
use althing_protocol::{Error, Hash, PublicKey, Result, limits, v1};
use althing_sandbox::{Next, Sent};
use althing_state::Value;
use prost::Message;
use v1::{actor_sender::Sender, actor_step::Kind};

/// Room in an outcome for what a reply says beside the state and the messages that were sent, and
/// for how all of it is encoded.
const REPLY_BYTES: usize = 24 << 10;

/// A message that was handled.
pub(super) struct Handled {
    pub(super) step: v1::ActorStep,
    pub(super) chain: Vec<u8>,
    pub(super) state: Value,
    pub(super) sends: Vec<Sent>,
}

/// What the guest said to a message: nothing of it is written yet.
pub(super) struct Answer {
    pub(super) mail: v1::ActorMail,
    pub(super) result: Result<Next>,
    pub(super) fuel: u64,
}

impl Actors<'_> {
    /// Runs the guest.
    pub(super) fn ask(
        &mut self,
        info: &v1::ActorInfo,
        running: &Running,
        mail: v1::ActorMail,
    ) -> Result<Answer, Fault> {
        let state = books::state(self.scope, &info.actor, info.state_step)?
            .ok_or_else(|| books::missing("the state", &info.actor))?;
        let (actor, limits) = (&info.actor, &running.limits);
        let turn = running.compiled.actor_turn(actor, &mail.message, &state, limits)?;
        let fuel = self.used(info, &turn);
        Ok(Answer { mail, result: turn.result, fuel })
    }

    /// Writes what became of a message that all contracts agreed to: the state, the step, and what was
    /// sent. A message that cannot be sent is a dead letter of its receiver.
    pub(super) fn commit(
        &mut self,
        mut info: v1::ActorInfo,
        running: &Running,
        mail: v1::ActorMail,
        next: Next,
        fuel: u64,
    ) -> Result<Handled, Fault> {
        let Next { state, sends } = next;
        let (before, count) = ((mail.hops, mail.spent), sends.len());
        let state = Value::from(state);
        let happened = Happened {
            kind: Kind::Mail(mail),
            state: Some(Value::clone(&state)),
            fuel,
            failure: None,
            sends: sends.iter().map(out).collect(),
        };
        let step = self.append(&mut info, running, happened)?;
        self.put_info(&info)?;
        let caused = caused(before, count);
        for sent in &sends {
            self.pass_on(&info, sent, &caused)?;
        }
        Ok(Handled { step, chain: info.chain, state, sends })
    }

    fn pass_on(
        &mut self,
        from: &v1::ActorInfo,
        sent: &Sent,
        caused: &Result<(u32, u32), String>,
    ) -> Result<(), Fault> {
        let (actor, program) = (from.actor.clone(), from.program.clone());
        let sender = Sender::Actor(v1::ActorOfProgram { actor, program });
        let from = Some(v1::ActorSender { sender: Some(sender) });
        let (message, index) = (sent.message.clone(), self.at.index);
        let nothing_left = (limits::ACTOR_HOPS_MAX, limits::ACTOR_CAUSED_MAX);
        let (hops, spent) = *caused.as_ref().unwrap_or(&nothing_left);
        let mail = v1::ActorMail { from, message, index, hops, spent };
        match caused {
            Ok(_) => self.post_or_letter(&sent.to, mail),
            Err(reason) => {
                let error = Error::exhausted(format!("message to actor {}: {reason}", sent.to));
                self.letter(&sent.to, mail, &error)
            }
        }
    }

    /// Delivers a message within its instruction: when it is refused, so is the instruction.
    pub(super) fn request(
        &mut self,
        author: &PublicKey,
        args: v1::ActorSend,
    ) -> Result<v1::ActorReply, Fault> {
        let (info, running) = self.standing(&args.actor)?;
        self.check_overtakes(&info, author)?;
        let info = upgrade::adopt(self.scope, info)?;
        let mail = mail::signed(author, args.message, self.at.index);
        let answer = self.ask(&info, &running, mail)?;
        let handled = self.commit(info, &running, answer.mail, answer.result?, answer.fuel)?;
        Ok(reply(handled))
    }

    /// A request overtakes what others sent before; but not much of it, and nothing that its author
    /// sent.
    fn check_overtakes(&self, info: &v1::ActorInfo, author: &PublicKey) -> Result<(), Fault> {
        let first = info.next_mail.saturating_sub(info.waiting);
        let own = |mail: &v1::ActorMail| match &mail.from {
            Some(v1::ActorSender { sender: Some(Sender::Key(key)) }) => *key == author.0,
            _ => false,
        };
        let mut overtakes = info.waiting <= limits::ACTOR_REQUEST_WAITING_MAX;
        let mut numbers = first..info.next_mail;
        while overtakes && let Some(number) = numbers.next() {
            let mail = books::mail(self.scope, &info.actor, number)?;
            overtakes = !mail.is_some_and(|mail| own(&mail));
        }
        if overtakes {
            return Ok(());
        }
        Err(Error::conflict(format!(
            "request to actor {}: {} messages wait before it, more than {} or one of the same \
             author; ask again once they are delivered, or use send",
            info.actor,
            info.waiting,
            limits::ACTOR_REQUEST_WAITING_MAX
        ))
        .into())
    }
}

/// What the history says of a message that was sent: the message itself is in the receiver's.
pub(super) fn out(sent: &Sent) -> v1::ActorOut {
    let hash = Hash::of(&sent.message).0.to_vec();
    v1::ActorOut { to: sent.to.clone(), message: Vec::new(), hash }
}

/// Hops of `count` messages that are sent at once, and what each of them has spent, by those of the one
/// that is handled. They and all that follow from them are no more than that one may cause.
///
/// # Errors
/// Why none of them may be sent.
fn caused((hops, spent): (u32, u32), count: usize) -> Result<(u32, u32), String> {
    let (hops_max, most) = (limits::ACTOR_HOPS_MAX, limits::ACTOR_CAUSED_MAX);
    if hops >= hops_max {
        return Err(format!(
            "{hops_max} messages came before it, each sent because of the last, which is the limit; \
             what is to go on for ever wants a timer"
        ));
    }
    let all = u32::try_from(count).unwrap_or(u32::MAX);
    let left = most.saturating_sub(spent);
    match left.checked_sub(all) {
        Some(left) => Ok((hops + 1, most - left.checked_div(all).unwrap_or(left))),
        None => Err(format!(
            "is one of {count} that were sent at once, and {left} are left of the {most} that one \
             message may cause; send fewer, or set a timer for the rest"
        )),
    }
}

fn reply(handled: Handled) -> v1::ActorReply {
    let Handled { mut step, chain, state, sends } = handled;
    let outs = std::mem::take(&mut step.sends);
    // Who asked has the message.
    if let Some(Kind::Mail(mail)) = &mut step.kind {
        mail.message = Vec::new();
    }
    let room = limits::OUTCOME_BYTES_MAX - REPLY_BYTES;
    let sent: usize = sends.iter().map(|sent| sent.message.len()).sum();
    let (shown, sends) = match sent <= room {
        true => (sent, zip(outs, sends)),
        false => (0, outs),
    };
    let state = (shown + state.len() <= room).then(|| state.to_vec());
    let reply = v1::ActorReply { step: Some(step), chain, state, sends };
    debug_assert!(reply.encoded_len() <= limits::OUTCOME_BYTES_MAX);
    reply
}

fn zip(outs: Vec<v1::ActorOut>, sends: Vec<Sent>) -> Vec<v1::ActorOut> {
    let outs = outs.into_iter().zip(sends);
    outs.map(|(out, sent)| v1::ActorOut { message: sent.message, ..out }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Messages that follow from one, when each of them sends `count`, and hops of the last ones.
    fn all(before: (u32, u32), count: u32) -> (u64, u32) {
        match caused(before, count as usize) {
            Ok(each) => {
                let (below, hops) = all(each, count);
                (u64::from(count) * (1 + below), hops)
            }
            Err(_) => (0, before.0),
        }
    }

    #[test]
    fn what_follows_from_a_message_is_bounded() {
        for (count, hops) in [(1, limits::ACTOR_HOPS_MAX), (2, 13), (3, 8), (8, 4), (64, 2)] {
            let (messages, last) = all((0, 0), count);
            assert_eq!(last, hops, "{count} at once");
            assert!(messages <= u64::from(limits::ACTOR_CAUSED_MAX), "{count} at once: {messages}");
        }
        // Who sends nothing uses nothing up.
        assert_eq!(caused((3, 7), 0), Ok((4, 7)));
        let reason = caused((2, limits::ACTOR_CAUSED_MAX - 5), 6).unwrap_err();
        assert!(reason.contains("one of 6 that were sent at once, and 5 are left"), "{reason}");
        assert_eq!(
            caused((2, limits::ACTOR_CAUSED_MAX - 5), 5).unwrap().1,
            limits::ACTOR_CAUSED_MAX
        );
    }
}
