//! Who is to be told of what: all subscriptions of one state, ready to be asked.
//!
//! Prefixes reach keys by whole segments. So of all that there are, few can reach one key: those that end
//! where one of its segments does. They are kept in an order in which what is under a prefix stands
//! right behind it.

use super::{books, topics};
use crate::{
    Halt,
    grants::{Read, decode_stored},
};
use althing_protocol::{ACTOR, Need, PublicKey, v1};
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

/// A subscription.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(super) topic: v1::ActorTopic,
    pub(super) author: PublicKey,
    /// What its author must hold for it to go on: what subscribing asked.
    pub(super) needs: [Need; 2],
}

impl Subscriber {
    pub(super) fn new(subscription: &v1::ActorSubscription) -> Result<Self, Halt> {
        let topic = subscription.topic.clone().unwrap_or_default();
        let author = PublicKey::try_from(subscription.author.as_slice());
        let author = author.map_err(|e| Halt::new(e.message))?;
        let needs = [
            Need::new(ACTOR, "subscribe").at(topic.actor.as_str()),
            topics::need(&topic.program, &topic.topic, &topic.prefix),
        ];
        Ok(Self { topic, author, needs })
    }
}

/// All subscriptions of one state, by program and topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics(BTreeMap<String, BTreeMap<String, Subscribers>>);

impl Topics {
    pub(super) fn load(state: &impl Read) -> Result<Self, Halt> {
        let mut topics = Self::default();
        for (_, bytes) in state.pairs(books::TOPIC, b"", usize::MAX)? {
            topics.insert(Subscriber::new(&decode_stored("subscription", &bytes)?)?);
        }
        Ok(topics)
    }

    /// Those to a topic, if there are any.
    pub(super) fn of(&self, program: &str, topic: &str) -> Option<&Subscribers> {
        self.0.get(program)?.get(topic)
    }

    /// Adds a subscription, in the place of the same one of another author.
    pub(super) fn insert(&mut self, subscriber: Subscriber) {
        let v1::ActorTopic { actor, program, topic, prefix } = &subscriber.topic;
        let of_program = self.0.entry(program.clone()).or_default();
        let of_topic = of_program.entry(topic.clone()).or_default();
        let at_prefix = of_topic.0.entry(by_segments(prefix).into()).or_default();
        at_prefix.insert(actor.clone(), Arc::new(subscriber));
    }

    pub(super) fn remove(&mut self, of: &v1::ActorTopic) {
        let Some(of_program) = self.0.get_mut(&of.program) else { return };
        let Some(of_topic) = of_program.get_mut(&of.topic) else { return };
        let prefix = by_segments(&of.prefix);
        let Some(at_prefix) = of_topic.0.get_mut(prefix.as_slice()) else { return };
        at_prefix.remove(&of.actor);
        if at_prefix.is_empty() {
            of_topic.0.remove(prefix.as_slice());
        }
        if of_topic.0.is_empty() {
            of_program.remove(&of.topic);
        }
        if of_program.is_empty() {
            self.0.remove(&of.program);
        }
    }
}

/// Those to one topic: by prefix, in the order of [segments](by_segments), and by actor. Prefixes can be
/// long; a copy shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscribers(BTreeMap<Arc<[u8]>, BTreeMap<String, Arc<Subscriber>>>);

impl Subscribers {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Subscriber>> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// Those that `key` reaches, by actor; and how many prefixes and subscriptions were looked at.
    pub(super) fn reached(&self, key: &[u8]) -> (Vec<&Arc<Subscriber>>, usize) {
        let key = by_segments(key);
        let mut looks = 0;
        let mut reached: Vec<_> = ends(&key)
            .inspect(|_| looks += 1)
            .filter_map(|end| self.0.get(&key[..end]))
            .flat_map(BTreeMap::values)
            .collect();
        reached.sort_by(|a, b| a.topic.actor.cmp(&b.topic.actor));
        looks += reached.len();
        (reached, looks)
    }

    /// How many are reached at most by one key under `prefix`: in one pass over the prefixes there.
    pub(super) fn most_reached(&self, prefix: &[u8]) -> usize {
        let prefix = by_segments(prefix);
        let at = |end: usize| self.0.get(&prefix[..end]).map(BTreeMap::len);
        let above: usize = ends(&prefix).filter_map(at).sum();
        let mut most = above;
        // The prefixes around the one that is looked at, with how many reach each.
        let mut around = vec![(prefix.as_slice(), above)];
        let behind = (Bound::Excluded(prefix.as_slice()), Bound::Unbounded);
        for (inner, own) in self.0.range::<[u8], _>(behind) {
            while let Some((outer, _)) = around.last()
                && !reaches(outer, inner)
            {
                around.pop();
            }
            let Some((_, outer)) = around.last() else { break };
            let reached = outer + own.len();
            most = most.max(reached);
            around.push((inner, reached));
        }
        most
    }
}

/// Has the end of a segment come before all that can be in one.
fn by_segments(key: &[u8]) -> Vec<u8> {
    let place = |byte: &u8| match *byte {
        b'/' => 0,
        byte if byte < b'/' => byte + 1,
        byte => byte,
    };
    key.iter().map(place).collect()
}

/// As [`is_prefix`](crate::grants::is_prefix), of keys in that order.
fn reaches(prefix: &[u8], key: &[u8]) -> bool {
    let Some(rest) = key.strip_prefix(prefix) else { return false };
    prefix.is_empty() || prefix.ends_with(&[0]) || rest.is_empty() || rest.starts_with(&[0])
}

/// Where prefixes end that reach a key.
fn ends(key: &[u8]) -> impl Iterator<Item = usize> {
    (0..=key.len()).filter(|end| {
        let at = |n: usize| key.get(n) == Some(&0);
        *end == 0 || *end == key.len() || at(*end) || at(*end - 1)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::grants::is_prefix;
    use proptest::prelude::*;

    /// Keys of few bytes, which are below, above and beside the one that ends segments.
    fn keys() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[/!a]{0,5}", 1..20)
    }

    fn topic(n: usize, prefix: &str) -> v1::ActorTopic {
        let (program, topic) = ("sys".to_owned(), "kv".to_owned());
        v1::ActorTopic { actor: format!("a/{n:02}"), program, topic, prefix: prefix.into() }
    }

    fn topics(prefixes: &[String]) -> Topics {
        let mut topics = Topics::default();
        for (n, prefix) in prefixes.iter().enumerate() {
            let author = vec![1; 32];
            let topic = Some(topic(n, prefix));
            let subscription = v1::ActorSubscription { topic, author, index: 1 };
            topics.insert(Subscriber::new(&subscription).unwrap());
        }
        topics
    }

    proptest! {
        #[test]
        fn a_key_reaches_those_whose_prefix_it_has(prefixes in keys(), keys in keys()) {
            let topics = topics(&prefixes);
            let subscribers = topics.of("sys", "kv").unwrap();
            let reached_by = |key: &str| -> Vec<String> {
                let reached = prefixes.iter().enumerate();
                let reached = reached.filter(|(_, p)| is_prefix(p.as_bytes(), key.as_bytes()));
                reached.map(|(n, _)| topic(n, "").actor).collect()
            };
            for key in &keys {
                let (reached, looks) = subscribers.reached(key.as_bytes());
                let actors: Vec<_> = reached.iter().map(|s| s.topic.actor.clone()).collect();
                prop_assert_eq!(actors, reached_by(key), "{}", key);
                prop_assert!(looks <= key.len() + 1 + reached.len());
                // The most are reached by a key that is a prefix itself.
                let under = prefixes.iter().filter(|p| is_prefix(key.as_bytes(), p.as_bytes()));
                let most = under.chain([key]).map(|key| reached_by(key).len()).max();
                prop_assert_eq!(Some(subscribers.most_reached(key.as_bytes())), most, "{}", key);
            }
        }
    }

    #[test]
    fn what_is_removed_is_not_reached_and_leaves_nothing() {
        let prefixes = ["/r".to_owned(), "/r".to_owned()];
        let mut topics = topics(&prefixes);
        for left in [1, 0] {
            topics.remove(&topic(left, "/r"));
            topics.remove(&topic(7, "/r"));
            let reached = topics.of("sys", "kv").map_or(0, |s| s.reached(b"/r/1").0.len());
            assert_eq!(reached, left);
        }
        assert!(topics.0.is_empty());
    }
}
