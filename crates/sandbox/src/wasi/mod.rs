//! WASI preview 2 for replicated guests: what the runtimes of languages such as Python and
//! JavaScript expect of a system, given by the log.
//!
//! ```text
//!   clocks    the entry's time, and the time that the guest has slept: virtual, so nobody waits
//!   random    a stream that the entry's seed starts
//!   cli       lines of stdout and stderr go to the program's log; stdin is empty; exit fails
//!   nothing   the rest: there is no environment, no file, no socket, and a guest is told so
//! ```
//!
//! Everything here is synchronous, the same on every node, and charged like any other import. A
//! guest that imports nothing of it pays nothing for it.

mod cli;
mod clocks;
mod nothing;
mod random;

use crate::{fault::Broken, imports::Entered, limits, state::State};
use std::borrow::Cow;
use wasmtime::{
    Result,
    component::{Component, Linker, LinkerInstance, ResourceTable, ResourceTableError},
};

pub(crate) use cli::flush;

/// Packages of preview 2, of any version 0.2.
const PACKAGES: &[&str] = &["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// What a guest hears that wants more of WASI than there is.
pub(crate) const REFUSED: &str = "of WASI, version 0.2 of cli, clocks, filesystem, http, io, random \
     and sockets is offered (files, sockets and http as ones that are never there); build it for \
     preview 2, or without WASI";

/// Is `name` an interface of preview 2?
pub(crate) fn offers(name: &str) -> bool {
    canonical(name).is_some()
}

/// The name under which all versions of an interface are defined. The linker takes a component's
/// `@0.2.x` for the same, whatever its x.
fn canonical(name: &str) -> Option<String> {
    let (interface, version) = name.strip_prefix("wasi:")?.split_once('@')?;
    let (package, _) = interface.split_once('/')?;
    let patch = version.strip_prefix("0.2.")?;
    let is_patch = !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit());
    (is_patch && PACKAGES.contains(&package)).then(|| format!("wasi:{interface}@0.2.0"))
}

/// Defines what `component` imports of WASI.
pub(crate) fn define(linker: &mut Linker<State>, component: &Component) -> Result<()> {
    // First everything that it imports as what is not there, then what is there over it.
    linker.allow_shadowing(true);
    nothing::define(linker, component)?;
    clocks::define(linker)?;
    random::define(linker)?;
    cli::define(linker)
}

fn interface<'a>(linker: &'a mut Linker<State>, name: &str) -> Result<LinkerInstance<'a, State>> {
    linker.instance(&format!("wasi:{name}@0.2.0"))
}

/// What a call knows of its system.
pub(crate) struct Wasi {
    slept_us: u64,
    random: Option<Box<blake3::OutputReader>>,
    pollables: ResourceTable,
    stdout: cli::Line,
    stderr: cli::Line,
}

impl Default for Wasi {
    /// Allocates nothing: most guests need none of it.
    fn default() -> Self {
        let mut pollables = ResourceTable::new();
        pollables.set_max_capacity(limits::HANDLES_MAX);
        Self {
            slept_us: 0,
            random: None,
            pollables,
            stdout: cli::Line::default(),
            stderr: cli::Line::default(),
        }
    }
}

/// A guest's fault, in words that follow "it".
fn broken(text: impl Into<Cow<'static, str>>) -> wasmtime::Error {
    wasmtime::Error::new(Broken::Wasi(text.into()))
}

fn handles(error: ResourceTableError) -> wasmtime::Error {
    match error {
        ResourceTableError::Full => {
            broken(format!("has more than {} pollables; drop some", limits::HANDLES_MAX))
        }
        other => broken(format!("used a handle wrongly: {other}")),
    }
}

/// Prices, beside those in [`fuel`](crate::fuel).
mod price {
    /// Reading a clock.
    pub(super) const CLOCK: u64 = 500;
    /// Making a pollable, or looking at one.
    pub(super) const POLLABLE: u64 = 500;
    /// Each pollable that is polled, beside the first.
    pub(super) const POLLED: u64 = 50;
    /// Asking for chance.
    pub(super) const RANDOM: u64 = 500;
    /// A byte of chance.
    pub(super) const RANDOM_PER_BYTE: u64 = 4;
    /// Anything with a stream.
    pub(super) const STREAM: u64 = 500;
    /// A byte that is written: searched for the end of the line, decoded and copied.
    pub(super) const WRITE_PER_BYTE: u64 = 2;
    /// Each line that it ends, kept or dropped.
    pub(super) const LINE: u64 = 200;
    /// What is not there: the arguments are lifted by their types at run time.
    pub(super) const NOTHING: u64 = 2_000;
    /// Each value among them.
    pub(super) const NOTHING_PER_VALUE: u64 = 50;
}
