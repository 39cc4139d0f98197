//! One running realm on one node.
//!
//! ```text
//!   submit ──> door thread ──> proposer ──> log ──> apply thread ──> waiters
//!              signatures in    in order,            machine, tip,     (the proposer's
//!              batches, session, pipelined           chains, views      response)
//!              grant, route                             │ freeze
//!                                                    flusher thread: one sorted transaction
//! ```
//!
//! The door runs what apply runs, on the state of now, and proposes nothing that would fail; the
//! verdict at apply counts. Threads of our own do what must not run on a reactor: the door
//! and the verifier (signatures), apply (guests), the flusher (disk).

mod apply;
mod authors;
mod checkpoint;
mod cluster;
mod divergence;
mod door;
mod explain;
mod fingerprint;
mod flusher;
mod halt;
mod housekeeping;
mod identity;
mod images;
mod logs;
mod operations;
mod options;
mod proposer;
mod queries;
mod reads;
mod realm;
mod repair;
mod replica;
mod show;
mod snapshot;
mod start;
mod status;
#[cfg(test)]
mod testing;
pub mod transfer;
mod verifier;
mod verify;

pub use althing_protocol::Need;
pub use althing_sandbox::{Backend, Reservation};
pub use althing_state::View;
pub use cluster::{CatchUp, Identity};
pub use divergence::{Beginning, ChainsShown, Divergence, ValuesShown};
pub use logs::LoggedLine;
pub use options::{Founding, Options};
pub use reads::{Freshness, LogEntry};
pub use realm::Realm;
pub use repair::Repaired;
pub use show::{
    BytesShown, CallShown, ChangeShown, DeliveryShown, GrantShown, InstructionShown, LogShown,
    ShownCheckpoint, ShownEntry, ShownEvent, ShownExplanation, ShownInstruction, ShownOutcome,
    show_entry, show_event, show_outcome,
};
pub use snapshot::RestoredSnapshot;
pub use status::{Actors, Guests, Status};
pub use verify::{Verified, VerifyRange};
