//! Running an entry.

use crate::{
    Context, Fault, Halt, Machine,
    context::{Events, digest},
    contract,
    grants::{self, GrantTable},
    machine::{Asked, Verdict},
    native::Call,
    sessions,
};
use althing_protocol::{Batch, Error, Result, entry_seed, limits, v1};
use althing_state::{Scope, View, Writes};
use prost::Message;

/// An entry at its place in the log.
#[derive(Clone, Copy, Debug)]
pub struct EntryAt<'a> {
    /// Its index.
    pub index: u64,
    /// The entry.
    pub entry: &'a v1::Entry,
    /// Whether this node checked its signature before: at its own door, or when it first applied
    /// the entry.
    pub is_verified: bool,
}

/// What an entry gave.
#[derive(Debug)]
pub struct Applied {
    /// What changes in the state.
    pub writes: Writes,
    /// Outcomes, and the digest of the writes: what the chain of results covers.
    pub result: v1::Result,
    /// The log's clock after the entry.
    pub timestamp_us: u64,
    /// What guests wrote to their log: on this node only, in no digest.
    pub logs: Vec<LogLine>,
}

/// A line that a guest wrote to its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Index of the entry.
    pub index: u64,
    /// The program that wrote it.
    pub program: String,
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text.
    pub text: String,
}

/// One entry while it runs. The scope is absent only while a guest holds it.
struct Run<'a> {
    machine: &'a Machine,
    index: u64,
    timestamp_us: u64,
    seed: &'a [u8],
    scope: Option<Scope>,
    /// Sessions and decided outcomes: apart from the scope, so that no instruction's use of its
    /// budget keeps its verdict from being recorded.
    books: Writes,
    logs: Vec<LogLine>,
}

impl Machine {
    /// Runs `at` over `view`. Signature, session, grant, route: in this order, for each
    /// instruction; the verdict here counts.
    ///
    /// # Errors
    /// When this node cannot go on. A bad instruction is an outcome.
    pub fn apply(&self, view: View, at: EntryAt<'_>) -> Result<Applied, Halt> {
        let timestamp_us = at.entry.timestamp_us.max(view.applied().timestamp_us);
        let mut run = Run {
            machine: self,
            index: at.index,
            timestamp_us,
            seed: &at.entry.seed,
            scope: Some(Scope::new(view)),
            books: Writes::new(),
            logs: Vec::new(),
        };
        let outcomes = match &at.entry.kind {
            Some(v1::entry::Kind::Signed(signed)) => run.signed(signed, at.is_verified)?,
            // Nothing is due yet: timers, mailboxes and migrations come with the programs that
            // have them. What a checkpoint says is compared by the realm.
            Some(v1::entry::Kind::Tick(_) | v1::entry::Kind::Checkpoint(_)) | None => Vec::new(),
        };
        let mut writes = run.scope.take().ok_or_else(lost_scope)?.into_writes();
        writes.merge(run.books);
        let result = v1::Result { outcomes, writes: writes.digest().0.to_vec() };
        Ok(Applied { writes, result, timestamp_us, logs: run.logs })
    }
}

impl Run<'_> {
    fn signed(&mut self, signed: &v1::Signed, is_verified: bool) -> Result<Vec<v1::Outcome>, Halt> {
        let envelope = signed.envelope.clone().unwrap_or_default();
        let checked = Batch::decode(&envelope).and_then(|batch| {
            if !is_verified {
                althing_protocol::verify(&envelope, &batch.author)?;
            }
            self.machine.check_realm(&batch)?;
            Ok(batch)
        });
        let batch = match checked {
            Ok(batch) => batch,
            Err(error) => return Ok(vec![self.failed(&error)]),
        };
        let mut session = match sessions::find(self.scope()?, &batch.author, batch.session)? {
            Ok(session) => session,
            Err(error) => return Ok(vec![self.failed(&error); batch.instructions.len()]),
        };
        let key = sessions::session_key(&batch.author, batch.session);
        let mut table = self.machine.grants.get(self.scope()?)?;
        let mut outcomes = Vec::with_capacity(batch.instructions.len());
        for (position, instruction) in (0..).zip(&batch.instructions) {
            let outcome = self.instruction(&batch, &table, &mut session, position, instruction)?;
            outcomes.push(outcome);
            if grants::is_touched(self.scope()?) {
                table = self.machine.grants.get(self.scope()?)?;
            }
            // An instruction may have closed the session it is in: then nothing of it is kept, and
            // the rest of the batch is refused.
            if self.scope()?.writes().get(&key) == Some(None) {
                self.books = Writes::new();
                let closed = sessions::not_open(&batch.author, batch.session);
                outcomes.resize(batch.instructions.len(), self.failed(&closed));
                return Ok(outcomes);
            }
        }
        if !self.books.is_empty() {
            self.books.put(key, session.encode_to_vec());
        }
        Ok(outcomes)
    }

    fn instruction(
        &mut self,
        batch: &Batch,
        table: &GrantTable,
        session: &mut v1::SessionState,
        position: u32,
        instruction: &v1::Instruction,
    ) -> Result<v1::Outcome, Halt> {
        let sequence = batch.sequence + u64::from(position);
        let (highest, now_us) = (session.highest, self.timestamp_us);
        let asked = Asked { batch, highest, sequence, instruction, now_us };
        let outcome = match self.machine.verdict(self.scope()?, table, &asked)? {
            Verdict::Decided(outcome) => return Ok(outcome),
            Verdict::Unseated(error) => return Ok(self.failed(&error)),
            Verdict::Refused(error) => self.failed(&error),
            Verdict::Run(image) => self.run(batch, position, instruction, image)?,
        };
        session.highest = session.highest.max(sequence);
        session.used = self.index;
        let digest = digest(instruction);
        sessions::decide(&mut self.books, &batch.author, batch.session, sequence, digest, &outcome);
        Ok(outcome)
    }

    /// Runs one admitted instruction: all of it, or nothing of it, reaches the scope.
    fn run(
        &mut self,
        batch: &Batch,
        position: u32,
        instruction: &v1::Instruction,
        image: Option<v1::ImageInfo>,
    ) -> Result<v1::Outcome, Halt> {
        let context = Context {
            author: batch.author,
            index: self.index,
            position,
            timestamp_us: self.timestamp_us,
            seed: entry_seed(self.seed, self.index, position),
        };
        let mut scope = self.scope.take().ok_or_else(lost_scope)?;
        let savepoint = scope.savepoint();
        let mut events = Events::default();
        let mut fuel = 0;
        let (program, method) = (instruction.program_id.as_str(), instruction.method.as_str());
        let (mut scope, result) = match self.machine.natives.get(program) {
            Some(native) => {
                let mut call =
                    Call { scope: &mut scope, context: &context, events: &mut events, program };
                let result = native.apply(&mut call, method, &instruction.args);
                (scope, Fault::outcome(result)?)
            }
            None => {
                let image = image.ok_or_else(|| Halt::new("a program without an image runs"))?;
                let ran = contract::apply(self.machine, scope, &context, instruction, &image)?;
                self.logs.extend(ran.logs);
                (events, fuel) = (ran.events, ran.fuel);
                (ran.scope, ran.output)
            }
        };
        let result = result.and_then(|output| within_limit(output, &events));
        let outcome = match result {
            Ok(output) => {
                scope.release(savepoint);
                v1::Outcome {
                    index: self.index,
                    result: Some(v1::outcome::Result::Output(output)),
                    events: events.list,
                    fuel,
                }
            }
            Err(error) => {
                scope.rollback(savepoint);
                v1::Outcome { fuel, ..self.failed(&error) }
            }
        };
        self.scope = Some(scope);
        Ok(outcome)
    }

    fn scope(&self) -> Result<&Scope, Halt> {
        self.scope.as_ref().ok_or_else(lost_scope)
    }

    fn failed(&self, error: &Error) -> v1::Outcome {
        v1::Outcome {
            index: self.index,
            result: Some(v1::outcome::Result::Failure(error.into())),
            ..v1::Outcome::default()
        }
    }
}

fn within_limit(output: Vec<u8>, events: &Events) -> Result<Vec<u8>> {
    let bytes = output.len() + events.bytes;
    if bytes <= limits::OUTCOME_BYTES_MAX {
        return Ok(output);
    }
    Err(Error::exhausted(format!(
        "output and events of the instruction: {bytes} bytes, the limit is {}",
        limits::OUTCOME_BYTES_MAX
    )))
}

fn lost_scope() -> Halt {
    Halt::new("the scope of an entry is gone: a defect of the machine")
}
