//! Errors as guests see them.

use crate::host::{Halt, HostError};
use althing_protocol::{Error, Kind};
use std::borrow::Cow;
use wasmtime::{
    Result, Trap,
    component::{ComponentType, Lower},
};

/// The type `error` of the world, written out.
const WRITTEN_OUT: &str = "record { kind: enum { invalid, not-found, denied, conflict, exhausted, \
                           contract-violation, guest-failed, unavailable, internal }, message: \
                           string }";

/// A signature with `error` in place of what it stands for.
pub(crate) fn shorten(signature: &str) -> String {
    signature.replace(WRITTEN_OUT, "error")
}

/// `kind` of the world.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum WitKind {
    #[component(name = "invalid")]
    Invalid,
    #[component(name = "not-found")]
    NotFound,
    #[component(name = "denied")]
    Denied,
    #[component(name = "conflict")]
    Conflict,
    #[component(name = "exhausted")]
    Exhausted,
    #[component(name = "contract-violation")]
    ContractViolation,
    #[component(name = "guest-failed")]
    GuestFailed,
    #[component(name = "unavailable")]
    Unavailable,
    #[component(name = "internal")]
    Internal,
}

/// `error` of the world.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct WitError {
    kind: WitKind,
    message: String,
}

impl From<Error> for WitError {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            Kind::Invalid => WitKind::Invalid,
            Kind::NotFound => WitKind::NotFound,
            Kind::Denied => WitKind::Denied,
            Kind::Conflict => WitKind::Conflict,
            Kind::Exhausted => WitKind::Exhausted,
            Kind::ContractViolation => WitKind::ContractViolation,
            Kind::GuestFailed => WitKind::GuestFailed,
            Kind::Unavailable => WitKind::Unavailable,
            Kind::Internal => WitKind::Internal,
        };
        Self { kind, message: error.message }
    }
}

/// Why a host function gave nothing.
pub(super) enum Failed {
    /// The guest gets the error and goes on.
    Refused(Error),
    /// The call ends.
    Stopped(wasmtime::Error),
}

impl Failed {
    /// For who looks at what a call did.
    pub(super) fn shown(&self) -> Cow<'static, str> {
        match self {
            Self::Refused(error) => error.to_string().into(),
            Self::Stopped(_) => "ends the call".into(),
        }
    }
}

impl From<HostError> for Failed {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Refused(error) => Self::Refused(error),
            HostError::Halt(halt) => halt.into(),
        }
    }
}

impl From<Halt> for Failed {
    fn from(halt: Halt) -> Self {
        Self::Stopped(wasmtime::Error::new(halt))
    }
}

impl From<wasmtime::Error> for Failed {
    fn from(error: wasmtime::Error) -> Self {
        Self::Stopped(error)
    }
}

impl From<Trap> for Failed {
    fn from(trap: Trap) -> Self {
        Self::Stopped(wasmtime::Error::from(trap))
    }
}

/// What a function with an `error` gives the guest.
pub(super) type Tried<T> = std::result::Result<T, Failed>;
/// The same, as the engine wants it.
pub(super) type Answer<T> = Result<(std::result::Result<T, WitError>,)>;

pub(super) fn answer<T>(tried: Tried<T>) -> Answer<T> {
    match tried {
        Ok(value) => Ok((Ok(value),)),
        Err(Failed::Refused(error)) => Ok((Err(error.into()),)),
        Err(Failed::Stopped(error)) => Err(error),
    }
}
