//! `althing inspect`.

use crate::{
    context::Context,
    exit::{Outcome, Stop},
    output::{self, fields},
    values::file_error,
};
use althing_protocol::{Hash, Result, limits};
use althing_sandbox::{Import, Report};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// Show what a component is, and what a realm would refuse about it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs no node. The exit code is 1 when a realm would refuse the component.

Examples:
  althing inspect build/guestbook.wasm
  althing inspect counter.wasm --json")]
pub(crate) struct Args {
    /// The component, a .wasm file
    file: PathBuf,
}

pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    let image = image(&args.file)?;
    let (report, hash) = (althing_sandbox::report(&image), Hash::of(&image));
    context.out.show(&document(&report, &hash), || {
        let mut text = fields(&summary(&report, &hash));
        text.push_str(&refusals(&report));
        text
    })?;
    if report.refusals.is_empty() { Ok(()) } else { Err(Stop::Refuted) }
}

/// What is to be said about the file `file`.
pub(super) fn read(file: &Path) -> Result<Report> {
    Ok(althing_sandbox::report(&image(file)?))
}

/// The file, whatever is in it. Of one that is too large, enough to see that.
fn image(file: &Path) -> Result<Vec<u8>> {
    let mut image = Vec::new();
    let head = File::open(file)
        .and_then(|open| open.take(limits::IMAGE_BYTES_MAX as u64 + 1).read_to_end(&mut image));
    head.map_err(|e| file_error(file, &e))?;
    Ok(image)
}

/// For programs.
pub(super) fn document(report: &Report, hash: &Hash) -> Value {
    let imports = report.imports.iter();
    let imports = imports.map(|i| json!({ "name": i.name, "offered": i.offered }));
    json!({
        "kind": report.kind.map(|kind| kind.to_string()),
        "hash": hash.to_string(),
        "bytes": report.bytes,
        "imports": imports.collect::<Vec<_>>(),
        "exports": report.exports,
        "optional_exports": report.optional_exports,
        "modules": report.modules,
        "functions": report.functions,
        "largest_function": report.largest_function.as_ref().map(|function| json!({
            "module": function.module, "index": function.index, "name": function.name,
            "bytes": function.bytes,
        })),
        "memory_bytes_min": report.memory_bytes_min,
        "accepted": report.refusals.is_empty(),
        "refusals": report.refusals,
    })
}

/// For people.
pub(super) fn summary(report: &Report, hash: &Hash) -> Vec<(&'static str, String)> {
    let count = |n: u32| output::number(n.into());
    let mut pairs = vec![
        ("kind", report.kind.map_or("none that a realm runs".to_owned(), |kind| kind.to_string())),
        ("hash", hash.to_string()),
        ("size", output::size(report.bytes)),
        ("code", format!("{} functions, core modules {}", count(report.functions), report.modules)),
        ("memory", format!("starts with {}", output::size(report.memory_bytes_min))),
    ];
    if let Some(largest) = &report.largest_function {
        let name = largest.name.clone().unwrap_or_else(|| format!("number {}", largest.index));
        let size = output::size(largest.bytes);
        pairs.push((
            "largest function",
            format!("{name} of core module {}, {size}", largest.module),
        ));
    }
    // What every runtime brings along is one line, unless there is something wrong with it.
    let is_wasi = |import: &&Import| import.offered && import.name.starts_with("wasi:");
    let (wasi, own): (Vec<_>, Vec<_>) = report.imports.iter().partition(is_wasi);
    let mut imports: Vec<String> = own.iter().map(|import| named(import)).collect();
    if !wasi.is_empty() {
        imports.push(format!("{} interfaces of wasi", wasi.len()));
    }
    pairs.push(("imports", listed(imports)));
    pairs.push(("exports", listed(report.exports.clone())));
    if report.kind.is_some() {
        pairs.push(("optional exports", listed(report.optional_exports.clone())));
    }
    pairs
}

/// For people: below the summary, why it is refused.
pub(super) fn refusals(report: &Report) -> String {
    if report.refusals.is_empty() {
        return String::new();
    }
    let reasons = report.refusals.iter().map(|reason| format!("\n  {}", output::printable(reason)));
    format!("\n\nA realm refuses it:{}", reasons.collect::<String>())
}

fn named(import: &Import) -> String {
    let refused = if import.offered { "" } else { " (refused)" };
    format!("{}{refused}", import.name)
}

fn listed(names: Vec<String>) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
