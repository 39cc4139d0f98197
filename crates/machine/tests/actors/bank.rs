//! A realm with accounts.

use crate::{
    account::account,
    common::{World, failure, founder, output},
};
use althing_machine::{ActorReplay, EntryAt, Fault, LogLine};
use althing_protocol::{Error, Hash, SecretKey, actor, limits, sys, v1};
use althing_sandbox::Deadline;
use althing_state::Order;
use prost::Message;

/// The program of the accounts.
pub const PROGRAM: &str = "account";

pub struct Bank {
    pub world: World,
    /// What the last entry's guests logged.
    pub logs: Vec<LogLine>,
    /// The digests of the results of all entries.
    pub digests: Vec<Vec<u8>>,
    pub image: Hash,
}

impl Bank {
    /// With these accounts, each of which holds 100.
    pub fn new(accounts: &[&str]) -> Self {
        let mut bank = Self {
            world: World::new(),
            logs: Vec::new(),
            digests: Vec::new(),
            image: Hash::default(),
        };
        bank.image = bank.deploy(PROGRAM, &account(), "1");
        bank.spawn(PROGRAM, accounts);
        bank
    }

    pub fn deploy(&mut self, program: &str, component: &[u8], version: &str) -> Hash {
        let image = self.world.upload(component);
        output(&self.one(stage(program, image, version)));
        let activate = v1::Activate { program: program.into(), image: image.0.to_vec() };
        output(&self.one(sys::activate(&activate)));
        image
    }

    pub fn spawn(&mut self, program: &str, accounts: &[&str]) {
        let spawns = accounts.iter().map(|id| actor::spawn(*id, program)).collect();
        self.run(&founder(), spawns).iter().for_each(|outcome| drop(output(outcome)));
    }

    /// Runs one entry.
    pub fn run(&mut self, key: &SecretKey, instructions: Vec<v1::Instruction>) -> Vec<v1::Outcome> {
        if instructions.is_empty() {
            return Vec::new();
        }
        let session = self.world.open(key);
        let envelope = self.world.envelope(key, session, 1, instructions);
        let applied = self.world.apply_all(&envelope);
        self.logs = applied.logs;
        self.digests.push(applied.result.writes);
        applied.result.outcomes
    }

    pub fn one(&mut self, instruction: v1::Instruction) -> v1::Outcome {
        self.run(&founder(), vec![instruction]).remove(0)
    }

    pub fn fails(&mut self, instruction: v1::Instruction) -> Error {
        failure(&self.one(instruction))
    }

    /// Sends messages, all in one entry.
    pub fn send(&mut self, messages: &[(&str, &str)]) {
        let sends = messages.iter().map(|(to, text)| actor::send(*to, quoted(text))).collect();
        self.run(&founder(), sends).iter().for_each(|outcome| drop(output(outcome)));
    }

    pub fn request(&mut self, to: &str, text: &str) -> Result<v1::ActorReply, Error> {
        let outcome = self.one(actor::request(to, quoted(text)));
        match outcome.result.as_ref().unwrap() {
            v1::outcome::Result::Output(bytes) => Ok(v1::ActorReply::decode(&bytes[..]).unwrap()),
            v1::outcome::Result::Failure(failure) => Err(failure.into()),
        }
    }

    pub fn tick(&mut self) {
        let applied = self.world.tick();
        self.digests.push(applied.result.writes);
    }

    /// Ticks until nothing waits; gives how many it took.
    pub fn settle(&mut self) -> usize {
        let busy = |queue: v1::ActorQueue| queue.ready > 0 || queue.upgrading > 0;
        let ticks = (0..10_000).take_while(|_| {
            busy(self.queue()) && {
                self.tick();
                true
            }
        });
        let count = ticks.count();
        assert!(!busy(self.queue()), "does not come to rest");
        count
    }

    pub fn state(&self, id: &str) -> String {
        let state =
            self.world.machine.actor_state(&self.world.view(), id, None).unwrap().state.unwrap();
        String::from_utf8(state.to_vec()).unwrap()
    }

    pub fn states(&self, ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| self.state(id)).collect()
    }

    pub fn info(&self, id: &str) -> v1::ActorInfo {
        self.world.machine.actor(&self.world.view(), id).unwrap()
    }

    pub fn queue(&self) -> v1::ActorQueue {
        self.world.machine.actor_queue(&self.world.view()).unwrap()
    }

    pub fn steps(&self, id: &str) -> Vec<v1::ActorStep> {
        let (machine, view) = (&self.world.machine, self.world.view());
        let mut steps: Vec<v1::ActorStep> = Vec::new();
        loop {
            let after = steps.last().map(|step| step.step);
            let page = machine.actor_history(&view, id, after, Order::Ascending, 1_000).unwrap();
            steps.extend(page.items);
            if !page.more {
                return steps;
            }
        }
    }

    /// The messages that an actor got, in order.
    pub fn got(&self, id: &str) -> Vec<String> {
        self.steps(id).into_iter().filter_map(|step| mail(&step)).map(|mail| text(&mail)).collect()
    }

    /// Whom dead letters were for, what they say, and why they are.
    pub fn letters(&self) -> Vec<(String, String, Error)> {
        let machine = &self.world.machine;
        let page = machine.actor_letters(&self.world.view(), None, None, 1_000).unwrap();
        let told = |letter: v1::ActorLetter| {
            let failure = Error::from(&letter.failure.unwrap());
            (letter.actor, text(&letter.mail.unwrap()), failure)
        };
        page.letters.into_iter().map(told).collect()
    }

    pub fn replay(
        &self,
        id: &str,
        from: u64,
        to: Option<u64>,
        state: Option<&[u8]>,
    ) -> Result<ActorReplay, Error> {
        let (view, deadline) = (self.world.view(), Deadline::after_ms(60_000));
        let state = state.map(Vec::from);
        match self.world.machine.actor_replay(&view, id, from, to, state, deadline) {
            Ok(replay) => Ok(replay),
            Err(Fault::Outcome(error)) => Err(error),
            Err(Fault::Halt(halt)) => panic!("{halt}"),
        }
    }

    /// Replays the whole history.
    pub fn prove(&self, id: &str) {
        let replay = self.replay(id, 1, None, None).unwrap();
        assert_eq!(replay.difference, None, "{id}");
        assert_eq!((replay.next, replay.steps), (None, self.info(id).step), "{id}");
        assert_eq!(*replay.state, *self.state(id).as_bytes(), "{id}");
    }

    /// Applies an entry of these instructions to a copy of the state, without keeping anything.
    pub fn explain(&mut self, instructions: Vec<v1::Instruction>) -> althing_machine::Explained {
        let session = self.world.open(&founder());
        let envelope = self.world.envelope(&founder(), session, 1, instructions);
        let kind = Some(v1::entry::Kind::Signed(v1::Signed { envelope: Some(envelope) }));
        let timestamp_us = self.world.now_us;
        let entry = v1::Entry { timestamp_us, seed: vec![5; 16], kind };
        let at = EntryAt { index: self.world.index + 1, entry: &entry, is_verified: false };
        self.world.machine.explain(self.world.view(), at).unwrap()
    }
}

pub fn stage(program: &str, image: Hash, version: &str) -> v1::Instruction {
    let manifest = v1::Manifest {
        version: version.into(),
        fuel_max: limits::FUEL_DEFAULT / 10,
        ..v1::Manifest::default()
    };
    sys::stage(&v1::Stage {
        program: program.into(),
        image: image.0.to_vec(),
        manifest: Some(manifest),
        signature: None,
    })
}

/// A message: a JSON string.
pub fn quoted(text: &str) -> Vec<u8> {
    format!("\"{text}\"").into_bytes()
}

pub fn text(mail: &v1::ActorMail) -> String {
    let text = String::from_utf8(mail.message.clone()).unwrap();
    text.trim_matches('"').to_owned()
}

pub fn mail(step: &v1::ActorStep) -> Option<v1::ActorMail> {
    match &step.kind {
        Some(v1::actor_step::Kind::Mail(mail)) => Some(mail.clone()),
        _ => None,
    }
}
