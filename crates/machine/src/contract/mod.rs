//! Contracts: WASM programs. What an instruction has done so far travels into the sandbox, from one
//! program to the next, and back.

mod host;
mod nested;

use crate::{
    Context, Fault, Halt, Images,
    actor::TopicCache,
    context::{Events, Logs},
    explain::Trace,
    grants::GrantCache,
    native, programs,
};
use althing_protocol::{Error, Hash, Result, limits, v1};
use althing_sandbox::{self as sandbox, Call, Caller, Deadline, Export, Finished};
use althing_state::{Scope, View};
use host::ContractHost;
use std::{collections::BTreeSet, mem, sync::Arc};

/// What it takes to run contracts. Calls in flight share it.
pub(crate) struct Contracts {
    pub(crate) images: Arc<dyn Images>,
    pub(crate) grants: GrantCache,
    pub(crate) topics: TopicCache,
    /// Programs that are part of the binary: no contract can call them.
    pub(crate) natives: BTreeSet<&'static str>,
}

/// What an instruction has done so far.
pub(crate) struct Work {
    pub(crate) scope: Scope,
    pub(crate) events: Events,
    pub(crate) logs: Logs,
    /// Calls of programs by programs.
    pub(crate) nested: u32,
    /// Only when the run is to be explained.
    pub(crate) trace: Option<Box<Trace>>,
}

impl Work {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope, events: Events::default(), logs: Logs::default(), nested: 0, trace: None }
    }

    /// All of it, for a program that is called. What is put back in its place is the result.
    fn lend(&mut self) -> Self {
        let empty = Self::new(Scope::new(self.scope.view().clone()));
        mem::replace(self, empty)
    }
}

/// One program to run.
struct Run<'a> {
    program: &'a str,
    image: &'a v1::ImageInfo,
    compiled: &'a sandbox::Image,
    export: Export,
    method: &'a str,
    args: &'a [u8],
    caller: Caller,
    /// Programs that wait for this one, the outermost first.
    waiting: Vec<String>,
    /// What it may use, if that is less than what its manifest allows.
    fuel_max: u64,
    deadline: Option<Deadline>,
}

impl Contracts {
    /// Runs a contract's `apply`. The caller undoes the writes when it failed.
    pub(crate) fn apply(
        self: &Arc<Self>,
        work: Work,
        context: &Context,
        instruction: &v1::Instruction,
        image: &v1::ImageInfo,
    ) -> Result<(Work, Finished), Halt> {
        let run = Run {
            program: &instruction.program_id,
            image,
            compiled: &*self.compiled(image)?,
            export: Export::Apply,
            method: &instruction.method,
            args: &instruction.args,
            caller: Caller::Key(context.author.0),
            waiting: Vec::new(),
            fuel_max: u64::MAX,
            deadline: None,
        };
        self.run(work, context.clone(), run)
    }

    /// Asks a contract's `query` about `view`.
    pub(crate) fn query(
        self: &Arc<Self>,
        view: View,
        context: Context,
        program: &str,
        method: &str,
        args: &[u8],
        deadline: Deadline,
    ) -> Result<(Work, Finished), Fault> {
        if self.natives.contains(program) {
            return Err(Error::invalid(format!(
                "program {program}: is native, its queries are operations of their own; \
                 `althing ops list` shows them"
            ))
            .into());
        }
        let image = programs::contract(&view, program)??;
        let run = Run {
            program,
            image: &image,
            compiled: &*self.compiled(&image)?,
            export: Export::Query,
            method,
            args,
            caller: Caller::Key(context.author.0),
            waiting: Vec::new(),
            fuel_max: u64::MAX,
            deadline: Some(deadline),
        };
        Ok(self.run(Work::new(Scope::new(view)), context, run)?)
    }

    /// The active image of a program.
    pub(crate) fn compiled(&self, image: &v1::ImageInfo) -> Result<Arc<sandbox::Image>, Halt> {
        let hash = Hash::try_from(image.image.as_slice()).map_err(|e| Halt::new(e.message))?;
        // It was accepted when it was staged: refusing it now is this node's trouble.
        self.images.image(&hash)?.map_err(|error| Halt::new(format!("image {hash}: {error}")))
    }

    fn run(
        self: &Arc<Self>,
        work: Work,
        context: Context,
        run: Run<'_>,
    ) -> Result<(Work, Finished), Halt> {
        let (fuel, memory_bytes_max) = programs::call_limits(run.image);
        let call = Call {
            export: run.export,
            method: run.method,
            args: run.args,
            fuel: fuel.min(run.fuel_max),
            memory_bytes_max,
            output_bytes_max: limits::OUTCOME_BYTES_MAX,
            deadline: run.deadline,
        };
        let compiled = run.compiled;
        let host = ContractHost::new(Arc::clone(self), work, context, run);
        let (host, finished) = compiled.call(host, call);
        let finished = finished?;
        let mut work = host.into_work();
        work.logs.dropped = work.logs.dropped.saturating_add(finished.logs_dropped);
        Ok((work, finished))
    }
}

/// Tells `image` of `program` that it takes over from another one, whose manifest says `from_version`,
/// if it wants to be told.
///
/// # Errors
/// What it failed with: then nothing of the instruction may be kept.
pub(crate) fn migrate(
    call: &mut native::Call<'_>,
    program: &str,
    image: &v1::ImageInfo,
    from_version: &str,
) -> Result<(), Fault> {
    let contracts = call.guests.contracts;
    let compiled = contracts.compiled(image)?;
    if !compiled.has_migration() {
        return Ok(());
    }
    let run = Run {
        program,
        image,
        compiled: &compiled,
        export: Export::Migrate,
        method: from_version,
        args: &[],
        caller: Caller::Key(call.context.author.0),
        waiting: Vec::new(),
        fuel_max: u64::MAX,
        deadline: None,
    };
    let empty = Scope::new(call.scope.view().clone());
    let work = Work {
        scope: mem::replace(call.scope, empty),
        events: mem::take(call.events),
        logs: mem::take(call.guests.logs),
        nested: *call.guests.nested,
        trace: call.guests.trace.take(),
    };
    let (work, finished) = contracts.run(work, call.context.clone(), run)?;
    *call.scope = work.scope;
    *call.events = work.events;
    *call.guests.logs = work.logs;
    *call.guests.nested = work.nested;
    *call.guests.trace = work.trace;
    *call.guests.fuel = call.guests.fuel.saturating_add(finished.fuel_used);
    finished.output?;
    Ok(())
}
