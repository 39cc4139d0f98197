//! Running an entry.

use crate::{
    Context, Fault, Halt, Machine,
    actor::{self, Actors, At, Told},
    context::{Events, Logs, digest},
    contract::Work,
    explain::{DeliveryExplained, Notes},
    grants::{self, GrantTable},
    machine::{Asked, Verdict},
    native::{Call, Guests},
    sessions,
};
use althing_protocol::{ACTOR, Batch, Error, Result, entry_seed, limits, v1};
use althing_state::{Scope, View, Writes};
use prost::Message;
use std::mem;

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
    /// The actor that wrote it, when the program is one.
    pub actor: Option<String>,
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text.
    pub text: String,
}

/// One entry while it runs. The scope is absent only while a guest holds it.
pub(crate) struct EntryRun<'a> {
    machine: &'a Machine,
    index: u64,
    timestamp_us: u64,
    seed: &'a [u8],
    scope: Option<Scope>,
    /// Sessions and decided outcomes: apart from the scope, so that no instruction's use of its
    /// budget keeps its verdict from being recorded.
    books: Writes,
    logs: Vec<LogLine>,
    told: Told,
    /// Only when the run is to be explained.
    pub(crate) notes: Option<Box<Notes>>,
}

impl Machine {
    /// Runs `at` over `view`. Signature, session, grant, route: in this order, for each
    /// instruction; the verdict here counts.
    ///
    /// # Errors
    /// When this node cannot go on. A bad instruction is an outcome.
    pub fn apply(&self, view: View, at: EntryAt<'_>) -> Result<Applied, Halt> {
        Ok(EntryRun::new(self, view, &at).entry(&at)?.0)
    }
}

impl<'a> EntryRun<'a> {
    pub(crate) fn new(machine: &'a Machine, view: View, at: &EntryAt<'a>) -> Self {
        Self {
            machine,
            index: at.index,
            timestamp_us: at.entry.timestamp_us.max(view.applied().timestamp_us),
            seed: &at.entry.seed,
            scope: Some(Scope::new(view)),
            books: Writes::new(),
            logs: Vec::new(),
            told: Told::default(),
            notes: None,
        }
    }

    pub(crate) fn entry(mut self, at: &EntryAt<'_>) -> Result<(Applied, Option<Box<Notes>>), Halt> {
        let outcomes = match &at.entry.kind {
            Some(v1::entry::Kind::Signed(signed)) => {
                let outcomes = self.signed(signed, at.is_verified)?;
                self.deliveries()?;
                outcomes
            }
            Some(v1::entry::Kind::Tick(_)) => self.tick()?,
            // What a checkpoint says is compared by the realm.
            Some(v1::entry::Kind::Checkpoint(_)) | None => Vec::new(),
        };
        let mut writes = self.scope.take().ok_or_else(lost_scope)?.into_writes();
        writes.merge(self.books);
        let result = v1::Result { outcomes, writes: writes.digest().0.to_vec() };
        let timestamp_us = self.timestamp_us;
        Ok((Applied { writes, result, timestamp_us, logs: self.logs }, self.notes))
    }

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
        let mut table = self.machine.contracts.grants.get(self.scope()?)?;
        let mut outcomes = Vec::with_capacity(batch.instructions.len());
        for (position, instruction) in (0..).zip(&batch.instructions) {
            let outcome = self.instruction(&batch, &table, &mut session, position, instruction)?;
            outcomes.push(outcome);
            if grants::is_touched(self.scope()?) {
                table = self.machine.contracts.grants.get(self.scope()?)?;
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
        let verdict = self.machine.verdict(self.scope()?, table, &asked)?;
        let outcome = match &verdict {
            Verdict::Decided(outcome) => outcome.clone(),
            Verdict::Unseated(error) | Verdict::Refused(error) => self.failed(error),
            Verdict::Run(image) => self.run(batch, position, instruction, image.as_ref())?,
        };
        if let Some(notes) = &mut self.notes {
            notes.instruction(self.machine, table, &asked, &verdict, &outcome);
        }
        if matches!(verdict, Verdict::Run(_) | Verdict::Refused(_)) {
            session.highest = session.highest.max(sequence);
            session.used = self.index;
            let digest = digest(instruction);
            let books = &mut self.books;
            sessions::decide(books, &batch.author, batch.session, sequence, digest, &outcome);
        }
        Ok(outcome)
    }

    /// Runs one admitted instruction: all of it, or nothing of it, reaches the scope.
    fn run(
        &mut self,
        batch: &Batch,
        position: u32,
        instruction: &v1::Instruction,
        image: Option<&v1::ImageInfo>,
    ) -> Result<v1::Outcome, Halt> {
        let context = Context {
            author: batch.author,
            index: self.index,
            position,
            timestamp_us: self.timestamp_us,
            seed: entry_seed(self.seed, self.index, position),
        };
        let mut work = Work::new(self.scope.take().ok_or_else(lost_scope)?);
        work.trace = self.notes.as_mut().map(|notes| mem::take(&mut notes.trace));
        let savepoint = work.scope.savepoint();
        let (mut work, fuel, result) = self.program(work, &context, instruction, image)?;
        let result = result.and_then(|output| within_limit(output, &work.events));
        if result.is_ok() {
            self.tell(&mut work, &instruction.program_id)?;
        }
        if let Some(notes) = &mut self.notes {
            notes.trace = work.trace.take().unwrap_or_default();
            if result.is_ok() {
                notes.changes = work.scope.changes()?;
            }
        }
        let outcome = match result {
            Ok(output) => {
                work.scope.release(savepoint);
                v1::Outcome {
                    index: self.index,
                    result: Some(v1::outcome::Result::Output(output)),
                    events: work.events.list,
                    fuel,
                }
            }
            Err(error) => {
                work.scope.rollback(savepoint);
                v1::Outcome { fuel, ..self.failed(&error) }
            }
        };
        self.scope = Some(work.scope);
        self.logs.extend(work.logs.into_lines(self.index, &instruction.program_id));
        Ok(outcome)
    }

    /// Runs a native program or a contract. Gives back what it did, its fuel, and its output.
    fn program(
        &self,
        mut work: Work,
        context: &Context,
        instruction: &v1::Instruction,
        image: Option<&v1::ImageInfo>,
    ) -> Result<(Work, u64, Result<Vec<u8>>), Halt> {
        let contracts = &self.machine.contracts;
        let program = instruction.program_id.as_str();
        let Some(native) = self.machine.natives.get(program) else {
            let image = image.ok_or_else(|| Halt::new("a program without an image runs"))?;
            let (work, finished) = contracts.apply(work, context, instruction, image)?;
            return Ok((work, finished.fuel_used, finished.output));
        };
        let mut fuel = 0;
        let Work { scope, events, logs, nested, trace } = &mut work;
        let guests = Guests { contracts, logs, nested, trace, fuel: &mut fuel };
        let mut call = Call { scope, context, events, program, guests };
        let result = native.apply(&mut call, &instruction.method, &instruction.args);
        Ok((work, fuel, Fault::outcome(result)?))
    }

    /// Tells actors what an instruction that succeeded emitted and changed.
    fn tell(&mut self, work: &mut Work, program: &str) -> Result<(), Halt> {
        let mut actors = Actors {
            scope: &mut work.scope,
            contracts: &self.machine.contracts,
            at: At { index: self.index, timestamp_us: self.timestamp_us },
            logs: &mut work.logs,
            fuel: 0,
        };
        actors.tell(program, &work.events.list, &mut self.told)
    }

    /// Delivers mail, when instructions of this entry brought some.
    fn deliveries(&mut self) -> Result<(), Halt> {
        if !actor::has_mail(self.scope()?)? {
            return Ok(());
        }
        let (deliveries, fuel) = (limits::ENTRY_DELIVERIES_MAX, limits::DELIVERIES_FUEL_MAX);
        self.actors(|actors, _, seen| actors.deliver(deliveries, fuel, seen))?;
        Ok(())
    }

    /// Does what is due. What it emits for its part is the outcome of no instruction, but of the tick.
    fn tick(&mut self) -> Result<Vec<v1::Outcome>, Halt> {
        let mut events = Events::default();
        let fuel = self.actors(|actors, told, seen| {
            actors.tick(&mut events, seen)?;
            Ok(actors.tell(ACTOR, &events.list, told)?)
        })?;
        if events.list.is_empty() {
            return Ok(Vec::new());
        }
        let (index, events) = (self.index, events.list);
        let result = Some(v1::outcome::Result::Output(Vec::new()));
        Ok(vec![v1::Outcome { index, result, events, fuel }])
    }

    /// Has something done that no instruction asks for. Gives the fuel that it took.
    fn actors(
        &mut self,
        run: impl FnOnce(&mut Actors<'_>, &mut Told, Seen<'_>) -> Result<(), Fault>,
    ) -> Result<u64, Halt> {
        let mut logs = Logs::default();
        let mut actors = Actors {
            scope: self.scope.as_mut().ok_or_else(lost_scope)?,
            contracts: &self.machine.contracts,
            at: At { index: self.index, timestamp_us: self.timestamp_us },
            logs: &mut logs,
            fuel: 0,
        };
        let seen = self.notes.as_mut().map(|notes| &mut notes.deliveries);
        actor::settled(run(&mut actors, &mut self.told, seen))?;
        let fuel = actors.fuel;
        self.logs.extend(logs.into_lines(self.index, ACTOR));
        Ok(fuel)
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

/// Where it is noted what became of messages, when a run is to be explained.
type Seen<'a> = Option<&'a mut Vec<DeliveryExplained>>;

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
