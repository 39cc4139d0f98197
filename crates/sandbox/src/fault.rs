//! Why a call stopped, sorted into the guest's fault and the node's.

use crate::{Halt, limits};
use althing_protocol::Kind;
use std::borrow::Cow;
use wasmtime::{Error, OutOfMemory, PoolConcurrencyLimitError, Trap, WasmtimeBug};

/// A rule of ours that a guest broke, raised in a host function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("trapped: stack overflow (recursion too deep)")]
    Depth,
    #[error(
        "called the import {0} while it was instantiated; do that in an exported function instead"
    )]
    Starting(&'static str),
    #[error("{0}")]
    Wasi(Cow<'static, str>),
    #[error("passed a text to {0} that is not valid Unicode")]
    Text(&'static str),
    /// What an actor sent, in words that follow "it".
    #[error("{1}")]
    Send(Kind, String),
}

/// How a call stopped that did not return.
#[derive(Debug)]
pub(crate) enum Stop {
    /// An outcome. The text holds nothing that differs between machines.
    Guest(Kind, String),
    /// The deadline passed: not an outcome, and only a query has one.
    Late,
    /// Not an outcome.
    Node(Halt),
}

impl Stop {
    /// How a call stopped that failed with `error`. `ran` says whether code of the guest has run.
    pub(crate) fn new(error: &Error, ran: bool) -> Self {
        if let Some(halt) = error.downcast_ref::<Halt>() {
            return Self::Node(halt.clone());
        }
        if let Some(broken) = error.downcast_ref::<Broken>() {
            let kind = match broken {
                Broken::Send(kind, _) => *kind,
                _ => Kind::GuestFailed,
            };
            return Self::Guest(kind, broken.to_string());
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return Self::from(*trap);
        }
        if is_node(error) || !ran {
            return Self::Node(Halt::new(format!("running a guest: {error:#}")));
        }
        // What is left are values that the guest passed or returned. The engine's words for it are
        // its own business and may change with its version, so they stay out of the outcome.
        let text = format!(
            "broke the canonical ABI: it passed or returned a value that is malformed, out of \
             bounds or larger than {} bytes",
            limits::TRANSFER_BYTES_MAX
        );
        Self::Guest(Kind::GuestFailed, text)
    }
}

/// Did the host run out of something, or is it wrong itself?
pub(crate) fn is_node(error: &Error) -> bool {
    error.is::<OutOfMemory>()
        || error.is::<PoolConcurrencyLimitError>()
        || error.is::<WasmtimeBug>()
        || error.is::<std::io::Error>()
        // What the engine's own system calls fail with.
        || error.is::<rustix::io::Errno>()
}

impl From<Trap> for Stop {
    fn from(trap: Trap) -> Self {
        let why = match trap {
            Trap::OutOfFuel => {
                return Self::Guest(
                    Kind::Exhausted,
                    "used all its fuel; do less in one call, or raise fuel_max in its manifest"
                        .into(),
                );
            }
            Trap::Interrupt => return Self::Late,
            // Where it comes differs by processor. The meter comes first, or is wrong.
            Trap::StackOverflow => {
                return Self::Node(Halt::new(
                    "a guest overflowed the native stack, which its meter should not let it: this \
                     is a defect of the sandbox",
                ));
            }
            Trap::UnreachableCodeReached => "unreachable code (a panic or an abort)",
            Trap::MemoryOutOfBounds => "memory access out of bounds",
            Trap::TableOutOfBounds => "table access out of bounds",
            Trap::IndirectCallToNull => "call of a null function",
            Trap::BadSignature => "call of a function of another type",
            Trap::IntegerOverflow => "integer overflow",
            Trap::IntegerDivisionByZero => "integer division by zero",
            Trap::BadConversionToInteger => "conversion of a float that is no integer",
            Trap::CannotEnterComponent => "entered while it must not be",
            Trap::CannotLeaveComponent => "called an import where it must not",
            Trap::InvalidChar => "invalid character",
            Trap::StringOutOfBounds => "string out of bounds",
            Trap::ListOutOfBounds => "list out of bounds",
            // Traps of proposals that are off: they cannot happen, and have one text if they do.
            _ => "an operation that is not offered",
        };
        Self::Guest(Kind::GuestFailed, format!("trapped: {why}"))
    }
}
