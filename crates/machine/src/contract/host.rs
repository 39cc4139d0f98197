//! What a contract reaches: its own keyspace, in the scope of its instruction.

use super::{Contracts, Run, Work};
use crate::{Context, LogLine};
use althing_protocol::{Error, Result, limits};
use althing_sandbox::{
    self as sandbox, CallContext, Callee, Deadline, Deleted, Export, HostError, Level, Observed,
    Order, Page, Pair, Range,
};
use althing_state::{self as state, Key};
use std::{ops::Bound, sync::Arc};

/// The host of one running program.
pub(super) struct ContractHost {
    pub(super) contracts: Arc<Contracts>,
    pub(super) work: Work,
    pub(super) context: Context,
    pub(super) call: CallContext,
    pub(super) export: Export,
    /// Programs that wait for this one, the outermost first.
    pub(super) waiting: Vec<String>,
    pub(super) deadline: Option<Deadline>,
}

impl ContractHost {
    pub(super) fn new(
        contracts: Arc<Contracts>,
        work: Work,
        context: Context,
        run: Run<'_>,
    ) -> Self {
        let call = CallContext {
            caller: run.caller,
            author: context.author.0,
            index: context.index,
            timestamp_us: context.timestamp_us,
            seed: context.seed,
            program: run.program.to_owned(),
        };
        let Run { export, waiting, deadline, .. } = run;
        Self { contracts, work, context, call, export, waiting, deadline }
    }

    pub(super) fn into_work(self) -> Work {
        self.work
    }

    fn key(&self, key: &[u8]) -> Result<Key, HostError> {
        if key.is_empty() || key.len() > limits::KEY_BYTES_MAX {
            return Err(HostError::Refused(Error::invalid(format!(
                "key: {} bytes, wants 1 to {}",
                key.len(),
                limits::KEY_BYTES_MAX
            ))));
        }
        Ok(Key::new(&self.call.program, key))
    }

    fn check_writable(&self, what: &str) -> Result<(), HostError> {
        match self.export {
            Export::Query => {
                Err(HostError::Refused(Error::denied(format!("{what} in a query: it only reads"))))
            }
            Export::Apply | Export::Migrate => Ok(()),
        }
    }

    /// A page of the program's own keys.
    fn page(&self, range: state::Range<'_>, limit: usize) -> Result<state::Page, HostError> {
        let pairs = limit.min(limits::SCAN_PAIRS_MAX);
        let scope = &self.work.scope;
        scope.range(&self.call.program, range, pairs, limits::SCAN_BYTES_MAX).map_err(halt)
    }
}

pub(super) fn halt(error: state::StateError) -> HostError {
    HostError::Halt(sandbox::Halt::new(format!("state: {error}")))
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

impl sandbox::Host for ContractHost {
    fn db_get(&mut self, key: &[u8]) -> Result<Option<Arc<[u8]>>, HostError> {
        let key = self.key(key)?;
        self.work.scope.get(&key).map_err(halt)
    }

    fn db_put(&mut self, key: &[u8], value: Arc<[u8]>) -> Result<(), HostError> {
        self.check_writable("put")?;
        if value.len() > limits::VALUE_BYTES_MAX {
            return Err(HostError::Refused(Error::invalid(format!(
                "value: {} bytes, the limit is {}",
                value.len(),
                limits::VALUE_BYTES_MAX
            ))));
        }
        let key = self.key(key)?;
        self.work.scope.put(key, value).map_err(HostError::Refused)
    }

    fn db_delete(&mut self, key: &[u8]) -> Result<Option<usize>, HostError> {
        self.check_writable("delete")?;
        let key = self.key(key)?;
        let value = self.work.scope.get(&key).map_err(halt)?;
        if value.is_some() {
            self.work.scope.delete(key).map_err(HostError::Refused)?;
        }
        Ok(value.map(|value| value.len()))
    }

    fn db_scan(&mut self, range: Range<'_>, order: Order, limit: usize) -> Result<Page, HostError> {
        let range = state::Range {
            prefix: range.prefix,
            start: range.after.map_or(Bound::Unbounded, Bound::Excluded),
            end: range.before.map_or(Bound::Unbounded, Bound::Excluded),
            order: match order {
                Order::Ascending => state::Order::Ascending,
                Order::Descending => state::Order::Descending,
            },
        };
        let page = self.page(range, limit)?;
        let pairs = page.pairs.into_iter().map(|(key, value)| Pair { key, value });
        Ok(Page { pairs: pairs.collect(), more: page.more })
    }

    fn db_delete_prefix(&mut self, prefix: &[u8], limit: usize) -> Result<Deleted, HostError> {
        self.check_writable("delete-prefix")?;
        let page = self.page(state::Range::of_prefix(prefix), limit)?;
        let bytes = page.pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        for (key, _) in &page.pairs {
            let key = Key::new(&self.call.program, key);
            self.work.scope.delete(key).map_err(HostError::Refused)?;
        }
        Ok(Deleted { keys: page.pairs.len(), bytes, more: page.more })
    }

    fn call_program(
        &mut self,
        callee: Callee<'_>,
        fuel: u64,
    ) -> Result<(Result<Vec<u8>>, u64), HostError> {
        self.nested(callee, fuel)
    }

    fn context(&self) -> &CallContext {
        &self.call
    }

    fn emit(&mut self, topic: &str, data: &[u8]) -> Result<(), HostError> {
        self.check_writable("emit")?;
        self.work.events.emit(&self.call.program, topic, data).map_err(HostError::Refused)
    }

    fn log(&mut self, level: Level, text: &str) {
        self.work.logs.add(LogLine {
            index: self.call.index,
            program: self.call.program.clone(),
            actor: None,
            level: level_name(level),
            text: text.to_owned(),
        });
    }

    fn observes(&self) -> bool {
        self.work.trace.is_some()
    }

    fn observe(&mut self, observed: Observed) {
        if let Some(trace) = &mut self.work.trace {
            trace.add(observed);
        }
    }
}
