//! Scenarios of actors: messages, and what must come of them, with no node.
//!
//! ```text
//!   file    the YAML: what is written
//!   stage   the actors and their mailboxes: messages are delivered as a realm delivers them
//!   run     the steps, judged
//! ```

mod file;
mod run;
mod stage;

pub(crate) use file::Scenario;
pub(crate) use run::{Cast, run};
