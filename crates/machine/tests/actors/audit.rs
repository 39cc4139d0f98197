//! The books of all actors, held against what is there: every count, place and index.

use crate::common::World;
use althing_protocol::{Hash, v1};
use althing_state::Value;
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// Fails when a count, a place or an index is not that of what is there.
pub fn audit(world: &World) {
    let books = Books::read(world);
    books.actors();
    books.mail();
    books.places(world);
    books.letters();
    books.timers();
    books.subscriptions();
    books.upgrades();
    books.orphans();
}

/// All pairs of a keyspace.
pub fn pairs(world: &World, keyspace: &str) -> Vec<(Vec<u8>, Value)> {
    world.view().scan(keyspace, Bound::Unbounded, b"", usize::MAX, usize::MAX).unwrap().pairs
}

/// The same, decoded.
pub fn records<M: Message + Default>(world: &World, keyspace: &str) -> Vec<(Vec<u8>, M)> {
    let decoded = |(key, bytes): (Vec<u8>, Value)| (key, M::decode(&*bytes).unwrap());
    pairs(world, keyspace).into_iter().map(decoded).collect()
}

type Keys = BTreeSet<Vec<u8>>;

struct Books<'a> {
    world: &'a World,
    queue: v1::ActorQueue,
    actors: Vec<v1::ActorInfo>,
    programs: BTreeMap<String, v1::ActorProgram>,
    shares: BTreeMap<String, v1::ActorShare>,
}

impl<'a> Books<'a> {
    fn read(world: &'a World) -> Self {
        let named = |key: Vec<u8>| String::from_utf8(key).unwrap();
        Self {
            world,
            queue: world.machine.actor_queue(&world.view()).unwrap(),
            actors: records(world, "actor.info").into_iter().map(|(_, info)| info).collect(),
            programs: by_name(records(world, "actor.program"), named),
            shares: by_name(records(world, "actor.share"), named),
        }
    }

    fn keys(&self, keyspace: &str) -> Keys {
        pairs(self.world, keyspace).into_iter().map(|(key, _)| key).collect()
    }

    fn program(&self, program: &str) -> v1::ActorProgram {
        self.programs.get(program).cloned().unwrap_or_default()
    }

    fn program_of(&self, actor: &str) -> &str {
        &self.actors.iter().find(|info| info.actor == actor).unwrap().program
    }

    fn actors(&self) {
        assert_eq!(self.queue.actors, self.actors.len() as u64);
        let of = self.actors.iter().map(|info| joined(&[&info.program, &info.actor]));
        assert_eq!(self.keys("actor.of"), of.collect());
        for (name, program) in &self.programs {
            let own = self.actors.iter().filter(|info| info.program == *name);
            assert_eq!(program.actors, own.count() as u64, "{name}");
        }
        let steps = records::<v1::ActorStep>(self.world, "actor.step");
        let states = pairs(self.world, "actor.state");
        for info in &self.actors {
            let own = |key: &[u8]| number_of(&info.actor, key);
            let steps: Vec<_> =
                steps.iter().filter_map(|(key, step)| Some((own(key)?, step))).collect();
            let numbers: Vec<u64> = steps.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, (1..=info.step).collect::<Vec<_>>(), "{}", info.actor);
            let bytes: usize = steps.iter().map(|(_, step)| step.encoded_len()).sum();
            assert_eq!(info.history_bytes, bytes as u64, "{}", info.actor);
            let mut kept = BTreeSet::new();
            for (number, state) in states.iter().filter_map(|(key, v)| Some((own(key)?, v))) {
                let step = steps[usize::try_from(number).unwrap() - 1].1;
                assert_eq!(step.after, Hash::of(state).0, "step {number} of {}", info.actor);
                kept.insert(number);
            }
            let known: BTreeSet<u64> = info.kept.iter().copied().collect();
            assert!(
                known.is_subset(&kept) && kept.contains(&info.state_step),
                "{info:?}: {kept:?}"
            );
            assert_eq!(steps.last().unwrap().1.after, info.state_hash, "{}", info.actor);
        }
    }

    fn mail(&self) {
        let inbox = records::<v1::ActorMail>(self.world, "actor.inbox");
        let mut waiting: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for info in &self.actors {
            let own = |(key, mail): &(Vec<u8>, v1::ActorMail)| {
                Some((number_of(&info.actor, key)?, bytes_of(mail)))
            };
            let (numbers, bytes): (Vec<u64>, Vec<u64>) = inbox.iter().filter_map(own).unzip();
            let expected: Vec<u64> = (info.next_mail - info.waiting..info.next_mail).collect();
            assert_eq!(numbers, expected, "{}", info.actor);
            let of_program = waiting.entry(&info.program).or_default();
            of_program.0 += numbers.len() as u64;
            of_program.1 += bytes.iter().sum::<u64>();
        }
        for (program, share) in &self.shares {
            let expected = waiting.remove(program.as_str()).unwrap_or_default();
            assert_eq!((share.waiting, share.waiting_bytes), expected, "{program}");
        }
        assert!(waiting.values().all(|waiting| *waiting == (0, 0)), "{waiting:?}");
        let bytes: u64 = inbox.iter().map(|(_, mail)| bytes_of(mail)).sum();
        let found = (self.queue.waiting, self.queue.waiting_bytes);
        assert_eq!(found, (inbox.len() as u64, bytes));
    }

    /// Who has mail has one place in the queue, unless it is paused; then somebody will give it one. One
    /// that is stopped pauses no more.
    fn places(&self, world: &World) {
        let ready = self.keys("actor.ready");
        assert_eq!(self.queue.ready, ready.len() as u64);
        let placed = self.actors.iter().filter(|info| info.turn != 0);
        let place =
            |info: &v1::ActorInfo| [&info.turn.to_be_bytes()[..], info.actor.as_bytes()].concat();
        assert_eq!(ready, placed.map(place).collect());
        for info in &self.actors {
            assert!(info.turn == 0 || info.waiting > 0, "{info:?}");
            let of = self.program(&info.program);
            let program = world.machine.program(&world.view(), &info.program).unwrap().unwrap();
            let is_paused = info.status() == v1::actor_info::Status::Running
                && (program.disabled.is_some() || of.upgrade.is_some() || of.swept.is_some());
            assert!(info.turn != 0 || info.waiting == 0 || is_paused, "{info:?}, {of:?}");
        }
    }

    fn letters(&self) {
        let letters = records::<v1::ActorLetter>(self.world, "actor.letter");
        assert_eq!(self.queue.letters, letters.len() as u64);
        let mut of = Keys::new();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (key, letter) in &letters {
            let number = letter.letter;
            assert_eq!(key[..], number.to_be_bytes());
            assert!((self.queue.first_letter..self.queue.next_letter).contains(&number));
            let share = self.shares.get(&letter.program).cloned().unwrap_or_default();
            assert!(share.first_letter <= number, "{letter:?}, {share:?}");
            of.insert([letter.program.as_bytes(), &[0], &number.to_be_bytes()].concat());
            *counts.entry(letter.program.clone()).or_default() += 1;
        }
        assert_eq!(self.keys("actor.letter_of"), of);
        for (program, share) in &self.shares {
            assert_eq!(share.letters, counts.remove(program).unwrap_or_default(), "{program}");
        }
        assert!(counts.is_empty(), "{counts:?}");
    }

    fn timers(&self) {
        let timers = records::<v1::ActorTimer>(self.world, "actor.timer");
        let messages = pairs(self.world, "actor.timer_message");
        let bytes: usize = messages.iter().map(|(_, message)| message.len()).sum();
        assert_eq!(self.queue.timers, timers.len() as u64);
        assert_eq!(self.queue.timer_bytes, bytes as u64);
        assert_eq!(self.keys("actor.timer"), self.keys("actor.timer_message"));
        let mut due = Keys::new();
        let mut of: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for ((key, timer), (_, message)) in timers.iter().zip(&messages) {
            assert_eq!(*key, joined(&[&timer.actor, &timer.timer]));
            assert_eq!((timer.message_bytes, timer.message.len()), (message.len() as u64, 0));
            let of = of.entry(self.program_of(&timer.actor)).or_default();
            *of = (of.0 + 1, of.1 + timer.message_bytes);
            // It has a time, or a message that waits.
            match timer.sent {
                None => drop(due.insert([&timer.due_us.to_be_bytes()[..], key].concat())),
                Some(sent) => {
                    let number = [&joined(&[&timer.actor, ""]), &sent.to_be_bytes()[..]].concat();
                    assert!(self.keys("actor.inbox").contains(&number), "{timer:?}");
                }
            }
        }
        assert_eq!(self.keys("actor.due"), due);
        for (program, share) in &self.shares {
            let expected = of.remove(program.as_str()).unwrap_or_default();
            assert_eq!((share.timers, share.timer_bytes), expected, "{program}");
        }
        assert!(of.is_empty(), "{of:?}");
    }

    fn subscriptions(&self) {
        let (mut topics, mut subscribed, mut kv) = (Keys::new(), Keys::new(), 0);
        for (_, subscription) in records::<v1::ActorSubscription>(self.world, "actor.topic") {
            let v1::ActorTopic { actor, program, topic, prefix } = subscription.topic.unwrap();
            let prefix = std::str::from_utf8(&prefix).unwrap();
            kv += u64::from(program == "sys" && topic == "kv");
            topics.insert(joined(&[&program, &topic, &actor, prefix]));
            subscribed.insert(joined(&[&actor, &program, &topic, prefix]));
        }
        let found = (self.queue.subscriptions, self.queue.kv_subscriptions);
        assert_eq!(found, (topics.len() as u64, kv));
        assert_eq!(self.keys("actor.topic"), topics);
        assert_eq!(self.keys("actor.subscribed"), subscribed);
    }

    fn upgrades(&self) {
        let is_busy = |of: &v1::ActorProgram| of.upgrade.is_some() || of.swept.is_some();
        let busy = self.programs.values().filter(|of| is_busy(of)).count();
        assert_eq!(self.queue.upgrading, busy as u64);
        for actor in self.keys("actor.shadow") {
            let actor = String::from_utf8(actor).unwrap();
            assert!(is_busy(&self.program(self.program_of(&actor))), "shadow of {actor}");
        }
        for info in &self.actors {
            let of = self.program(&info.program);
            assert!(info.generation == of.generation || is_busy(&of), "{info:?}, {of:?}");
        }
    }

    /// What is gone has left nothing behind.
    fn orphans(&self) {
        for keyspace in ["state", "step", "inbox", "timer", "timer_message", "subscribed"] {
            for key in self.keys(&format!("actor.{keyspace}")) {
                let of = |info: &v1::ActorInfo| key.starts_with(&joined(&[&info.actor, ""]));
                assert!(self.actors.iter().any(of), "actor.{keyspace}: {}", key.escape_ascii());
            }
        }
    }
}

fn by_name<M>(records: Vec<(Vec<u8>, M)>, named: fn(Vec<u8>) -> String) -> BTreeMap<String, M> {
    records.into_iter().map(|(key, record)| (named(key), record)).collect()
}

fn joined(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}

/// The number in a key that begins with `actor`.
fn number_of(actor: &str, key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(joined(&[actor, ""]).as_slice())?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

/// What a message counts.
fn bytes_of(mail: &v1::ActorMail) -> u64 {
    mail.encoded_len() as u64
}
