//! Running a log, and what is said about each entry.

use crate::{Log, Step};
use althing_machine::{EntryAt, Fault, Halt, Images, Machine, genesis_writes};
use althing_protocol::{Error, Hash, next_entry_chain, next_result_chain, realm_id, v1};
use althing_sandbox::{
    Deadline, Engine, EngineOptions, Image, LoadError, limits::THREAD_STACK_BYTES,
};
use althing_state::{Applied, Flusher, InMemoryBackend, Options, Store, Tip, View};
use anyhow::{Context, Result, anyhow, bail};
use prost::Message;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Bytes of an output or an error that a line shows; all of them are in the chain of results.
const SHOWN_BYTES_MAX: usize = 72;

/// What one step gave. Shown, it is one line of text that is the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which step: `entry INDEX`, `query PROGRAM/METHOD`, `actor ID`, or `end`.
    pub at: String,
    /// One for each instruction, or for what was asked.
    pub outcomes: Vec<Outcome>,
    /// Names and values: digest of the writes, chains, state hash.
    pub digests: Vec<(&'static str, Hash)>,
}

/// How an instruction or a query ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `ok`, or the kind of the error.
    pub kind: &'static str,
    /// Fuel it used.
    pub fuel: u64,
    /// Its output, or the text of the error.
    pub bytes: Vec<u8>,
    /// Topics of its events.
    pub topics: Vec<String>,
}

/// A log that was run.
#[derive(Debug)]
pub struct Ran {
    /// One for each step, and one for the end.
    pub lines: Vec<Line>,
    /// The state after the last entry.
    pub state: View,
}

/// Runs `log` on an engine of its own.
///
/// # Errors
/// When a node would halt.
pub fn run(log: &Log, options: &EngineOptions) -> Result<Ran> {
    run_flushing(log, options, u64::MAX)
}

/// [`run`], and the state is written to its store after each `entries` entries: nodes flush when
/// they like, so what is read may come from the store, or be newer, or both.
///
/// # Errors
/// As [`run`].
pub fn run_flushing(log: &Log, options: &EngineOptions, entries: u64) -> Result<Ran> {
    // Programs nest: the thread needs the stack that a realm's apply thread has.
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(THREAD_STACK_BYTES);
        let running = thread.spawn_scoped(scope, || Node::new(log, options)?.run(log, entries))?;
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What a log runs on: as much of a node as decides results.
struct Node {
    machine: Machine,
    tip: Tip,
    flusher: Flusher,
}

impl Node {
    fn new(log: &Log, options: &EngineOptions) -> Result<Self> {
        let writes = genesis_writes(&log.genesis)?;
        let (memory, defaults) = (InMemoryBackend::new(), Options::default());
        let store = Store::create_with_backend(memory, &log.genesis, writes, &defaults)?;
        let engine = Engine::new(options)?;
        let components = log.images.clone();
        let images = Compiled { engine, components, images: Mutex::default() };
        let machine = Machine::new(realm_id(&log.genesis), Arc::new(images), Vec::new());
        Ok(Self { machine, tip: store.tip(), flusher: store.flusher() })
    }

    fn run(mut self, log: &Log, flush_entries: u64) -> Result<Ran> {
        let mut lines = Vec::with_capacity(log.steps.len() + 1);
        for step in &log.steps {
            let line = match step {
                Step::Entry(entry) => self.entry(entry),
                Step::Query { caller, program, method, args } => {
                    let asked = (*caller, program.as_str(), method.as_str(), args.as_slice());
                    self.query(asked)
                }
                Step::Actor(actor) => self.actor(actor),
            };
            lines.push(line.with_context(|| format!("after {} lines", lines.len()))?);
            if self.tip.applied().index.is_multiple_of(flush_entries) && self.tip.freeze() {
                self.flusher.flush()?;
            }
        }
        let state = self.tip.view();
        let (entries, hash) = (state.applied().entry_chain, state.state_hash()?);
        let digests = vec![("entries", entries), ("state", hash)];
        lines.push(Line { at: "end".into(), outcomes: Vec::new(), digests });
        Ok(Ran { lines, state })
    }

    /// Applies an entry as a realm does, whatever its door would have said.
    fn entry(&mut self, entry: &v1::Entry) -> Result<Line> {
        let position = self.tip.applied().clone();
        let index = position.index + 1;
        let at = EntryAt { index, entry, is_verified: false };
        let applied = self.machine.apply(self.tip.view(), at)?;
        let result = applied.result.encode_to_vec();
        let entry = entry.encode_to_vec();
        let position = Applied {
            index,
            timestamp_us: applied.timestamp_us,
            entry_chain: next_entry_chain(&position.entry_chain, index, &entry),
            result_chain: next_result_chain(&position.result_chain, index, &result),
            ..position
        };
        let writes = Hash::try_from(applied.result.writes.as_slice())?;
        let digests = vec![("writes", writes), ("results", position.result_chain)];
        self.tip.merge(applied.writes);
        self.tip.record(index, result);
        self.tip.set_applied(position);
        let outcomes = applied.result.outcomes.into_iter().map(Outcome::from).collect();
        Ok(Line { at: format!("entry {index}"), outcomes, digests })
    }

    fn query(&self, asked: (althing_protocol::PublicKey, &str, &str, &[u8])) -> Result<Line> {
        let (caller, program, method, args) = asked;
        let view = self.tip.view();
        let answer =
            self.machine.query(view, caller, program, method, args, Deadline::after_ms(u64::MAX));
        let outcome = match answer {
            Ok((output, fuel, _)) => {
                Outcome { kind: "ok", fuel, bytes: output, topics: Vec::new() }
            }
            Err(Fault::Outcome(error)) => Outcome::failed(&error, 0),
            Err(Fault::Halt(halt)) => bail!(halt),
        };
        let at = format!("query {program}/{method}");
        Ok(Line { at, outcomes: vec![outcome], digests: Vec::new() })
    }

    /// The state of an actor, and the chain of all that happened to it.
    fn actor(&self, actor: &str) -> Result<Line> {
        let at = format!("actor {actor}");
        Ok(match self.machine.actor_state(&self.tip.view(), actor, None) {
            Ok(found) => {
                let state = found.state;
                let bytes = state.map_err(|_| anyhow!("state in force: is not kept"))?.to_vec();
                let outcome = Outcome { kind: "ok", fuel: 0, bytes, topics: Vec::new() };
                let digests = vec![("chain", Hash::try_from(found.info.chain.as_slice())?)];
                Line { at, outcomes: vec![outcome], digests }
            }
            Err(Fault::Outcome(error)) => {
                Line { at, outcomes: vec![Outcome::failed(&error, 0)], digests: Vec::new() }
            }
            Err(Fault::Halt(halt)) => bail!(halt),
        })
    }
}

/// Compiles an image when it is first asked for.
struct Compiled {
    engine: Engine,
    components: BTreeMap<Hash, Vec<u8>>,
    images: Mutex<BTreeMap<Hash, Arc<Image>>>,
}

impl Images for Compiled {
    fn image(&self, hash: &Hash) -> Result<Result<Arc<Image>, Error>, Halt> {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = images.get(hash) {
            return Ok(Ok(Arc::clone(image)));
        }
        let component = self.components.get(hash);
        let component = component.ok_or_else(|| Halt::new(format!("image {hash}: is missing")))?;
        // An image of a text goes by the hash of the text, in what is said of it as well.
        let own = Hash::of(component);
        match self.engine.load(&own, component) {
            Ok(image) => {
                let image = Arc::new(image);
                images.insert(*hash, Arc::clone(&image));
                Ok(Ok(image))
            }
            Err(LoadError::Refused(error)) => {
                let message = error.message.replace(&own.to_string(), &hash.to_string());
                Ok(Err(Error { message, ..error }))
            }
            Err(LoadError::Halt(halt)) => Err(halt.into()),
        }
    }
}

impl Outcome {
    fn failed(error: &Error, fuel: u64) -> Self {
        let bytes = error.message.clone().into_bytes();
        Self { kind: error.kind.name(), fuel, bytes, topics: Vec::new() }
    }
}

impl From<v1::Outcome> for Outcome {
    fn from(outcome: v1::Outcome) -> Self {
        use v1::outcome::Result;
        let ended = match &outcome.result {
            Some(Result::Failure(failure)) => Self::failed(&failure.into(), outcome.fuel),
            Some(Result::Output(output)) => {
                Self { kind: "ok", fuel: outcome.fuel, bytes: output.clone(), topics: Vec::new() }
            }
            None => Self { kind: "none", fuel: 0, bytes: Vec::new(), topics: Vec::new() },
        };
        Self { topics: outcome.events.into_iter().map(|event| event.topic).collect(), ..ended }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at)?;
        for outcome in &self.outcomes {
            write!(f, " | {outcome}")?;
        }
        for (name, digest) in &self.digests {
            write!(f, " | {name} {digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} \"{}\"", self.kind, self.fuel, shown(&self.bytes))?;
        for topic in &self.topics {
            write!(f, " +{}", shown(topic.as_bytes()))?;
        }
        Ok(())
    }
}

/// The bytes as printable text without the separator of a line's fields, cut where it gets long.
fn shown(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let text = head.escape_ascii().to_string().replace('|', "\\x7c");
    match bytes.len() - head.len() {
        0 => text,
        more => format!("{text}..{more} more"),
    }
}
