//! Guests of scenarios: texts of the corpus, and built ones.

use crate::{Corpus, read};
use althing_protocol::Hash;
use anyhow::{Context, Result};
use serde::{Deserialize, de};
use std::path::Path;
use wit_parser::Resolve;

/// A guest as a scenario names it: `NAME.wat` or `built:NAME`.
#[derive(Clone, Debug)]
pub(crate) enum Guest {
    /// A file of `corpus/guests`.
    Text(String),
    /// `target/guests/NAME.wasm`.
    Built(String),
}

impl<'de> Deserialize<'de> for Guest {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix("built:") {
            Some(name) => Ok(Self::Built(name.to_owned())),
            None if text.ends_with(".wat") => Ok(Self::Text(text)),
            None => Err(de::Error::custom(format!(
                "guest {text:?}: wants NAME.wat of corpus/guests, or built:NAME of target/guests"
            ))),
        }
    }
}

impl Guest {
    /// The component, and what names it in the log: for a text the hash of the text, so that the
    /// log does not change with the tools that make a component of it.
    pub(crate) fn load(&self, corpus: &Corpus) -> Result<(Hash, Vec<u8>)> {
        match self {
            Self::Built(name) => {
                let path = corpus.root.join("target/guests").join(name).with_extension("wasm");
                let component = read(&path).context("`cargo xtask guests` builds them")?;
                Ok((Hash::of(&component), component))
            }
            Self::Text(name) => {
                let text = read(&corpus.root.join("corpus/guests").join(name))?;
                let component = component(&String::from_utf8(text.clone())?, corpus)
                    .with_context(|| format!("in corpus/guests/{name}"))?;
                Ok((Hash::of(&text), component))
            }
        }
    }
}

/// Imports by the names that texts use: interface, function, and signature. Only those that a text
/// names are imported.
type Imports = &'static [(&'static str, &'static str, &'static str, &'static str)];

/// What texts of one kind become components with.
struct Shape {
    /// The package of its worlds, in `wit`.
    package: &'static str,
    world: &'static str,
    migrating_world: &'static str,
    imports: Imports,
    prelude: &'static str,
}

const CONTRACT: Shape = Shape {
    package: "contract",
    world: "contract",
    migrating_world: "migrating-contract",
    imports: &[
        ("$get", "db", "get", "(param i32 i32 i32)"),
        ("$put", "db", "put", "(param i32 i32 i32 i32 i32)"),
        ("$delete", "db", "delete", "(param i32 i32 i32)"),
        ("$scan", "db", "scan", "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)"),
        ("$delete_prefix", "db", "delete-prefix", "(param i32 i32 i32 i32)"),
        ("$caller", "context", "caller", "(param i32)"),
        ("$author", "context", "author", "(param i32)"),
        ("$index", "context", "index", "(result i64)"),
        ("$timestamp", "context", "timestamp-us", "(result i64)"),
        ("$seed", "context", "seed", "(param i32)"),
        ("$program", "context", "program", "(param i32)"),
        ("$emit", "events", "emit", "(param i32 i32 i32 i32 i32)"),
        ("$log", "log", "log", "(param i32 i32 i32)"),
        ("$hash", "crypto", "hash", "(param i32 i32 i32 i32)"),
        ("$verify", "crypto", "verify-signature", "(param i32 i32 i32 i32 i32 i32) (result i32)"),
        ("$call_program", "programs", "call", "(param i32 i32 i32 i32 i32 i32 i32)"),
        ("$query_program", "programs", "query", "(param i32 i32 i32 i32 i32 i32 i32)"),
    ],
    prelude: include_str!("../guests/prelude-contract.wat"),
};

const ACTOR: Shape = Shape {
    package: "actor",
    world: "actor",
    migrating_world: "migrating-actor",
    imports: &[
        ("$log", "host", "log", "(param i32 i32)"),
        ("$send", "host", "send", "(param i32 i32 i32 i32)"),
    ],
    prelude: include_str!("../guests/prelude-actor.wat"),
};

/// What every text has besides its own functions. `$ret` is where imports leave what they return;
/// memory below 1,024 is the prelude's, and 128 KiB and more are for what is passed in.
const PRELUDE: &str = include_str!("../guests/prelude.wat");

/// The component of a guest in text form: the fields of a core module that has a function
/// `$run (param $method i32 i32) (param $args i32 i32) (result i32)`, or else those of an actor.
fn component(text: &str, corpus: &Corpus) -> Result<Vec<u8>> {
    let named = |name: &str| {
        text.split(|c: char| c.is_whitespace() || "()".contains(c)).any(|word| word == name)
    };
    let shape = if named("$handle") { &ACTOR } else { &CONTRACT };
    let package = shape.package;
    let imports: String = shape
        .imports
        .iter()
        .filter(|(name, ..)| named(name))
        .map(|(name, interface, function, signature)| {
            format!(
                "(import \"althing:{package}/{interface}@0.1.0\" \"{function}\" \
                 (func {name} {signature}))\n"
            )
        })
        .collect();
    let module = wat::parse_str(format!("(module {imports} {PRELUDE} {} {text})", shape.prelude))?;
    let world = match text.contains("/migration@") {
        true => shape.migrating_world,
        false => shape.world,
    };
    encode(module, world, &corpus.root.join("wit").join(package))
}

fn encode(mut module: Vec<u8>, world: &str, wit: &Path) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding)?;
    wit_component::ComponentEncoder::default().module(&module)?.validate(true).encode()
}
