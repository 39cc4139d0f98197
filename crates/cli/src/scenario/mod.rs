//! Scenarios: what a built contract must do, step by step, in a realm of its own.
//!
//! ```text
//!   file      tests/*.toml: what is written
//!   compare   what came against what was expected
//!   run       a node in a temporary directory, and the steps through a client
//! ```

mod compare;
mod file;
mod run;

pub(crate) use file::Scenario;
pub(crate) use run::{Report, run};
