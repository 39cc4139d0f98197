//! Actors in the machine: instances of one account, with the messages between them.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

#[path = "../common/account.rs"]
mod account;
mod audit;
mod bank;
#[path = "../common/mod.rs"]
mod common;
mod delivery;
mod explained;
mod fairness;
#[path = "../../../sandbox/tests/common/mod.rs"]
mod guests;
mod history;
mod keeper;
mod letters;
mod life;
mod limits;
mod programs;
mod property;
#[path = "../common/relay.rs"]
mod relay;
mod requests;
mod storms;
mod timers;
mod topic_bounds;
mod topics;
mod upgrades;
