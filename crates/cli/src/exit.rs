//! How a command ends: the exit codes, and what goes to stderr.

use althing_protocol::{Error, Kind};
use serde_json::{Value, json};
use std::{fmt::Write as _, io, process::ExitCode};

/// The table of exit codes, as `--help` shows it.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done                 4  denied       8  guest-failed
  1  the answer is no     5  conflict     9  unavailable
  2  invalid              6  exhausted   10  internal
  3  not-found            7  contract-violation";

/// Why a command ends before it is done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something went wrong; it goes to stderr.
    Failed(Error),
    /// The answer is printed, and it is no: a log that does not verify, a question declined.
    Refuted,
    /// Nobody reads stdout any more.
    PipeClosed,
}

/// What a command gives.
pub(crate) type Outcome = Result<(), Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Stop {
    /// The end that failing to write to stdout is.
    pub(crate) fn of_stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::Failed(Error::unavailable(format!("stdout: {error}"))),
        }
    }
}

/// The exit code of a kind of error.
pub(crate) fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Invalid => 2,
        Kind::NotFound => 3,
        Kind::Denied => 4,
        Kind::Conflict => 5,
        Kind::Exhausted => 6,
        Kind::ContractViolation => 7,
        Kind::GuestFailed => 8,
        Kind::Unavailable => 9,
        Kind::Internal => 10,
    }
}

/// Tells stderr what `outcome` was, where there is something to tell, and gives the exit code.
pub(crate) fn finish(outcome: Outcome, json: bool) -> ExitCode {
    match outcome {
        Ok(()) | Err(Stop::PipeClosed) => ExitCode::SUCCESS,
        Err(Stop::Refuted) => ExitCode::from(1),
        Err(Stop::Failed(error)) => {
            eprintln!("{}", if json { document(&error).to_string() } else { text(&error) });
            ExitCode::from(code(error.kind))
        }
    }
}

/// The error for programs: the document that HTTP answers with.
pub(crate) fn document(error: &Error) -> Value {
    let mut inner = json!({ "kind": error.kind, "message": error.message });
    if let Some(ms) = error.retry_after_ms {
        inner["retry_after_ms"] = ms.into();
    }
    json!({ "error": inner })
}

/// The error for people.
pub(crate) fn text(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(ms) = error.retry_after_ms {
        let _ = write!(text, "\ntry again in {ms} ms");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_help_names_it() {
        let codes: BTreeSet<u8> = Kind::ALL.into_iter().map(code).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
        assert!(!codes.contains(&0) && !codes.contains(&1));
        let words: Vec<&str> = HELP.split_whitespace().collect();
        for kind in Kind::ALL {
            let number = code(kind).to_string();
            assert!(
                words.windows(2).any(|w| w == [number.as_str(), kind.name()]),
                "help does not say that {kind} is {number}"
            );
        }
    }

    #[test]
    fn an_error_is_told_with_kind_message_and_time() {
        let error = Error::exhausted("queue: full; wait").retry_after_ms(5);
        assert_eq!(text(&error), "exhausted: queue: full; wait\ntry again in 5 ms");
        assert_eq!(
            document(&error),
            json!({"error": {"kind": "exhausted", "message": "queue: full; wait", "retry_after_ms": 5}})
        );
    }
}
