//! An explanation as JSON shows it.

use super::{ShownInstruction, ShownOutcome, show_args, show_outcome};
use crate::{LogEntry, halt::internal};
use althing_machine::{DeliveryExplained, Explained, HostCall, InstructionExplained};
use althing_operations::{
    actor::{ShownFailure, ShownStep},
    text,
};
use althing_protocol::{Error, Result, SYS, v1};
use althing_state::{Change, Value as Stored};
use data_encoding::HEXLOWER;
use prost::Message;
use schemars::JsonSchema;
use serde::Serialize;

/// Bytes of a key or a value that are shown; of a longer one, its start.
const SHOWN_BYTES_MAX: usize = 1_024;
/// Changes of an instruction that are shown; the rest is counted.
const CHANGES_MAX: usize = 10_000;

/// What an entry did, run again.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ShownExplanation {
    /// The entry.
    pub index: u64,
    /// The entry whose state the log was run from; 0 is genesis.
    pub replayed_from: u64,
    /// Its instructions in order.
    pub instructions: Vec<InstructionShown>,
    /// Messages that were delivered to actors, behind the instructions or by a tick, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<DeliveryShown>,
    /// Why the envelope was refused as a whole, when it was: there are no instructions then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Digest of all its writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes_digest: Option<String>,
    /// Lines that programs logged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogShown>,
    /// Whether the result is the one that this node recorded; absent when it keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agrees: Option<bool>,
    /// The recorded outcomes, when they are others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<ShownOutcome>,
    /// The recorded digest of writes, when the result is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_writes_digest: Option<String>,
}

/// What an instruction did.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct InstructionShown {
    /// Who signed it.
    pub author: String,
    /// The author's session.
    pub session: u64,
    /// Its number in the session.
    pub sequence: u64,
    /// Whether it ran; if not, it was refused, or is a retry of one that was decided before.
    pub ran: bool,
    /// What was to be done, and what it gave.
    #[serde(flatten)]
    pub instruction: ShownInstruction,
    /// What it needed, and the grants that gave it.
    pub grants: Vec<GrantShown>,
    /// What its program asked of the host, in order.
    pub calls: Vec<CallShown>,
    /// Further ones.
    #[serde(skip_serializing_if = "is_zero")]
    pub calls_dropped: u64,
    /// What changed in the state, by key.
    pub writes: Vec<ChangeShown>,
    /// Further ones.
    #[serde(skip_serializing_if = "is_zero")]
    pub writes_dropped: u64,
}

/// A message that was delivered to an actor, or could not be.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DeliveryShown {
    /// The actor.
    pub actor: String,
    /// The step that it became; absent when it did not even reach the actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<ShownStep>,
    /// Why it is a dead letter, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<ShownFailure>,
}

impl From<DeliveryExplained> for DeliveryShown {
    fn from(told: DeliveryExplained) -> Self {
        let DeliveryExplained { actor, step, failure } = told;
        Self { actor, step: step.map(ShownStep::from), failure: failure.map(ShownFailure::from) }
    }
}

/// A need and the grant that met it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct GrantShown {
    /// What was to be done.
    pub need: String,
    /// Whom the grant is given to.
    pub subject: String,
    /// The program it is for, or `*`.
    pub program: String,
    /// The method, or `*`.
    pub method: String,
    /// Where it reaches; empty is everywhere.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

/// A call of a host function.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CallShown {
    /// The function.
    pub function: String,
    /// Its arguments, long ones cut.
    pub args: Vec<(String, String)>,
    /// What it gave, if anything.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub result: String,
    /// What it cost, and what the program cost that it called.
    pub fuel: u64,
    /// The grant that let it call another program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_to: Option<String>,
    /// What that program asked of the host, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallShown>,
}

/// A key that was written.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ChangeShown {
    /// Whose it is: a program, or one of the machine's own keyspaces.
    pub keyspace: String,
    /// The key.
    pub key: BytesShown,
    /// Its value before; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<BytesShown>,
    /// Its value after; absent when it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<BytesShown>,
}

/// Bytes, or the start of them.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct BytesShown {
    /// As text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// In base64, if it is no text that people read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// How many there are in all.
    pub bytes: u64,
}

/// A line of a program's log.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LogShown {
    /// The program.
    pub program: String,
    /// The actor that wrote it, when the program is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The text.
    pub text: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What running `item` again gave; nothing, for an entry of the consensus engine's own.
pub(crate) fn show_explanation(
    item: &LogEntry,
    replayed_from: u64,
    explained: Option<Explained>,
) -> Result<ShownExplanation> {
    let mut shown = ShownExplanation {
        index: item.index,
        replayed_from,
        instructions: Vec::new(),
        deliveries: Vec::new(),
        refused: None,
        writes_digest: None,
        logs: Vec::new(),
        agrees: None,
        recorded: Vec::new(),
        recorded_writes_digest: None,
    };
    let Some(explained) = explained else { return Ok(shown) };
    let result = explained.applied.result;
    shown.writes_digest = Some(HEXLOWER.encode(&result.writes));
    if explained.instructions.is_empty() {
        shown.refused = result.outcomes.iter().find_map(failure);
    }
    let lines = explained.applied.logs.into_iter();
    shown.logs = lines
        .map(|line| LogShown {
            program: line.program,
            actor: line.actor,
            level: line.level.to_owned(),
            text: line.text,
        })
        .collect();
    let programs: Vec<_> =
        explained.instructions.iter().map(|told| told.instruction.clone()).collect();
    shown.instructions = explained.instructions.into_iter().map(instruction).collect();
    shown.deliveries = explained.deliveries.into_iter().map(DeliveryShown::from).collect();
    let recorded = item.result.as_deref().map(v1::Result::decode).transpose().map_err(internal)?;
    shown.agrees = recorded.as_ref().map(|recorded| *recorded == result);
    if let Some(recorded) = recorded.filter(|recorded| *recorded != result) {
        shown.recorded_writes_digest = Some(HEXLOWER.encode(&recorded.writes));
        let outcomes = programs.iter().zip(recorded.outcomes);
        shown.recorded = outcomes.map(|(of, outcome)| show_outcome(of, outcome)).collect();
    }
    Ok(shown)
}

fn failure(outcome: &v1::Outcome) -> Option<String> {
    match &outcome.result {
        Some(v1::outcome::Result::Failure(failure)) => Some(Error::from(failure).to_string()),
        _ => None,
    }
}

fn instruction(told: InstructionExplained) -> InstructionShown {
    let outcome = Some(show_outcome(&told.instruction, told.outcome));
    let (args, args_base64) = show_args(&told.instruction);
    let v1::Instruction { program_id, method, .. } = told.instruction;
    let grants = told.grants.into_iter().map(|used| GrantShown {
        need: used.need.to_string(),
        subject: used.grant.subject,
        program: used.grant.program,
        method: used.grant.method,
        prefix: used.grant.prefix.escape_ascii().to_string(),
    });
    InstructionShown {
        author: told.author.to_string(),
        session: told.session,
        sequence: told.sequence,
        ran: told.ran,
        instruction: ShownInstruction { program: program_id, method, args, args_base64, outcome },
        grants: grants.collect(),
        calls: told.calls.into_iter().map(call).collect(),
        calls_dropped: told.calls_dropped,
        writes_dropped: told.changes.len().saturating_sub(CHANGES_MAX) as u64,
        writes: told.changes.iter().take(CHANGES_MAX).map(change).collect(),
    }
}

/// Programs nest at most as deep as the machine lets them.
fn call(call: HostCall) -> CallShown {
    let args = call.observed.args.into_iter().map(|(name, value)| (name.to_owned(), value));
    let (granted_to, calls) = match call.callee {
        Some(callee) => {
            let grant = callee.grant;
            let granted = format!("{} {}/{}", grant.subject, grant.program, grant.method);
            (Some(granted), callee.calls.into_iter().map(self::call).collect())
        }
        None => (None, Vec::new()),
    };
    CallShown {
        function: call.observed.function.to_owned(),
        args: args.collect(),
        result: call.observed.result,
        fuel: call.observed.fuel,
        granted_to,
        calls,
    }
}

fn change(change: &Change) -> ChangeShown {
    let keyspace = change.key.keyspace().to_owned();
    let value = |stored: &Stored| match keyspace == SYS {
        // Revisions are stored before the value.
        true => match althing_machine::sys::decode_pair(stored) {
            Ok(pair) => bytes(pair.value),
            Err(_) => bytes(stored),
        },
        false => bytes(stored),
    };
    ChangeShown {
        key: bytes(change.key.key()),
        old: change.old.as_ref().map(value),
        new: change.new.as_ref().map(value),
        keyspace,
    }
}

fn bytes(bytes: &[u8]) -> BytesShown {
    let mut start = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    // A cut within a character does not make the rest binary.
    if let Err(error) = std::str::from_utf8(start)
        && start.len() < bytes.len()
        && error.error_len().is_none()
    {
        start = &start[..error.valid_up_to()];
    }
    let is_readable =
        |text: &&str| !text.contains(|c: char| c.is_control() && !"\n\r\t".contains(c));
    let text = std::str::from_utf8(start).ok().filter(is_readable).map(str::to_owned);
    let base64 = text.is_none().then(|| text::encode_base64(start));
    BytesShown { text, base64, bytes: bytes.len() as u64 }
}
