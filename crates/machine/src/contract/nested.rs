//! A program that calls another one, inside the same scope.
//!
//! The one that calls needs the grant, whoever signed the instruction. What the callee wrote and
//! emitted is undone when it fails; what it logged is not, and what it used is used. No program is
//! entered twice, so none sees another one, or itself, half way.

use super::{Run, host::ContractHost};
use crate::{Context, Halt, Subject, programs};
use althing_protocol::{Error, Result, entry_seed, limits, v1};
use althing_sandbox::{self as sandbox, Callee, Caller, Export, HostError};
use std::sync::Arc;

impl From<Halt> for HostError {
    fn from(halt: Halt) -> Self {
        Self::Halt(sandbox::Halt::new(halt.to_string()))
    }
}

/// A callee that may be called.
struct Admitted {
    image: v1::ImageInfo,
    /// The grant that allows it.
    grant: v1::Grant,
}

impl ContractHost {
    /// Calls `callee`, which with all that it calls may use `fuel`. Gives what became of it, and what
    /// it used.
    ///
    /// # Errors
    /// Why it was not called, or a halt.
    pub(super) fn nested(
        &mut self,
        callee: Callee<'_>,
        fuel: u64,
    ) -> Result<(Result<Vec<u8>>, u64), HostError> {
        let Admitted { image, grant } = self.admit(&callee)?;
        let compiled = self.contracts.compiled(&image)?;
        let start = compiled.nested_start_fuel();
        let Some(fuel_max) = fuel.checked_sub(start) else {
            let text =
                format!("program {}: the fuel left does not reach to start it", callee.program);
            return Ok((Err(Error::exhausted(text)), fuel));
        };
        self.work.nested += 1;
        let waiting = self.chain().map(str::to_owned).collect();
        let run = Run {
            program: callee.program,
            image: &image,
            compiled: &compiled,
            export: if callee.is_query { Export::Query } else { Export::Apply },
            method: callee.method,
            args: callee.args,
            caller: Caller::Program(self.call.program.clone()),
            waiting,
            fuel_max,
            deadline: self.deadline,
        };
        let context = Context { seed: self.nested_seed(), ..self.context.clone() };

        let savepoint = self.work.scope.savepoint();
        let events = self.work.events.mark();
        let outer = self.work.trace.as_mut().map(|trace| trace.enter());
        let contracts = Arc::clone(&self.contracts);
        let (work, finished) = contracts.run(self.work.lend(), context, run)?;
        self.work = work;
        if let (Some(trace), Some(outer)) = (&mut self.work.trace, outer) {
            trace.leave(outer, grant);
        }
        match &finished.output {
            Ok(_) => self.work.scope.release(savepoint),
            Err(_) => {
                self.work.scope.rollback(savepoint);
                self.work.events.rewind(events);
            }
        }
        Ok((finished.output, start.saturating_add(finished.fuel_used)))
    }

    /// Programs that run: those that wait, and this one.
    fn chain(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(String::as_str).chain([self.call.program.as_str()])
    }

    /// The checks of an instruction, for a program in place of an author.
    fn admit(&self, callee: &Callee<'_>) -> Result<Admitted, HostError> {
        let program = callee.program;
        if self.export == Export::Query && !callee.is_query {
            let text = format!("call of {program} in a query: it only reads; use `programs.query`");
            return Err(Error::denied(text).into());
        }
        if self.export == Export::Migrate && !callee.is_query {
            let text = format!(
                "call of {program} in a migration: it changes its own program only; use \
                 `programs.query`, or call it from `apply` later"
            );
            return Err(Error::denied(text).into());
        }
        if self.contracts.natives.contains(program) {
            return Err(Error::invalid(format!(
                "program {program}: is part of the node, and takes instructions from authors only; \
                 programs call contracts"
            ))
            .into());
        }
        let needs = programs::call_need(program, callee.method)?;
        if self.chain().any(|running| running == program) {
            let chain: Vec<&str> = self.chain().collect();
            return Err(Error::conflict(format!(
                "program {program}: runs already, and cannot be entered again before it ends: {} -> \
                 {program}",
                chain.join(" -> ")
            ))
            .into());
        }
        if self.waiting.len() >= limits::CALL_DEPTH_MAX as usize {
            return Err(Error::exhausted(format!(
                "program {program}: {} calls are nested already, which is the limit",
                limits::CALL_DEPTH_MAX
            ))
            .into());
        }
        let scope = &self.work.scope;
        let table = self.contracts.grants.get(scope)?;
        let (subject, now_us) = (Subject::Program(&self.call.program), self.context.timestamp_us);
        let mut granted = None;
        for need in &needs {
            granted = Some(table.granting(subject, need, now_us)?.clone());
        }
        let image = programs::contract(scope, program)??;
        Ok(Admitted { image, grant: granted.unwrap_or_default() })
    }

    /// Each call has a seed of its own. A query has none, wherever it is asked.
    fn nested_seed(&self) -> [u8; 32] {
        match self.deadline {
            Some(_) => self.context.seed,
            None => entry_seed(&self.context.seed, self.context.index, self.work.nested),
        }
    }
}
