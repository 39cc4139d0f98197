//! Subscriptions: actors that are to be told of a program's events, or of changed keys.
//!
//! What subscribing asks of an author is asked again whenever there is something to tell.

use super::{
    Actors, books, running,
    subscribers::{Subscriber, Topics},
};
use crate::{
    Fault, Halt,
    cached::{self, Cached},
    grants::Read,
    programs,
};
use althing_protocol::{Error, Need, ProgramId, PublicKey, Result, SYS, limits, v1};
use althing_state::Key;
use prost::Message;
use std::sync::Arc;
use v1::image_info::Kind;

/// The topic of `sys` that stands for changed keys.
pub(super) const KV: &str = "kv";

/// The last ones used.
pub(crate) type TopicCache = Cached<Topics>;

fn version_key() -> Key {
    Key::new(books::META, b"topics")
}

fn is_kv(topic: &v1::ActorTopic) -> bool {
    topic.program == SYS && topic.topic == KV
}

pub(super) fn check(topic: &v1::ActorTopic) -> Result<()> {
    let v1::ActorTopic { actor, program, topic: name, prefix } = topic;
    ProgramId::new(program.as_str())?;
    let refused = |why: String| Err(Error::invalid(format!("topic of {actor}: {why}")));
    if name.is_empty() || name.len() > limits::TOPIC_BYTES_MAX || name.contains('\0') {
        let max = limits::TOPIC_BYTES_MAX;
        return refused(format!("{} bytes, wants 1 to {max}, none of them zero", name.len()));
    }
    if !prefix.is_empty() && !is_kv(topic) {
        return refused("only changed keys have a prefix: program sys, topic kv".to_owned());
    }
    if prefix.len() > limits::ACTOR_PREFIX_BYTES_MAX {
        let max = limits::ACTOR_PREFIX_BYTES_MAX;
        return refused(format!("a prefix of {} bytes, the limit is {max}", prefix.len()));
    }
    Ok(())
}

/// # Errors
/// `invalid`, when the program is one of actors.
fn check_emits(program: &v1::ProgramInfo) -> Result<()> {
    let mut images = program.active.iter().chain(&program.staged);
    if images.all(|image| image.kind() != Kind::Actor) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "program {}: is an actor, and emits no events; actors send messages",
        program.program
    )))
}

/// What it takes to know of a topic: of a key, or of all those under a prefix.
pub(super) fn need(program: &str, topic: &str, key: &[u8]) -> Need {
    match (program, topic) {
        (SYS, KV) => Need::new(SYS, "get").at(key),
        _ => Need::new(program, "events"),
    }
}

impl Actors<'_> {
    pub(super) fn subscribe(
        &mut self,
        topic: v1::ActorTopic,
        author: &PublicKey,
    ) -> Result<v1::ActorSubscription, Fault> {
        let info = self.info(&topic.actor)?.ok_or_else(|| running::unknown(&topic.actor))?;
        running::check_running(&info)?;
        let program = topic.program.as_str();
        if !self.contracts.natives.contains(program) {
            let found = programs::find(self.scope, program)?;
            check_emits(&found.ok_or_else(|| programs::unknown(program))?)?;
        }
        if self.scope.get(&books::topic_key(&topic))?.is_none() {
            self.check_reach(&topic)?;
            self.count_subscription(&topic)?;
            self.scope.put(books::subscribed_key(&topic), *b"")?;
        }
        let (author, index) = (author.0.to_vec(), self.at.index);
        let subscription = v1::ActorSubscription { topic: Some(topic.clone()), author, index };
        self.put(books::topic_key(&topic), &subscription)?;
        let subscriber = Subscriber::new(&subscription)?;
        self.amend_topics(&subscription, |topics| topics.insert(subscriber))?;
        Ok(subscription)
    }

    /// # Errors
    /// `exhausted`, when there would be something that reaches too many.
    fn check_reach(&self, topic: &v1::ActorTopic) -> Result<(), Fault> {
        let topics = self.topics()?;
        let subscribers = topics.of(&topic.program, &topic.topic);
        let most = subscribers.map_or(0, |subscribers| subscribers.most_reached(&topic.prefix));
        if most < limits::ACTOR_SUBSCRIBERS_MAX {
            return Ok(());
        }
        Err(Error::exhausted(format!(
            "topic {} of {}: {most} subscriptions are reached by one event, which is the limit",
            topic.topic, topic.program
        ))
        .into())
    }

    fn count_subscription(&mut self, topic: &v1::ActorTopic) -> Result<(), Fault> {
        let mut queue = self.queue()?;
        if queue.subscriptions >= limits::ACTOR_SUBSCRIPTIONS_MAX {
            return Err(Error::exhausted(format!(
                "topic of {}: the realm has {} subscriptions, which is the limit; `althing actor \
                 unsubscribe` makes room",
                topic.actor, queue.subscriptions
            ))
            .into());
        }
        queue.subscriptions += 1;
        queue.kv_subscriptions += u64::from(is_kv(topic));
        self.put_queue(&queue)
    }

    pub(super) fn unsubscribe(&mut self, topic: &v1::ActorTopic) -> Result<(), Fault> {
        if self.scope.get(&books::topic_key(topic))?.is_none() {
            return Err(Error::not_found(format!(
                "topic {} of {}: {2} is not subscribed to it; `althing actor subscriptions {2}` \
                 lists those that are",
                topic.topic, topic.program, topic.actor
            ))
            .into());
        }
        self.end_subscription(topic)
    }

    /// Ends up to `max` subscriptions of an actor; gives how many it ended.
    pub(super) fn forget_subscriptions(&mut self, actor: &str, max: usize) -> Result<usize, Fault> {
        let prefix = books::of_actor(actor);
        let subscribed = self.scope.pairs(books::SUBSCRIBED, &prefix, max)?;
        for (key, _) in &subscribed {
            self.end_subscription(&books::split_subscribed(key)?)?;
        }
        Ok(subscribed.len())
    }

    pub(super) fn end_subscription(&mut self, topic: &v1::ActorTopic) -> Result<(), Fault> {
        let mut queue = self.queue()?;
        queue.subscriptions = queue.subscriptions.saturating_sub(1);
        queue.kv_subscriptions = queue.kv_subscriptions.saturating_sub(u64::from(is_kv(topic)));
        self.put_queue(&queue)?;
        self.scope.delete(books::subscribed_key(topic))?;
        self.scope.delete(books::topic_key(topic))?;
        let gone = v1::ActorSubscription { topic: Some(topic.clone()), ..Default::default() };
        self.amend_topics(&gone, |topics| topics.remove(topic))
    }

    /// Marks the subscriptions as changed by one that came, or went: that one has no author. What is in
    /// memory changes with them.
    fn amend_topics(
        &mut self,
        change: &v1::ActorSubscription,
        amend: impl FnOnce(&mut Topics),
    ) -> Result<(), Fault> {
        let versions = cached::touch(self.scope, version_key(), &change.encode_to_vec())?;
        self.contracts.topics.amend(versions, amend);
        Ok(())
    }

    pub(super) fn topics(&self) -> Result<Arc<Topics>, Halt> {
        self.contracts.topics.get(&*self.scope, &version_key(), Topics::load)
    }
}
