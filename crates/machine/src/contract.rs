//! Contracts: WASM programs. The scope of the instruction travels into the sandbox and back.

use crate::{Context, Fault, Halt, LogLine, Machine, context::Events, programs};
use althing_protocol::{Error, Hash, Result, limits, v1};
use althing_sandbox::{
    self as sandbox, Call, CallContext, Export, Finished, HostError, Level, Page, Pair,
};
use althing_state::{Key, Scope, View};
use std::{ops::Bound, sync::Arc};

/// What an `apply` gave, and the scope with what it wrote.
pub(crate) struct Ran {
    pub(crate) scope: Scope,
    pub(crate) output: Result<Vec<u8>>,
    pub(crate) events: Events,
    pub(crate) fuel: u64,
    pub(crate) logs: Vec<LogLine>,
}

/// Runs a contract's `apply` in `scope`. The caller undoes the writes when it failed.
pub(crate) fn apply(
    machine: &Machine,
    scope: Scope,
    context: &Context,
    instruction: &v1::Instruction,
    image: &v1::ImageInfo,
) -> Result<Ran, Halt> {
    let program = instruction.program_id.as_str();
    let host = ContractHost::new(scope, context, program, false);
    let (method, args) = (&instruction.method, &instruction.args);
    let (host, finished) = call(machine, host, image, Export::Apply, method, args)?;
    let Finished { output, fuel_used, .. } = finished;
    Ok(Ran { scope: host.scope, output, events: host.events, fuel: fuel_used, logs: host.logs })
}

/// Asks a contract's `query` about `view`.
pub(crate) fn query(
    machine: &Machine,
    view: View,
    context: &Context,
    program: &str,
    method: &str,
    args: &[u8],
) -> Result<(Vec<u8>, u64, Vec<LogLine>), Fault> {
    if machine.is_native(program) {
        return Err(Error::invalid(format!(
            "program {program}: is native, its queries are operations of their own; \
             `althing ops list` shows them"
        ))
        .into());
    }
    let image = programs::active(&view, program)??;
    let host = ContractHost::new(Scope::new(view), context, program, true);
    let (host, finished) = call(machine, host, &image, Export::Query, method, args)?;
    Ok((finished.output?, finished.fuel_used, host.logs))
}

fn call(
    machine: &Machine,
    host: ContractHost,
    image: &v1::ImageInfo,
    export: Export,
    method: &str,
    args: &[u8],
) -> Result<(ContractHost, Finished), Halt> {
    let hash = Hash::try_from(image.image.as_slice()).map_err(|e| Halt::new(e.message))?;
    let compiled: Arc<sandbox::Image> = match machine.images.image(&hash)? {
        Ok(compiled) => compiled,
        // It was accepted when it was staged: refusing it now is this node's trouble.
        Err(error) => return Err(Halt::new(format!("image {hash}: {error}"))),
    };
    let (fuel, memory_bytes_max) = programs::call_limits(image);
    let output_bytes_max = limits::OUTCOME_BYTES_MAX;
    let call = Call { export, method, args, fuel, memory_bytes_max, output_bytes_max };
    let (mut host, finished) = compiled.call(host, call);
    let finished = finished?;
    if finished.logs_dropped > 0 {
        let text = format!("{} lines dropped: the call logged too much", finished.logs_dropped);
        sandbox::Host::log(&mut host, Level::Warn, &text);
    }
    Ok((host, finished))
}

/// What a contract reaches: its own keyspace, in the scope of its instruction.
struct ContractHost {
    scope: Scope,
    context: CallContext,
    is_query: bool,
    events: Events,
    logs: Vec<LogLine>,
}

impl ContractHost {
    fn new(scope: Scope, context: &Context, program: &str, is_query: bool) -> Self {
        let context = CallContext {
            author: context.author.0,
            index: context.index,
            timestamp_us: context.timestamp_us,
            seed: context.seed,
            program: program.to_owned(),
        };
        Self { scope, context, is_query, events: Events::default(), logs: Vec::new() }
    }

    fn key(&self, key: &[u8]) -> Result<Key, HostError> {
        if key.is_empty() || key.len() > limits::KEY_BYTES_MAX {
            return Err(HostError::Refused(Error::invalid(format!(
                "key: {} bytes, wants 1 to {}",
                key.len(),
                limits::KEY_BYTES_MAX
            ))));
        }
        Ok(Key::new(&self.context.program, key))
    }

    fn check_writable(&self, what: &str) -> Result<(), HostError> {
        match self.is_query {
            true => {
                Err(HostError::Refused(Error::denied(format!("{what} in a query: it only reads"))))
            }
            false => Ok(()),
        }
    }
}

fn halt(error: althing_state::StateError) -> HostError {
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
        self.scope.get(&key).map_err(halt)
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
        self.scope.put(key, value).map_err(HostError::Refused)
    }

    fn db_delete(&mut self, key: &[u8]) -> Result<bool, HostError> {
        self.check_writable("delete")?;
        let key = self.key(key)?;
        let existed = self.scope.get(&key).map_err(halt)?.is_some();
        if existed {
            self.scope.delete(key).map_err(HostError::Refused)?;
        }
        Ok(existed)
    }

    fn db_scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, HostError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let pairs = limit.min(limits::SCAN_PAIRS_MAX);
        let keyspace = &self.context.program;
        let page = self.scope.scan(keyspace, start, prefix, pairs, limits::SCAN_BYTES_MAX);
        let page = page.map_err(halt)?;
        let pairs = page.pairs.into_iter().map(|(key, value)| Pair { key, value });
        Ok(Page { pairs: pairs.collect(), more: page.more })
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn emit(&mut self, topic: &str, data: &[u8]) -> Result<(), HostError> {
        self.check_writable("emit")?;
        self.events.emit(&self.context.program, topic, data).map_err(HostError::Refused)
    }

    fn log(&mut self, level: Level, text: &str) {
        self.logs.push(LogLine {
            index: self.context.index,
            program: self.context.program.clone(),
            level: level_name(level),
            text: text.to_owned(),
        });
    }
}
