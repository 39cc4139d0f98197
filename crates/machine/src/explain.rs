//! Looking into a run: what each instruction of an entry did, step by step.
//!
//! The entry is run again, as it was run first; only that notes are taken. What it would write stays
//! with who asked.

use crate::{
    Applied, EntryAt, Halt, Machine,
    apply::EntryRun,
    grants::GrantTable,
    machine::{Asked, Verdict},
};
use althing_protocol::{Need, PublicKey, v1};
use althing_sandbox::Observed;
use althing_state::{Change, View};
use std::mem;

/// Host calls that are noted of one instruction; the rest is counted.
pub const HOST_CALLS_EXPLAINED_MAX: usize = 10_000;

/// What an entry did.
#[derive(Debug)]
pub struct Explained {
    /// What it gave, as [`Machine::apply`] gives it.
    pub applied: Applied,
    /// Its instructions in order. None when the envelope itself is refused: then the outcome says why.
    pub instructions: Vec<InstructionExplained>,
    /// Messages delivered to actors behind them, or by a tick, in order.
    pub deliveries: Vec<DeliveryExplained>,
}

/// What became of a message to an actor.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryExplained {
    /// The actor.
    pub actor: String,
    /// The step that it became, unless it did not even reach the actor.
    pub step: Option<v1::ActorStep>,
    /// Why it is a dead letter now, if it is.
    pub failure: Option<v1::Failure>,
}

/// What an instruction did.
#[derive(Clone, Debug)]
pub struct InstructionExplained {
    /// Who signed it.
    pub author: PublicKey,
    /// The session it is in.
    pub session: u64,
    /// Its number in the session.
    pub sequence: u64,
    /// The instruction.
    pub instruction: v1::Instruction,
    /// Whether it ran. If not, it was refused, or it is a retry of one that was decided before.
    pub ran: bool,
    /// What it needed, and the grants that gave it.
    pub grants: Vec<GrantUsed>,
    /// What its program asked of the host, in order.
    pub calls: Vec<HostCall>,
    /// Host calls beyond [`HOST_CALLS_EXPLAINED_MAX`].
    pub calls_dropped: u64,
    /// What it changed in the state, by key. Nothing, when it failed.
    pub changes: Vec<Change>,
    /// What it gave.
    pub outcome: v1::Outcome,
}

/// A need, and the grant that met it.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantUsed {
    /// What was to be done.
    pub need: Need,
    /// What allows it.
    pub grant: v1::Grant,
}

/// One call of a host function by a program.
#[derive(Clone, Debug, PartialEq)]
pub struct HostCall {
    /// Function, arguments, result and fuel.
    pub observed: Observed,
    /// What the program did that was called, when one was.
    pub callee: Option<CalleeExplained>,
}

/// What a program did that was called by another one.
#[derive(Clone, Debug, PartialEq)]
pub struct CalleeExplained {
    /// What allowed the call.
    pub grant: v1::Grant,
    /// What it asked of the host, in order.
    pub calls: Vec<HostCall>,
}

/// The notes of one instruction that runs.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    calls: Vec<HostCall>,
    noted: usize,
    dropped: u64,
    /// Of the call that is about to be noted.
    callee: Option<CalleeExplained>,
}

impl Trace {
    /// Notes a host call that has ended.
    pub(crate) fn add(&mut self, observed: Observed) {
        let callee = self.callee.take();
        if self.noted == HOST_CALLS_EXPLAINED_MAX {
            self.dropped += 1;
            return;
        }
        self.noted += 1;
        self.calls.push(HostCall { observed, callee });
    }

    /// A program is entered: gives the notes on the one that waits.
    pub(crate) fn enter(&mut self) -> Vec<HostCall> {
        mem::take(&mut self.calls)
    }

    /// It has ended: goes on with the notes on the one that waited.
    pub(crate) fn leave(&mut self, waiting: Vec<HostCall>, grant: v1::Grant) {
        let calls = mem::replace(&mut self.calls, waiting);
        self.callee = Some(CalleeExplained { grant, calls });
    }
}

/// Notes on the instructions of an entry.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) instructions: Vec<InstructionExplained>,
    pub(crate) deliveries: Vec<DeliveryExplained>,
    /// Of the instruction that runs.
    pub(crate) trace: Box<Trace>,
    pub(crate) changes: Vec<Change>,
}

impl Notes {
    /// Notes an instruction that has got its outcome.
    pub(crate) fn instruction(
        &mut self,
        machine: &Machine,
        table: &GrantTable,
        asked: &Asked<'_>,
        verdict: &Verdict,
        outcome: &v1::Outcome,
    ) {
        let trace = mem::take(&mut *self.trace);
        let author = asked.batch.author;
        let needs = machine.needs(asked.instruction).unwrap_or_default();
        let granting = |need: Need| {
            let grant = table.granting(&author, &need, asked.now_us).ok()?.clone();
            Some(GrantUsed { need, grant })
        };
        self.instructions.push(InstructionExplained {
            author,
            session: asked.batch.session,
            sequence: asked.sequence,
            instruction: asked.instruction.clone(),
            ran: matches!(verdict, Verdict::Run(_)),
            grants: needs.into_iter().filter_map(granting).collect(),
            calls: trace.calls,
            calls_dropped: trace.dropped,
            changes: mem::take(&mut self.changes),
            outcome: outcome.clone(),
        });
    }
}

impl Machine {
    /// Runs `at` over `view` like [`apply`](Self::apply), and says what it did.
    ///
    /// # Errors
    /// When this node cannot run it.
    pub fn explain(&self, view: View, at: EntryAt<'_>) -> Result<Explained, Halt> {
        let mut run = EntryRun::new(self, view, &at);
        run.notes = Some(Box::default());
        let (applied, notes) = run.entry(&at)?;
        let Notes { instructions, deliveries, .. } =
            notes.map_or_else(Notes::default, |notes| *notes);
        Ok(Explained { applied, instructions, deliveries })
    }
}
