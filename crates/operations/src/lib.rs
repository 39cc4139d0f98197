//! What an operation is: a named, versioned, schema-described thing that the node can do, JSON in
//! and JSON out. Knows no feature, no state and no I/O.
//!
//! A *query* reads. A replicated *action* becomes instructions: its two halves, [`Operation::plan`]
//! and [`Operation::render`], are pure, so that a client which holds its own key can run them and
//! sign what lies between. A *local action* changes the node that runs it and nothing else.
//!
//! Grants: queries and local actions are checked here, through [`Authority::allow`], before they
//! run. The instructions of replicated actions are checked at the realm's door and again when they
//! are applied; the verdict at apply counts.

pub mod actor;
pub mod blob;
mod context;
mod descriptor;
mod name;
mod operation;
mod rate;
mod registry;
pub mod session;
pub mod sys;
pub mod text;

pub use context::{Authority, Caller, Context, Freshness, Need};
pub use descriptor::{Descriptor, Descriptors, GrantNeeded, OperationKind};
pub use operation::Operation;
pub use rate::RateLimit;
pub use registry::{Registry, RegistryError};

/// Every replicated action: all that becomes instructions.
pub fn actions() -> Vec<Operation> {
    let mut all = sys::actions();
    all.extend(actor::actions());
    all
}
