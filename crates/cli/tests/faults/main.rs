//! Real nodes, real faults: processes of `althing` on this machine are killed, stopped, cut off and
//! robbed of their disks while clients use them. What was acknowledged is there afterwards, once, on
//! every node; what clients saw is what one register per key would have shown them.
//!
//! - `ALTHING_FAULT_SEED=N` chooses what happens to whom. Every test that draws lots prints its seed,
//!   and when the system schedules otherwise the same lots still lead elsewhere.
//! - `ALTHING_FAULT_ROUNDS=N` makes each of the loops N rounds long: some hundreds for a night.
//!
//! What needs root, another tool or a kernel that has it is skipped elsewhere, with a line that says so.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it serves other tests too")]
mod common;

mod behind;
mod cluster;
mod damaged;
mod disks;
mod history;
mod killed;
mod linearizable;
mod load;
mod lots;
mod machine;
mod network;
mod restarted;
mod severed;
mod stopped;
mod transfers;
