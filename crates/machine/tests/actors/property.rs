//! Whatever happens: no money appears or goes, the books agree with what is there after every entry, every
//! history can be proved, and it makes no difference what a machine remembers of earlier entries.

use crate::{
    account::{account, migrating, refusing},
    audit::{audit, records},
    bank::{PROGRAM, quoted, stage, text},
    common::{TestImages, World, founder, grant, key, output},
    keeper::due,
};
use althing_machine::{Due, EntryAt, Machine};
use althing_protocol::{Hash, SecretKey, actor, sys, v1};
use althing_sandbox::Deadline;
use proptest::{prelude::*, test_runner::TestRunner};
use prost::Message;
use std::sync::Arc;

/// Actors that may exist, of which program, and one that never does.
const IDS: [(&str, &str); 6] = [
    ("a", PROGRAM),
    ("b", PROGRAM),
    ("c/1", PROGRAM),
    ("d", OTHER),
    ("d/1", OTHER),
    ("nobody", ""),
];
const PROGRAMS: [&str; 2] = [PROGRAM, OTHER];
const OTHER: &str = "other";
/// Topics: of which program, and with which prefix.
const TOPICS: [(&str, &str, &str); 5] = [
    ("sys", "kv", ""),
    ("sys", "kv", "/k"),
    ("sys", "kv", "/k/1"),
    ("sys", "program.activated", ""),
    ("actor", "spawned", ""),
];
/// Versions of both programs. An upgrade may fail, since one of them does not hold 101.
const VERSIONS: usize = 3;
/// More of them would push out what replays the first steps.
const UPGRADES_MAX: usize = 6;

#[derive(Clone, Debug)]
enum Op {
    Spawn(usize),
    Send(usize, String),
    Request(usize, String),
    Retry(usize, u64),
    Stop(usize),
    SendAt(usize, usize, u64, String),
    SendEvery(usize, usize, u64, String),
    Cancel(usize, usize),
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    Put(usize),
    Activate(usize, usize),
    Back(usize),
    Disable(usize),
    Enable(usize),
}

#[derive(Clone, Debug)]
enum Entry {
    /// Under one signature, of one of two authors.
    Signed(usize, Vec<Op>),
    /// Money may come back, or go again.
    Rollback(usize, u64),
    /// Money goes with its account; sometimes it is stopped in the same entry.
    Remove(usize, bool),
    /// So long after the entry before.
    Tick(u64),
    /// The second author loses what the founder granted, or gets it again.
    Grant,
}

fn ops() -> impl Strategy<Value = Op> {
    let id = || 0..IDS.len() - 1;
    let program = || 0..PROGRAMS.len();
    let message = || {
        prop_oneof![
            8 => (1u32..150, 0..IDS.len()).prop_map(|(n, to)| format!("-{n} {}", IDS[to].0)),
            2 => Just("-1 b".to_owned()),
            1 => prop_oneof![Just("?"), Just("#"), Just("!a"), Just("{"), Just(".")].prop_map(String::from),
        ]
    };
    let delay = prop_oneof![Just(0), 1u64..3_000_000];
    prop_oneof![
        3 => id().prop_map(Op::Spawn),
        12 => (id(), message()).prop_map(|(id, text)| Op::Send(id, text)),
        4 => (id(), message()).prop_map(|(id, text)| Op::Request(id, text)),
        2 => (id(), 0u64..8).prop_map(|(id, letter)| Op::Retry(id, letter)),
        1 => id().prop_map(Op::Stop),
        2 => (id(), 0..2usize, delay, message()).prop_map(|(id, n, us, text)| Op::SendAt(id, n, us, text)),
        2 => (id(), 0..2usize, 100_000u64..2_000_000, message())
            .prop_map(|(id, n, us, text)| Op::SendEvery(id, n, us, text)),
        1 => (id(), 0..2usize).prop_map(|(id, n)| Op::Cancel(id, n)),
        4 => (id(), 0..TOPICS.len()).prop_map(|(id, topic)| Op::Subscribe(id, topic)),
        1 => (id(), 0..TOPICS.len()).prop_map(|(id, topic)| Op::Unsubscribe(id, topic)),
        3 => (0..3usize).prop_map(Op::Put),
        2 => (program(), 0..VERSIONS).prop_map(|(program, version)| Op::Activate(program, version)),
        1 => program().prop_map(Op::Back),
        2 => program().prop_map(Op::Disable),
        3 => program().prop_map(Op::Enable),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let id = || 0..IDS.len() - 1;
    let entry = prop_oneof![
        10 => (0..2usize, prop::collection::vec(ops(), 1..6)).prop_map(|(who, ops)| Entry::Signed(who, ops)),
        1 => (id(), 1u64..12).prop_map(|(id, to)| Entry::Rollback(id, to)),
        1 => (id(), any::<bool>()).prop_map(|(id, stop)| Entry::Remove(id, stop)),
        6 => prop_oneof![Just(0), 1u64..2_000_000].prop_map(Entry::Tick),
        1 => Just(Entry::Grant),
    ];
    prop::collection::vec(entry, 10..50)
}

/// Compiled once.
struct Versions {
    images: Arc<TestImages>,
    hashes: [Hash; VERSIONS],
}

impl Versions {
    fn new() -> Self {
        let world = World::new();
        let hashes = [account(), migrating(), refusing(101)].map(|guest| world.upload(&guest));
        Self { images: world.images, hashes }
    }
}

/// A world in which a log runs.
struct Run<'a> {
    world: World,
    versions: &'a Versions,
    /// Whether each entry gets a machine of its own. Else there is one, which is asked before each entry
    /// what would come of another one.
    forgets: bool,
    /// Key, session, and next number of the authors.
    authors: Vec<(SecretKey, u64, u64)>,
    /// What the second author may.
    grant: Option<u64>,
    upgrades: usize,
    /// What there is, if none is lost.
    money: i64,
    results: Vec<v1::Result>,
}

impl<'a> Run<'a> {
    fn new(versions: &'a Versions, forgets: bool) -> Self {
        let mut world = World::new();
        world.images = Arc::clone(&versions.images);
        world.machine = Machine::new(world.realm, Arc::clone(&world.images) as _, Vec::new());
        let second = key(2);
        for program in ["sys", PROGRAM, OTHER] {
            world.grant(grant(&second, program, "*", ""));
        }
        let authors = [founder(), second].map(|key| (world.open(&key), key));
        let authors = authors.map(|(session, key)| (key, session, 1)).into();
        let (money, results) = (0, Vec::new());
        let mut run =
            Self { world, versions, forgets, authors, grant: None, upgrades: 0, money, results };
        let mut setup: Vec<v1::Instruction> =
            PROGRAMS.iter().flat_map(|program| run.activate(program, 0)).collect();
        // The one may send to the actors of the other, and not the other way.
        setup.push(sys::grant(&v1::Grant {
            subject: format!("program:{PROGRAM}"),
            program: "actor".into(),
            method: "send".into(),
            ..v1::Grant::default()
        }));
        run.signed(0, setup).iter().for_each(|outcome| drop(output(outcome)));
        run.entry(&Entry::Grant);
        run.entry(&Entry::Signed(1, (0..4).map(Op::Spawn).collect()));
        run
    }

    fn activate(&self, program: &str, version: usize) -> Vec<v1::Instruction> {
        let (program, image) = (program.to_owned(), self.versions.hashes[version]);
        let staged = stage(&program, image, &version.to_string());
        vec![staged, sys::activate(&v1::Activate { program, image: image.0.to_vec() })]
    }

    /// Runs an entry, and audits what is there behind it.
    fn entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Signed(who, ops) => {
                let mut instructions = Vec::new();
                for op in ops {
                    instructions.extend(self.instructions(op));
                }
                let spawns: Vec<bool> =
                    instructions.iter().map(|instruction| instruction.method == "spawn").collect();
                let outcomes = self.signed(*who, instructions);
                let spawned = outcomes.iter().zip(spawns).filter(|(o, spawn)| *spawn && is_ok(o));
                self.money += 100 * spawned.count() as i64;
            }
            Entry::Rollback(id, to) => {
                let id = IDS[*id].0;
                let change = self.held(id, Some(*to)).zip(self.held(id, None));
                let back = v1::ActorRollback { actor: id.into(), to: *to, state: None };
                if is_ok(&self.signed(0, vec![actor::rollback(&back)])[0]) {
                    let (then, now) = change.unwrap();
                    self.money += then - now;
                }
            }
            Entry::Remove(id, stop) => {
                let id = IDS[*id].0;
                let held = self.held(id, None);
                let stop = stop.then(|| actor::stop(id));
                let instructions = stop.into_iter().chain([actor::remove(id)]).collect();
                if is_ok(self.signed(0, instructions).last().unwrap()) {
                    self.money -= held.unwrap();
                }
            }
            Entry::Tick(us) => {
                self.world.now_us += us;
                let was_due = due(&self.world) == Due::Now;
                self.forget();
                let applied = self.world.tick();
                assert!(
                    !was_due || !applied.writes.is_empty(),
                    "a tick that is due does something"
                );
                self.results.push(applied.result);
            }
            Entry::Grant => {
                let given = grant(&key(2), "actor", "*", "");
                let change = self.grant.take().map_or(sys::grant(&given), sys::revoke);
                let outcome = self.signed(0, vec![change]).remove(0);
                self.grant = v1::GrantId::decode(&output(&outcome)[..]).ok().map(|id| id.id);
                self.grant.take_if(|id| *id == 0);
            }
        }
        audit(&self.world);
        assert_eq!(self.there(), self.money, "behind {entry:?}");
    }

    fn instructions(&mut self, op: &Op) -> Vec<v1::Instruction> {
        let (now_us, timer) = (self.world.now_us, |n: &usize| format!("t{n}"));
        let actor = |id: &usize| IDS[*id].0.to_owned();
        vec![match op {
            Op::Spawn(id) => actor::spawn(IDS[*id].0, IDS[*id].1),
            Op::Send(id, text) => actor::send(actor(id), quoted(text)),
            Op::Request(id, text) => actor::request(actor(id), quoted(text)),
            Op::Retry(id, letter) => actor::retry(actor(id), *letter),
            Op::Stop(id) => actor::stop(actor(id)),
            Op::SendAt(id, n, us, text) => {
                let (actor, timer, at_us, message) =
                    (actor(id), timer(n), now_us + us, quoted(text));
                actor::send_at(&v1::ActorSendAt { actor, timer, at_us, message })
            }
            Op::SendEvery(id, n, period_us, text) => {
                let (actor, timer, message) = (actor(id), timer(n), quoted(text));
                let (first_us, period_us) = (0, *period_us);
                actor::send_every(&v1::ActorSendEvery {
                    actor,
                    timer,
                    first_us,
                    period_us,
                    message,
                })
            }
            Op::Cancel(id, n) => actor::cancel(actor(id), timer(n)),
            Op::Subscribe(id, topic) => actor::subscribe(&topic_of(*id, *topic)),
            Op::Unsubscribe(id, topic) => actor::unsubscribe(&topic_of(*id, *topic)),
            Op::Put(n) => sys::put(["/k", "/k/1", "/l"][*n], now_us.to_string()),
            Op::Activate(..) | Op::Back(_) if self.upgrades == UPGRADES_MAX => return Vec::new(),
            Op::Activate(program, version) => {
                self.upgrades += 1;
                return self.activate(PROGRAMS[*program], *version);
            }
            Op::Back(program) => {
                self.upgrades += 1;
                let program = PROGRAMS[*program].into();
                sys::rollback(&v1::Rollback { program, image: None })
            }
            Op::Disable(program) => sys::disable(PROGRAMS[*program]),
            Op::Enable(program) => sys::enable(PROGRAMS[*program]),
        }]
    }

    fn signed(&mut self, who: usize, instructions: Vec<v1::Instruction>) -> Vec<v1::Outcome> {
        if instructions.is_empty() {
            return Vec::new();
        }
        if !self.forgets {
            self.explain(1 - who, &instructions);
        }
        self.forget();
        let envelope = self.envelope(who, &instructions);
        self.authors[who].2 += instructions.len() as u64;
        let applied = self.world.apply_all(&envelope);
        self.results.push(applied.result.clone());
        applied.result.outcomes
    }

    fn envelope(&self, who: usize, instructions: &[v1::Instruction]) -> v1::Envelope {
        let (key, session, sequence) = &self.authors[who];
        self.world.envelope(key, *session, *sequence, instructions.to_vec())
    }

    /// What would come of it if the other author signed it: a branch of history that is thrown away.
    fn explain(&self, who: usize, instructions: &[v1::Instruction]) {
        let envelope = Some(self.envelope(who, instructions));
        let kind = Some(v1::entry::Kind::Signed(v1::Signed { envelope }));
        let timestamp_us = self.world.now_us + 1;
        let entry = v1::Entry { timestamp_us, seed: vec![5; 16], kind };
        let at = EntryAt { index: self.world.index + 1, entry: &entry, is_verified: false };
        self.world.machine.explain(self.world.view(), at).unwrap();
    }

    fn forget(&mut self) {
        if self.forgets {
            let images = Arc::clone(&self.world.images) as _;
            self.world.machine = Machine::new(self.world.realm, images, Vec::new());
        }
    }

    /// What an account holds, or held after a step.
    fn held(&self, id: &str, step: Option<u64>) -> Option<i64> {
        let found = self.world.machine.actor_state(&self.world.view(), id, step).ok()?;
        Some(std::str::from_utf8(&found.state.ok()?).unwrap().parse().unwrap())
    }

    /// Money in accounts, in the mail, and in letters that nobody got.
    fn there(&self) -> i64 {
        let actors = records::<v1::ActorInfo>(&self.world, "actor.info").into_iter();
        let held: i64 = actors.map(|(_, info)| self.held(&info.actor, None).unwrap()).sum();
        let waiting = records::<v1::ActorMail>(&self.world, "actor.inbox").into_iter();
        let letters = records::<v1::ActorLetter>(&self.world, "actor.letter").into_iter();
        let letters = letters.map(|(_, letter)| carried(&letter.mail.unwrap()));
        held + waiting.map(|(_, mail)| carried(&mail)).sum::<i64>() + letters.sum::<i64>()
    }

    /// Lets everything come to its end.
    fn finish(&mut self) {
        for program in 0..PROGRAMS.len() {
            self.entry(&Entry::Signed(0, vec![Op::Enable(program)]));
        }
        for _ in 0..1_000 {
            if due(&self.world) != Due::Now {
                break;
            }
            self.entry(&Entry::Tick(0));
        }
        let queue = self.world.machine.actor_queue(&self.world.view()).unwrap();
        assert_eq!((queue.waiting, queue.ready, queue.upgrading), (0, 0, 0), "comes to rest");
        for (_, info) in records::<v1::ActorInfo>(&self.world, "actor.info") {
            let (view, deadline) = (self.world.view(), Deadline::after_ms(60_000));
            let machine = &self.world.machine;
            let replay = machine.actor_replay(&view, &info.actor, 1, None, None, deadline).unwrap();
            assert_eq!((replay.difference, replay.next), (None, None), "{}", info.actor);
            assert_eq!(replay.steps, info.step, "{}", info.actor);
        }
    }
}

fn topic_of(id: usize, topic: usize) -> v1::ActorTopic {
    let (program, topic, prefix) = TOPICS[topic];
    let (program, topic, prefix) = (program.into(), topic.into(), prefix.into());
    v1::ActorTopic { actor: IDS[id].0.into(), program, topic, prefix }
}

fn is_ok(outcome: &v1::Outcome) -> bool {
    matches!(outcome.result, Some(v1::outcome::Result::Output(_)))
}

/// What a message carries that was sent by an account.
fn carried(mail: &v1::ActorMail) -> i64 {
    text(mail).strip_prefix('+').map_or(0, |n| n.parse().unwrap())
}

/// Runs these entries with a machine that remembers, and with others that do not.
fn check(versions: &Versions, entries: &[Entry]) {
    let (mut run, mut twin) = (Run::new(versions, false), Run::new(versions, true));
    for entry in entries {
        run.entry(entry);
        twin.entry(entry);
        assert_eq!(run.results.last(), twin.results.last(), "{entry:?}");
    }
    run.finish();
    twin.finish();
    assert_eq!(run.results, twin.results);
}

#[test]
fn money_is_conserved_and_the_books_agree() {
    let versions = Versions::new();
    let config =
        ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() };
    let check = |entries: Vec<Entry>| {
        check(&versions, &entries);
        Ok(())
    };
    TestRunner::new(config).run(&entries(), check).unwrap();
}

/// The same subscription again, as it was explained for another author just before: who subscribed is in
/// what is told.
#[test]
fn what_was_only_explained_is_not_remembered() {
    let again = || Entry::Signed(0, vec![Op::Subscribe(0, 0)]);
    check(&Versions::new(), &[again(), again(), Entry::Signed(0, vec![Op::Put(0)])]);
}
