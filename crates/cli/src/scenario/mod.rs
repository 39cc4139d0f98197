//! Scenarios: what a built program must do, step by step.
//!
//! ```text
//!   file      tests/*.toml: what a contract is asked
//!   run       a node in a temporary directory, and the steps through a client
//!   actors    tests/*.yaml: what actors are sent, with no node
//!   compare   what came against what was expected
//! ```

pub(crate) mod actors;
mod compare;
mod file;
mod run;

pub(crate) use file::Scenario;
pub(crate) use run::{Done, Report, run};

use crate::values::file_error;
use althing_protocol::Result;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files of a folder with one of these endings, by name; none when there is no folder.
fn files(dir: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    match fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries {
                files.push(entry.map_err(|e| file_error(dir, &e))?.path());
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(file_error(dir, &e)),
    }
    let ending =
        |file: &PathBuf| file.extension().and_then(|ending| ending.to_str().map(str::to_owned));
    files.retain(|file| ending(file).is_some_and(|ending| endings.contains(&ending.as_str())));
    files.sort();
    Ok(files)
}
