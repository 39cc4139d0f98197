//! Running what others wrote.

use althing_protocol::{Error, Result};
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Runs `command` to its end; what it says goes to stderr. `remedy` says what to do when it fails.
///
/// # Errors
/// `unavailable` when it cannot be started, `invalid` when it fails.
pub(crate) fn run(command: &mut Command, remedy: &str) -> Result<()> {
    let name = name(command);
    // stdout belongs to the answer of who called.
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|e| Error::unavailable(format!("{name}: cannot be started: {e}; {remedy}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::invalid(format!("{name}: {status}; {remedy}")))
}

/// Whether `command` can be run, and succeeds. Nothing of what it says is shown.
pub(crate) fn works(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn name(command: &Command) -> String {
    Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned()
}
