//! The dispatcher: who may, and where to.

use crate::{
    Halt, Native,
    actor::{Actor, TopicCache},
    contract::Contracts,
    grants::{GrantCache, GrantTable, Read},
    programs,
    sessions::{self, Seat},
    sys::Sys,
};
use althing_protocol::{Batch, Error, Hash, Need, RealmId, Result, v1};
use althing_sandbox::Image;
use althing_state::View;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Where images come from. The realm sees to it that an image is there before it is needed.
pub trait Images: Send + Sync {
    /// The compiled image of `hash`. The inner error is a refusal, the same on every node.
    ///
    /// # Errors
    /// When the image is missing here, or cannot be read.
    fn image(&self, hash: &Hash) -> Result<Result<Arc<Image>>, Halt>;
}

/// The deterministic core of one realm.
pub struct Machine {
    pub(crate) realm: RealmId,
    pub(crate) natives: BTreeMap<&'static str, Box<dyn Native>>,
    pub(crate) contracts: Arc<Contracts>,
}

/// What the door does with a batch.
#[derive(Debug, PartialEq)]
pub enum Admission {
    /// Propose it.
    Propose,
    /// It is a retry of a batch whose instructions are all decided: these are their outcomes.
    Decided(Vec<v1::Outcome>),
}

/// One instruction before its verdict.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) batch: &'a Batch,
    /// Highest number decided in its session.
    pub(crate) highest: u64,
    pub(crate) sequence: u64,
    pub(crate) instruction: &'a v1::Instruction,
    pub(crate) now_us: u64,
}

/// The verdict on one instruction, given at the door and again at apply, where it counts.
pub(crate) enum Verdict {
    /// Run it; a WASM program's active image is at hand already.
    Run(Option<v1::ImageInfo>),
    Decided(v1::Outcome),
    /// It has no seat in its session; nothing is recorded.
    Unseated(Error),
    /// It has a seat and uses it up, but grant or route refuse it.
    Refused(Error),
}

impl Machine {
    /// A machine with `sys`, `actor` and the given native programs.
    ///
    /// # Panics
    /// When two native programs have the same id.
    pub fn new(realm: RealmId, images: Arc<dyn Images>, natives: Vec<Box<dyn Native>>) -> Self {
        let mut table: BTreeMap<_, Box<dyn Native>> = BTreeMap::new();
        let sys: Box<dyn Native> = Box::new(Sys::new(realm, Arc::clone(&images)));
        for native in [sys, Box::new(Actor)].into_iter().chain(natives) {
            let id = native.id();
            assert!(table.insert(id, native).is_none(), "two native programs named {id}");
        }
        let natives = table.keys().copied().collect();
        let (grants, topics) = (GrantCache::default(), TopicCache::default());
        let contracts = Contracts { images, grants, topics, natives };
        Self { realm, natives: table, contracts: Arc::new(contracts) }
    }

    /// Whether `program` is part of the binary.
    pub fn is_native(&self, program: &str) -> bool {
        self.natives.contains_key(program)
    }

    /// The grant table of `view`.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn grants(&self, view: &View) -> Result<Arc<GrantTable>, Halt> {
        self.contracts.grants.get(view)
    }

    /// What the door asks before it proposes a batch whose signature is good: the checks of apply,
    /// on the state of now. The inner error refuses the whole batch.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn admit(
        &self,
        view: &View,
        batch: &Batch,
        now_us: u64,
    ) -> Result<Result<Admission>, Halt> {
        if let Err(error) = self.check_realm(batch) {
            return Ok(Err(error));
        }
        let mut highest = match sessions::find(view, &batch.author, batch.session)? {
            Ok(session) => session.highest,
            Err(error) => return Ok(Err(error)),
        };
        let table = self.contracts.grants.get(view)?;
        let mut decided = Vec::new();
        for (sequence, instruction) in (batch.sequence..).zip(&batch.instructions) {
            let asked = Asked { batch, highest, sequence, instruction, now_us };
            match self.verdict(view, &table, &asked)? {
                Verdict::Run(_) => highest = highest.max(sequence),
                Verdict::Decided(outcome) => decided.push(outcome),
                Verdict::Unseated(error) | Verdict::Refused(error) => return Ok(Err(error)),
            }
        }
        let all = decided.len() == batch.instructions.len();
        Ok(Ok(if all { Admission::Decided(decided) } else { Admission::Propose }))
    }

    pub(crate) fn check_realm(&self, batch: &Batch) -> Result<()> {
        if batch.realm == self.realm {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "envelope for realm {}: this is realm {}; sign for this one",
            batch.realm, self.realm
        )))
    }

    /// Session, then grant and ownership, then route.
    pub(crate) fn verdict(
        &self,
        state: &impl Read,
        table: &GrantTable,
        asked: &Asked<'_>,
    ) -> Result<Verdict, Halt> {
        let Asked { batch, highest, sequence, instruction, now_us } = *asked;
        let author = &batch.author;
        match sessions::seat(state, author, batch.session, highest, sequence, instruction)? {
            Ok(Seat::Free) => {}
            Ok(Seat::Decided(outcome)) => return Ok(Verdict::Decided(outcome)),
            Err(error) => return Ok(Verdict::Unseated(error)),
        }
        let opens = is_session_open(instruction);
        if opens != (batch.session == 0) {
            return Ok(Verdict::Unseated(Error::invalid(
                "session 0 opens sessions and does nothing else: sys/session_open goes there, all \
                 other instructions into an open session",
            )));
        }
        if opens {
            return Ok(match table.knows(author, now_us) {
                true => Verdict::Run(None),
                // Recorded nowhere: a stranger leaves no trace in the state.
                false => Verdict::Unseated(stranger(author)),
            });
        }
        let needs = match self.needs(instruction) {
            Ok(needs) => needs,
            Err(error) => return Ok(Verdict::Refused(error)),
        };
        for need in &needs {
            if let Err(error) = table.allow(author, need, now_us) {
                return Ok(Verdict::Refused(error));
            }
            if let Err(error) = programs::check_manager(state, table, author, need, now_us)? {
                return Ok(Verdict::Refused(error));
            }
        }
        if self.is_native(&instruction.program_id) {
            return Ok(Verdict::Run(None));
        }
        Ok(match programs::contract(state, &instruction.program_id)? {
            Ok(image) => Verdict::Run(Some(image)),
            Err(error) => Verdict::Refused(error),
        })
    }

    /// What the author of `instruction` must be granted.
    ///
    /// # Errors
    /// `invalid` or `not-found`, when a native program refuses method or args.
    pub fn needs(&self, instruction: &v1::Instruction) -> Result<Vec<Need>> {
        match self.natives.get(instruction.program_id.as_str()) {
            Some(native) => native.needs(&instruction.method, &instruction.args),
            None => programs::call_need(&instruction.program_id, &instruction.method),
        }
    }
}

fn is_session_open(instruction: &v1::Instruction) -> bool {
    instruction.program_id == althing_protocol::SYS && instruction.method == "session_open"
}

fn stranger(author: &althing_protocol::PublicKey) -> Error {
    Error::denied(format!(
        "key {author} holds no grant in this realm; who may grant runs, for example: althing grant \
         key:{author} sys/put --prefix /inbox"
    ))
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Machine of realm {}, native: {:?}", self.realm, self.natives.keys())
    }
}
