//! Programs as their authors have them: a project, how it is built and tested, the package it becomes.
//!
//! ```text
//!   Project    a directory with `althing.toml` and sources in Rust, Python or JavaScript
//!   Tools      what builds need besides: installed where the system has it, else in a directory
//!   Manifest   `althing.toml`
//! ```
//!
//! A build shows what the compiler says as it says it, on stderr. The error that comes back has one
//! line more: what to do.

mod command;
mod fresh;
mod install;
mod js;
mod manifest;
mod prepare;
mod project;
mod python;
mod rust;

pub use install::{Tools, debian_has, debian_install};
pub use manifest::Manifest;
pub use project::{Built, Language, Project};
