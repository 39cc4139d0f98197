//! The `althing` command: a thin caller of operations, and `up`, which runs a node.

mod cli;
mod commands;
mod context;
mod exit;
mod ingest;
mod output;
mod package;
mod pages;
mod scenario;
mod signature;
mod template;
mod values;

use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
