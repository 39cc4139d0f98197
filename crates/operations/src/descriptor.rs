//! What the registry says about an operation.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Whether an operation reads or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Reads.
    Query,
    /// Changes: the realm when it is replicated, else this node.
    Action,
}

/// The grant that an operation needs, for people. A name in braces is a field of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantNeeded {
    /// The program, as `sys` or `{program}`; empty when no grant is needed.
    pub program: String,
    /// The method.
    pub method: String,
    /// Where the path comes from: a field of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl GrantNeeded {
    /// A grant without a path.
    pub fn new(program: impl Into<String>, method: impl Into<String>) -> Self {
        Self { program: program.into(), method: method.into(), path: None }
    }

    /// No grant at all: what it touches is the caller's own.
    pub fn none() -> Self {
        Self::new("", "")
    }

    /// The same grant, with a path taken from `field` of the input.
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.path = Some(field.into());
        self
    }
}

impl fmt::Display for GrantNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.program.is_empty() {
            return f.write_str("no grant");
        }
        write!(f, "{}/{}", self.program, self.method)?;
        match &self.path {
            Some(field) => write!(f, " at the path in {field}"),
            None => Ok(()),
        }
    }
}

/// What the registry says about an operation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Descriptor {
    /// `query:` or `action:`, a dotted name, a version.
    pub name: String,
    /// Whether it reads or changes.
    pub kind: OperationKind,
    /// Whether it becomes instructions in the log.
    pub replicated: bool,
    /// One sentence.
    pub summary: String,
    /// JSON schema of the input.
    pub input: Schema,
    /// JSON schema of the output.
    pub output: Schema,
    /// The grant that the caller needs.
    pub grant: GrantNeeded,
    /// An input that works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Value>,
}

/// The output of the operation that lists all others.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Descriptors {
    /// All operations, by name.
    pub operations: Vec<Descriptor>,
}

impl Descriptors {
    /// The operation whose output this is.
    pub const LIST: &str = "query:operation.list.v1";
}

/// Schema of what is read as `T`. Nothing is behind a reference: a person reads it from top to
/// bottom.
pub(crate) fn input_schema<T: JsonSchema>() -> Schema {
    settings().into_generator().into_root_schema_for::<T>()
}

/// Schema of what is written as `T`.
pub(crate) fn output_schema<T: JsonSchema>() -> Schema {
    settings().for_serialize().into_generator().into_root_schema_for::<T>()
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    })
}
