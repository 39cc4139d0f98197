//! Other programs of the realm.
//!
//! This program needs the grant for what it calls, whoever signed the instruction: `althing grant
//! program:THIS OTHER/METHOD`. The other one sees this program as its
//! [`context::caller`](crate::context::caller).
//!
//! When a call fails, what the other program wrote and emitted is undone, and the error is returned:
//! this program may go on. What the call used of the fuel is used.

use crate::{Error, Result, host};
use serde::{Serialize, de::DeserializeOwned};

/// Runs an instruction of `program`.
///
/// # Errors
/// What the other program failed with, as `guest-failed`; `denied` without a grant, and in a query or
/// a migration; `not-found`; `conflict` when it runs already; `exhausted` beyond eight nested calls.
pub fn call(program: &str, method: &str, args: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    host::call_program(program, method, args.as_ref(), false)
}

/// Asks a query of `program`. Allowed in a query too.
///
/// # Errors
/// As [`call`].
pub fn query(program: &str, method: &str, args: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    host::call_program(program, method, args.as_ref(), true)
}

/// As [`call`], with JSON in and out.
///
/// # Errors
/// As [`call`], and when the output is not a `T`.
pub fn call_json<T: DeserializeOwned>(
    program: &str,
    method: &str,
    args: &(impl Serialize + ?Sized),
) -> Result<T> {
    decode(program, method, &call(program, method, encode(program, method, args)?)?)
}

/// As [`query`], with JSON in and out.
///
/// # Errors
/// As [`query`], and when the answer is not a `T`.
pub fn query_json<T: DeserializeOwned>(
    program: &str,
    method: &str,
    args: &(impl Serialize + ?Sized),
) -> Result<T> {
    decode(program, method, &query(program, method, encode(program, method, args)?)?)
}

fn encode(program: &str, method: &str, args: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
    serde_json::to_vec(args)
        .map_err(|error| Error::new(format!("args of {program}/{method}: {error}")))
}

fn decode<T: DeserializeOwned>(program: &str, method: &str, output: &[u8]) -> Result<T> {
    serde_json::from_slice(output)
        .map_err(|error| Error::new(format!("output of {program}/{method}: {error}")))
}
