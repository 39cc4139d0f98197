//! Telling: events of programs, and changed keys, become messages to the actors that subscribed.
//!
//! What an instruction emitted and changed is told when it has succeeded, and with it. Telling fails no
//! instruction, and loses nothing in silence: of a subscription that is not told of something a dead
//! letter says so, without what it was, and it is the only one while it is kept. Entries have room for
//! these beyond the limit of their instructions. A key that the author of a subscription may not read is
//! none of it: nobody said that it would be told.
//!
//! A subscription ends when its actor takes no messages any more, or when its author lost what
//! subscribing asked: with one dead letter.

use super::{
    Actors, books,
    news::{self, News},
    settled,
    subscribers::{Subscriber, Subscribers},
    topics,
};
use crate::{
    Fault, Halt,
    grants::{GrantTable, decode_stored},
};
use althing_protocol::{ACTOR, Error, Need, PublicKey, Result, SYS, limits, v1};
use althing_state::{Change, Key};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    mem,
    sync::Arc,
};
use v1::actor_sender::Sender;

/// What a note writes at most: the prefix twice, in the letter and in the key that has its number, and
/// what is around them.
const NOTE_BYTES_MAX: usize = 2 * limits::ACTOR_PREFIX_BYTES_MAX + 1_536;

// An entry notes each subscription once, also one that came with it.
const _: () = assert!(
    (limits::ACTOR_SUBSCRIPTIONS_MAX as usize + limits::BATCH_PAYLOADS_MAX) * NOTE_BYTES_MAX
        <= limits::ENTRY_NOTES_BYTES_MAX
);

/// What the topics of an entry have become so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    messages: usize,
    bytes: usize,
    /// Prefixes and subscriptions that were looked at.
    looks: usize,
    /// There are no more messages in this entry.
    full: bool,
    /// Subscriptions of which it was noted that they were not told of something.
    noted: BTreeSet<Key>,
    /// Topics of which all were, by program; with the subscriptions that came since.
    ended: BTreeMap<String, BTreeMap<String, Vec<Subscriber>>>,
}

impl Told {
    /// The subscriptions that a key reaches; none when the entry has looked at as many as it may.
    fn look<'a>(
        &mut self,
        subscribers: &'a Subscribers,
        key: &[u8],
    ) -> Option<Vec<&'a Arc<Subscriber>>> {
        if self.looks >= limits::ENTRY_TOPIC_LOOKS_MAX {
            return None;
        }
        let (reached, looks) = subscribers.reached(key);
        self.looks += looks;
        Some(reached)
    }

    /// Whether there may be one more message, of so many bytes, to an entry that has `written` so many:
    /// then there is room for it, or for a dead letter in its place and the end of a subscription.
    fn take(&mut self, bytes: usize, written: usize) -> bool {
        self.full |= self.messages == limits::ENTRY_TOPIC_MESSAGES_MAX
            || self.bytes + bytes > limits::ENTRY_TOPIC_BYTES_MAX
            || written + 2 * limits::ACTOR_MESSAGE_BYTES_MAX > limits::SCOPE_WRITES_BYTES_MAX;
        if !self.full {
            self.messages += 1;
            self.bytes += bytes;
        }
        !self.full
    }

    fn end(&mut self, program: &str, topic: &str) {
        self.full = true;
        self.ended.entry(program.to_owned()).or_default().entry(topic.to_owned()).or_default();
    }

    /// Those that came since the topic ended, unless it did not.
    fn since_end(&mut self, program: &str, topic: &str) -> Option<&mut Vec<Subscriber>> {
        self.ended.get_mut(program)?.get_mut(topic)
    }

    /// Keeps the subscriptions among `changes` that came to topics which have ended.
    fn came(&mut self, changes: &[Change]) -> Result<(), Halt> {
        let topics = changes.iter().filter(|change| change.key.keyspace() == books::TOPIC);
        for bytes in topics.filter_map(|change| change.new.as_deref()) {
            let subscriber = Subscriber::new(&decode_stored("subscription", bytes)?)?;
            let v1::ActorTopic { program, topic, .. } = &subscriber.topic;
            if let Some(since) = self.since_end(program, topic) {
                since.push(subscriber);
            }
        }
        Ok(())
    }
}

/// What an instruction found a subscription to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Lasts,
    /// Its author lost what subscribing asked.
    Lapsed,
    Ended,
}

/// What is asked of the grants while an instruction is told: a subscription's standing once, what an
/// author may know once for each news. They do not change meanwhile.
struct Asked<'a> {
    allows: &'a dyn Fn(&PublicKey, &Need) -> bool,
    /// By where a subscription is, in the topics that all of the instruction is told with.
    standing: BTreeMap<*const Subscriber, Standing>,
    may_know: BTreeMap<PublicKey, bool>,
}

impl<'a> Asked<'a> {
    fn new(allows: &'a dyn Fn(&PublicKey, &Need) -> bool) -> Self {
        Self { allows, standing: BTreeMap::new(), may_know: BTreeMap::new() }
    }

    fn standing(&mut self, of: &Arc<Subscriber>) -> Standing {
        let lasts = || of.needs.iter().all(|need| (self.allows)(&of.author, need));
        *self.standing.entry(Arc::as_ptr(of)).or_insert_with(|| match lasts() {
            true => Standing::Lasts,
            false => Standing::Lapsed,
        })
    }

    fn ended(&mut self, subscriber: &Arc<Subscriber>) {
        self.standing.insert(Arc::as_ptr(subscriber), Standing::Ended);
    }

    /// Whether `author` may know what stands at the key that changed.
    fn may_know(&mut self, author: &PublicKey, news: &News<'_>) -> bool {
        if !news.is_kv() {
            return true;
        }
        match self.may_know.entry(*author) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(asked) => {
                let need = topics::need(news.program, news.topic, news.key);
                *asked.insert((self.allows)(author, &need))
            }
        }
    }
}

fn limit_reached() -> Error {
    Error::exhausted(format!(
        "events of the entry: are more than actors are told of, or than it may write; the limits are {} \
         messages, {} bytes and {} subscriptions looked at; read on in the log, also for later entries: \
         while this letter is kept there is no other one",
        limits::ENTRY_TOPIC_MESSAGES_MAX,
        limits::ENTRY_TOPIC_BYTES_MAX,
        limits::ENTRY_TOPIC_LOOKS_MAX
    ))
}

impl Actors<'_> {
    /// Tells actors what an instruction of `program` emitted, and which keys it changed since the
    /// innermost savepoint. While nobody has subscribed, it costs one read.
    pub(crate) fn tell(
        &mut self,
        program: &str,
        events: &[v1::Event],
        told: &mut Told,
    ) -> Result<(), Halt> {
        if program == ACTOR && !told.ended.is_empty() {
            told.came(&self.scope.changes()?)?;
        }
        if events.is_empty() && program != SYS {
            return Ok(());
        }
        let queue = self.queue()?;
        if queue.subscriptions == 0 {
            return Ok(());
        }
        let changes = match queue.kv_subscriptions > 0 && program == SYS {
            true => self.scope.changes()?,
            false => Vec::new(),
        };
        self.scope.allow_more(limits::ENTRY_NOTES_BYTES_MAX);
        let done = self.tell_all(events, &changes, told);
        self.scope.allow_more(0);
        settled(done)
    }

    fn tell_all(
        &mut self,
        events: &[v1::Event],
        changes: &[Change],
        told: &mut Told,
    ) -> Result<(), Fault> {
        let topics = self.topics()?;
        let table = self.contracts.grants.get(&*self.scope)?;
        let now_us = self.at.timestamp_us;
        let allows = |author: &PublicKey, need: &Need| table.allows(author, need, now_us);
        let mut asked = Asked::new(&allows);
        let changed = |change: &&Change| change.key.keyspace() == SYS && change.old != change.new;
        let changes = changes.iter().filter(changed).map(News::of_change);
        for news in changes.chain(events.iter().map(News::of_event)) {
            let Some(subscribers) = topics.of(news.program, news.topic) else { continue };
            if let Some(since) = told.since_end(news.program, news.topic) {
                for subscriber in mem::take(since) {
                    self.note(&subscriber, told)?;
                }
            } else if let Some(reached) = told.look(subscribers, news.key) {
                self.tell_one(&reached, &news, &table, &mut asked, told)?;
            } else {
                // Who would be told of what is left is not known: it may be any of them.
                told.end(news.program, news.topic);
                for subscriber in subscribers.all() {
                    self.note(subscriber, told)?;
                }
            }
        }
        Ok(())
    }

    /// Each actor is told once, however many of its subscriptions reach it.
    fn tell_one(
        &mut self,
        reached: &[&Arc<Subscriber>],
        news: &News<'_>,
        table: &GrantTable,
        asked: &mut Asked<'_>,
        told: &mut Told,
    ) -> Result<(), Fault> {
        asked.may_know.clear();
        let now_us = self.at.timestamp_us;
        let mut message = None;
        let mut last_told = "";
        for subscriber in reached {
            let Subscriber { topic, author, needs } = &***subscriber;
            if last_told == topic.actor {
                continue;
            }
            if told.full {
                self.note(subscriber, told)?;
                continue;
            }
            let standing = asked.standing(subscriber);
            let (key, text) = match standing {
                Standing::Ended => continue,
                Standing::Lapsed => (&*topic.prefix, news::bare(self.at.index, topic)),
                Standing::Lasts if !asked.may_know(author, news) => continue,
                Standing::Lasts => match &message {
                    Some(message) => (news.key, Vec::clone(message)),
                    None => (news.key, message.insert(news.message(self.at.index)?).clone()),
                },
            };
            if !told.take(text.len(), self.scope.writes().bytes()) {
                self.note(subscriber, told)?;
                continue;
            }
            let stands = match standing {
                Standing::Lapsed => {
                    needs.iter().try_for_each(|need| table.allow(author, need, now_us))
                }
                _ => self.takes_messages(&topic.actor)?,
            };
            let mail = self.mail_to(subscriber, key, text);
            if let Err(error) = stands {
                // Nothing can come of it any more.
                self.end_subscription(topic)?;
                self.letter(&topic.actor, mail, &error)?;
                asked.ended(subscriber);
            } else {
                self.post_or_letter(&topic.actor, mail)?;
                last_told = &topic.actor;
            }
        }
        Ok(())
    }

    /// Notes that a subscription was not told of something, not of what: once for an entry, and while
    /// there is no letter that says so. Something before this in the same instruction may have ended it.
    fn note(&mut self, to: &Subscriber, told: &mut Told) -> Result<(), Fault> {
        let key = books::subscribed_key(&to.topic);
        if told.noted.contains(&key) {
            return Ok(());
        }
        let Some(noted) = self.scope.get(&key)? else { return Ok(()) };
        told.noted.insert(key.clone());
        if let Some(letter) = books::noted(&noted)?
            && self.scope.get(&books::letter_key(letter))?.is_some()
        {
            return Ok(());
        }
        let letter = self.queue()?.next_letter;
        let mail = self.mail_to(to, &to.topic.prefix, news::bare(self.at.index, &to.topic));
        self.letter(&to.topic.actor, mail, &limit_reached())?;
        Ok(self.scope.put(key, letter.to_be_bytes())?)
    }

    fn mail_to(&self, to: &Subscriber, key: &[u8], message: Vec<u8>) -> v1::ActorMail {
        let v1::ActorTopic { program, topic, .. } = to.topic.clone();
        let (author, key) = (to.author.0.to_vec(), key.to_vec());
        let sender = Sender::Topic(v1::ActorTopicOf { program, topic, author, key });
        let from = Some(v1::ActorSender { sender: Some(sender) });
        v1::ActorMail { from, message, index: self.at.index, ..Default::default() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::cell::Cell;

    #[test]
    fn an_author_is_asked_about_once_for_each_news_and_a_subscription_once() {
        let author = PublicKey([1; 32]);
        let subscriber = |n: usize| {
            let (actor, program, topic) = (format!("a/{n}"), "sys".to_owned(), "kv".to_owned());
            let topic = Some(v1::ActorTopic { actor, program, topic, prefix: Vec::new() });
            let subscription = v1::ActorSubscription { topic, author: vec![1; 32], index: 1 };
            Arc::new(Subscriber::new(&subscription).unwrap())
        };
        let subscribers: Vec<_> = (0..limits::ACTOR_SUBSCRIBERS_MAX).map(subscriber).collect();
        let times = Cell::new(0);
        let allows = |_: &PublicKey, need: &Need| {
            times.set(times.get() + 1);
            need.path != b"/own"
        };
        let mut asked = Asked::new(&allows);
        let keys = [b"/own", b"/any"].map(|key| Key::new(SYS, key));
        for key in &keys {
            let change = Change { key: key.clone(), old: None, new: None };
            let news = News::of_change(&change);
            asked.may_know.clear();
            for subscriber in &subscribers {
                assert_eq!(asked.standing(subscriber), Standing::Lasts);
                assert_eq!(asked.may_know(&author, &news), news.key != b"/own");
            }
        }
        let needs = subscribers[0].needs.len() * subscribers.len();
        assert_eq!(times.get(), needs + keys.len());
    }
}
