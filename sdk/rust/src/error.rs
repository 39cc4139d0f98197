use std::fmt;

/// `Result` with our [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong, in the vocabulary of every surface of Althing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is malformed or breaks a limit; sending it again is pointless.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// It is not allowed here.
    Denied,
    /// The state is not what the request assumed.
    Conflict,
    /// A limit on use is reached.
    Exhausted,
    /// A contract of an actor refused.
    ContractViolation,
    /// A guest trapped or returned an error.
    GuestFailed,
    /// This cannot be served now; later it may.
    Unavailable,
    /// A defect of the machine.
    Internal,
}

/// Why a call fails. Its text becomes the outcome: name the thing, the reason and the remedy.
///
/// The text is part of the replicated state, so it must be the same everywhere: which it is, since
/// a contract knows nothing that differs between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    /// An error of the contract.
    pub fn new(message: impl Into<String>) -> Self {
        Self::of(Kind::GuestFailed, message)
    }

    pub(crate) fn of(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What kind of error it is: one of the host's, or `guest-failed` for the contract's own.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn into_text(self) -> String {
        self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// Returns an error with a formatted text.
#[macro_export]
macro_rules! bail {
    ($($text:tt)*) => { return ::std::result::Result::Err($crate::Error::new(::std::format!($($text)*))) };
}

/// Returns an error with a formatted text unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => { if !$condition { $crate::bail!($($text)*); } };
}
