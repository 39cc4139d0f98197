//! One vocabulary of errors for every surface.

use crate::{limits, v1};
use std::fmt;

/// `Result` with our [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong: what a program can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The request is malformed or breaks a limit; sending it again is pointless.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// A grant is missing.
    Denied,
    /// The state is not what the request assumed.
    Conflict,
    /// A limit on use is reached; later it may work.
    Exhausted,
    /// A contract of an actor refused.
    ContractViolation,
    /// A guest trapped or returned an error.
    GuestFailed,
    /// The node cannot serve this now; another one, or later, may.
    Unavailable,
    /// A defect of ours.
    Internal,
}

impl Kind {
    /// All kinds, in the order of the protocol.
    pub const ALL: [Self; 9] = [
        Self::Invalid,
        Self::NotFound,
        Self::Denied,
        Self::Conflict,
        Self::Exhausted,
        Self::ContractViolation,
        Self::GuestFailed,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The name on every surface.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Conflict => "conflict",
            Self::Exhausted => "exhausted",
            Self::ContractViolation => "contract-violation",
            Self::GuestFailed => "guest-failed",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error with a kind, and a message that names the thing, the reason and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Error {
    /// What a program can act on.
    pub kind: Kind,
    /// What a person can act on.
    pub message: String,
    /// When to try again, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

macro_rules! constructors {
    ($($name:ident $kind:ident),* $(,)?) => {
        $(
            #[doc = concat!("An error of kind [`Kind::", stringify!($kind), "`].")]
            pub fn $name(message: impl Into<String>) -> Self {
                Self::new(Kind::$kind, message)
            }
        )*
    };
}

impl Error {
    /// An error; its text is cut at [`limits::ERROR_TEXT_BYTES_MAX`].
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > limits::ERROR_TEXT_BYTES_MAX {
            message.truncate(message.floor_char_boundary(limits::ERROR_TEXT_BYTES_MAX));
        }
        Self { kind, message, retry_after_ms: None }
    }

    constructors! {
        invalid Invalid,
        not_found NotFound,
        denied Denied,
        conflict Conflict,
        exhausted Exhausted,
        contract_violation ContractViolation,
        guest_failed GuestFailed,
        unavailable Unavailable,
        internal Internal,
    }

    /// The same error, with a time after which to try again.
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl From<&Error> for v1::Failure {
    fn from(error: &Error) -> Self {
        let kind = match error.kind {
            Kind::Invalid => v1::Kind::Invalid,
            Kind::NotFound => v1::Kind::NotFound,
            Kind::Denied => v1::Kind::Denied,
            Kind::Conflict => v1::Kind::Conflict,
            Kind::Exhausted => v1::Kind::Exhausted,
            Kind::ContractViolation => v1::Kind::ContractViolation,
            Kind::GuestFailed => v1::Kind::GuestFailed,
            Kind::Unavailable => v1::Kind::Unavailable,
            Kind::Internal => v1::Kind::Internal,
        };
        Self {
            kind: kind.into(),
            message: error.message.clone(),
            retry_after_ms: error.retry_after_ms.unwrap_or(0),
        }
    }
}

impl From<&v1::Failure> for Error {
    fn from(failure: &v1::Failure) -> Self {
        let kind = match failure.kind() {
            v1::Kind::Invalid => Kind::Invalid,
            v1::Kind::NotFound => Kind::NotFound,
            v1::Kind::Denied => Kind::Denied,
            v1::Kind::Conflict => Kind::Conflict,
            v1::Kind::Exhausted => Kind::Exhausted,
            v1::Kind::ContractViolation => Kind::ContractViolation,
            v1::Kind::GuestFailed => Kind::GuestFailed,
            v1::Kind::Unavailable => Kind::Unavailable,
            v1::Kind::Internal | v1::Kind::Unspecified => Kind::Internal,
        };
        let retry = (failure.retry_after_ms > 0).then_some(failure.retry_after_ms);
        Self { retry_after_ms: retry, ..Self::new(kind, failure.message.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in Kind::ALL {
            let error = Error::new(kind, "thing: reason; remedy").retry_after_ms(7);
            assert_eq!(Error::from(&v1::Failure::from(&error)), error);
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let error = Error::invalid("ä".repeat(limits::ERROR_TEXT_BYTES_MAX));
        assert_eq!(error.message.len(), limits::ERROR_TEXT_BYTES_MAX);
    }
}
