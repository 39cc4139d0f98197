//! Clients: they write, count and read, and ask again with the same bytes until they know.

use crate::chance::Chance;
use crate::net::{Connection, Purpose};
use crate::replica::BIRTH;
use crate::request::{Answer, Request};
use crate::runtime::Runtime;
use crate::world::World;
use althing_machine::sys::decode_pair;
use althing_protocol::{Batch, SecretKey, sign, sys, v1};
use openraft_rt::AsyncRuntime;
use prost::Message;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// A request without an answer for so long is sent again.
const PATIENCE_MS: u64 = 600;
/// Keys that the clients share.
const KEYS: u64 = 3;
/// The key that all of them count up.
pub(crate) const COUNTER: &str = "/count";

/// One author with one session.
pub(crate) struct Client {
    world: Arc<World>,
    key: SecretKey,
    chance: Chance,
    /// The node that answered last, or that one said leads.
    target: Option<u64>,
    session: u64,
    next: u64,
}

impl Client {
    /// Opens a session.
    pub(crate) async fn open(world: Arc<World>, key: SecretKey, chance: Chance) -> Self {
        let mut client = Self { world, key, chance, target: None, session: 0, next: 1 };
        let outcomes = client.submit(vec![sys::session_open("simulation")]).await;
        if let Some(v1::outcome::Result::Output(output)) =
            outcomes.into_iter().next().and_then(|outcome| outcome.result)
            && let Ok(opened) = v1::SessionOpened::decode(output.as_slice())
        {
            (client.session, client.next) = (opened.session, 1);
        } else {
            client.world.ledger.fail("a client cannot open a session".to_owned());
        }
        client
    }

    /// Works until the driver says that no more is to begin.
    pub(crate) async fn run(mut self) {
        while !self.world.is_ending.load(SeqCst) {
            let key = format!("/k/{}", self.chance.below(KEYS));
            match self.chance.below(10) {
                0..4 => self.put(&key).await,
                4..7 => self.count().await,
                _ => drop(self.read(&key).await),
            }
            let pause = self.chance.below(60);
            Runtime::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn put(&mut self, key: &str) {
        let count = self.chance.within(1, 3);
        let value = format!("{} {}", self.session, self.next);
        let puts = (0..count).map(|_| sys::put(key, value.clone())).collect();
        for outcome in self.submit(puts).await {
            if written(&outcome) {
                self.world.ledger.knows(key.as_bytes(), outcome.index);
            } else {
                self.world.ledger.fail(format!("a put failed: {outcome:?}"));
            }
        }
    }

    /// Counts up by one, unless another client was faster.
    async fn count(&mut self) {
        use v1::compare_and_swap::Expected;
        let stored = self.read(COUNTER).await;
        let (expected, count) = match count(&stored) {
            Some((modify, count)) => (Expected::Modify(modify), count),
            None => (Expected::Absent(true), 0),
        };
        let swap = v1::CompareAndSwap {
            key: COUNTER.into(),
            expected: Some(expected),
            new_value: (count + 1).to_le_bytes().to_vec(),
        };
        for outcome in self.submit(vec![sys::compare_and_swap(&swap)]).await {
            if written(&outcome) {
                self.world.increments.fetch_add(1, SeqCst);
                self.world.ledger.knows(COUNTER.as_bytes(), outcome.index);
            }
        }
    }

    /// Reads linearizably, wherever: what is stored, with its revisions.
    async fn read(&mut self, key: &str) -> Vec<u8> {
        let request = Request { read: Some(key.into()), ..Request::default() };
        let anywhere = self.chance.percent(50);
        loop {
            if anywhere {
                self.target = None;
            }
            let floor = self.world.ledger.known(key.as_bytes());
            let answer = self.ask(&request).await;
            let Some(Answer { stored: Some(stored), node, .. }) = answer else { continue };
            let modify = decode_pair(&stored).map_or(0, |pair| pair.modify);
            self.world.ledger.read(key.as_bytes(), floor, modify, node);
            return stored;
        }
    }

    /// Signs instructions and sends the same bytes until their outcomes are known.
    pub(crate) async fn submit(&mut self, instructions: Vec<v1::Instruction>) -> Vec<v1::Outcome> {
        let (author, sequence) = (self.key.public(), self.next);
        self.next += instructions.len() as u64;
        let batch =
            Batch { realm: BIRTH.realm, author, session: self.session, sequence, instructions };
        let request = Request { submit: Some(sign(&self.key, batch)), ..Request::default() };
        loop {
            if let Some(Answer { result: Some(result), .. }) = self.ask(&request).await {
                let ledger = &self.world.ledger;
                ledger.acknowledged(&author, self.session, sequence, &result.outcomes);
                return result.outcomes;
            }
        }
    }

    /// Asks a node; nothing when it cannot say, after a pause.
    async fn ask(&mut self, request: &Request) -> Option<Answer> {
        let machine = self.machine();
        let patience = Duration::from_millis(PATIENCE_MS);
        let answer = Runtime::timeout(patience, ask(machine, request)).await;
        match answer {
            Ok(Ok(answer)) if answer.error.is_none() => {
                self.target = Some(answer.node);
                return Some(answer);
            }
            Ok(Ok(answer)) => self.target = answer.leader,
            Ok(Err(_)) | Err(_) => self.target = None,
        }
        let pause = self.chance.within(10, 80);
        Runtime::sleep(Duration::from_millis(pause)).await;
        None
    }

    /// Where the leader is said to be, or any machine with a member.
    fn machine(&mut self) -> usize {
        let known = self.target.and_then(|node| self.world.book.machine(node));
        let machines = 0..self.world.machines.len();
        let members: Vec<_> =
            machines.filter(|machine| self.world.machines[*machine].member().is_some()).collect();
        known.or_else(|| self.chance.pick(&members).copied()).unwrap_or(0)
    }
}

async fn ask(machine: usize, request: &Request) -> io::Result<Answer> {
    let mut connection = Connection::open(machine, Purpose::Client, (0, 0), None).await?;
    let answer = connection.ask(request.encode_to_vec().into()).await?;
    Ok(Answer::decode(answer)?)
}

fn written(outcome: &v1::Outcome) -> bool {
    matches!(outcome.result, Some(v1::outcome::Result::Output(_)))
}

/// The counter as it is stored: the entry that changed it last, and its value.
pub(crate) fn count(stored: &[u8]) -> Option<(u64, u64)> {
    let pair = decode_pair(stored).ok()?;
    Some((pair.modify, u64::from_le_bytes(pair.value.try_into().ok()?)))
}
