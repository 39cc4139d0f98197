//! What a component is, read before it is compiled: its kind, its imports and exports, its size.
//!
//! A function of the bytes alone, so every node refuses the same images with the same words.

use crate::{
    bounds::Bounds,
    census::{Census, Made},
    config, interfaces,
};
use althing_protocol::{Error, limits::IMAGE_BYTES_MAX};
use std::fmt;
use wasmparser::{
    BinaryReaderError, ComponentExternalKind, ComponentImport, ComponentTypeRef, Parser, Payload,
    TypeBounds, Validator, types::TypesRef,
};

/// What a package is, read from what it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Exports `apply` and `query`: a program with a keyspace of its own.
    Contract,
    /// Exports `init`, `handle`, `message-contract` and `state-contract`: a program that is the code of
    /// many actors, each with a state of its own.
    Actor,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contract => "contract",
            Self::Actor => "actor",
        })
    }
}

/// What [`inspect`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What it is.
    pub kind: Kind,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// Those of its exports that one of its kind need not have.
    pub optional_exports: Vec<String>,
    /// Linear memory that it starts with.
    pub memory_bytes_min: u64,
}

/// Reads the component `bytes`.
///
/// Bodies of functions are not looked at: that happens when it is compiled.
///
/// # Errors
/// `invalid`, naming what the component has or lacks, and what to do about it.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, Error> {
    check_header(bytes)?;
    let mut survey = Survey::default();
    let mut validator = Validator::new_with_features(config::features());
    let mut parser = Parser::new(0);
    parser.set_features(config::features());
    let mut inspection = None;
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(|e| malformed(&e))?;
        survey.visit(&payload).map_err(|e| malformed(&e))??;
        if let Some(made) = survey.census.total {
            let types = validator.types(0).ok_or_else(|| Error::invalid("component: empty"))?;
            inspection = Some(survey.conclude(types, made)?);
        }
        validator.payload(&payload).map_err(|e| malformed(&e))?;
    }
    inspection.ok_or_else(|| Error::invalid("component: it has no end"))
}

/// What is said of bytes that are no valid component.
pub(crate) fn malformed(error: &BinaryReaderError) -> Error {
    Error::invalid(format!(
        "component: not valid, or uses a proposal that is not offered: {} (at offset {})",
        error.message(),
        error.offset()
    ))
}

/// Refuses what is not a component, by its first bytes.
pub(crate) fn check_header(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > IMAGE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "component: {} bytes, the limit is {IMAGE_BYTES_MAX}; strip it, and build it for size",
            bytes.len()
        )));
    }
    if Parser::is_component(bytes) {
        return Ok(());
    }
    if Parser::is_core_wasm(bytes) {
        return Err(Error::invalid(
            "component: this is a core module; make a component of it with `wasm-tools component \
             new module.wasm -o component.wasm`, or build the project with `althing build`",
        ));
    }
    Err(Error::invalid("component: this is not WebAssembly; wants a component (.wasm)"))
}

/// The name of an import that wants something: another name for a type, as a world has that uses the
/// types of an interface, wants nothing.
pub(crate) fn named(import: &ComponentImport<'_>) -> Option<String> {
    let is_alias = matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_)));
    (!is_alias).then(|| import.name.name.to_owned())
}

/// What a walk over the sections gathers.
#[derive(Default)]
struct Survey {
    imports: Vec<String>,
    exports: Vec<String>,
    census: Census,
    bounds: Bounds,
}

impl Survey {
    /// Notes what matters in `payload`. The outer error is the parser's, the inner one ours.
    fn visit(&mut self, payload: &Payload<'_>) -> Result<Result<(), Error>, BinaryReaderError> {
        match payload {
            Payload::ComponentImportSection(imports) if self.census.is_outermost() => {
                for import in imports.clone() {
                    self.imports.extend(named(&import?));
                }
            }
            Payload::ComponentExportSection(exports) if self.census.is_outermost() => {
                for export in exports.clone() {
                    let export = export?;
                    if export.kind != ComponentExternalKind::Type {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        if let Err(error) = self.bounds.visit(payload)? {
            return Ok(Err(error));
        }
        self.census.visit(payload)
    }

    /// The whole component is read: `types` are those of its imports and exports.
    fn conclude(&self, types: TypesRef<'_>, made: Made) -> Result<Inspection, Error> {
        let world = interfaces::world(&self.exports);
        for name in &self.imports {
            world.check_import(types, name)?;
        }
        world.check_exports(types, &self.exports)?;
        Ok(Inspection {
            kind: world.kind,
            imports: self.imports.clone(),
            exports: self.exports.clone(),
            optional_exports: world.optional(&self.exports),
            memory_bytes_min: made.memory_bytes,
        })
    }
}
