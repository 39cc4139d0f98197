//! Events: what happened, for those who follow the realm.

use crate::{Error, Result, host};
use serde::Serialize;

/// Emits an event under `topic`. It is delivered once the entry is applied, if the call succeeds.
///
/// # Errors
/// When topic or data are too long, when the call has emitted too much, in a query.
pub fn emit(topic: &str, data: impl AsRef<[u8]>) -> Result<()> {
    host::emit(topic, data.as_ref())
}

/// Emits an event whose data are JSON.
///
/// # Errors
/// As [`emit`], and when `data` cannot be JSON.
pub fn emit_json(topic: &str, data: &(impl Serialize + ?Sized)) -> Result<()> {
    let json = serde_json::to_vec(data)
        .map_err(|error| Error::new(format!("data of event {topic}: {error}")))?;
    emit(topic, json)
}
