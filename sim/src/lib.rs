//! The cluster in simulation: real log, real machine, real state; network, disks, clocks and chance
//! are drawn from a seed.
//!
//! ```text
//!   simulation    one run: steps, faults, and what must hold behind every step
//!     |-- faults      what goes wrong, and when
//!     |-- client, operator    who asks: writes, reads, members
//!     |-- node        one run of a node: log, replica, and what the realm does around them
//!     |     |-- net         the log's transport over turmoil's TCP
//!     |     |-- replica     machine over state
//!     |     `-- log_disk, state_disk    lose what was not synced
//!     `-- ledger      what must hold; the first breach ends the run
//! ```
//!
//! A run is a function of its seed: turmoil has one thread, chance comes from the seed, and
//! its runtime keeps out what tokio draws by itself.

mod bug;
mod chance;
mod client;
mod faults;
mod hunt;
mod keys;
mod ledger;
mod log_disk;
mod net;
mod node;
mod operator;
mod panics;
mod power;
mod replica;
mod request;
mod runtime;
mod simulation;
mod state_disk;
mod trace;
mod watch;
mod world;

pub use bug::Bug;
pub use hunt::{hunt, threads};
pub use ledger::Counts;
pub use simulation::{Options, Report, run};
pub use trace::Line;
