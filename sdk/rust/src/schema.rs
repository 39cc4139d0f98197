//! JSON against a schema: exactly the keywords that schemas made from types have.
//!
//! A general validator takes two milliseconds to get ready, in each instance, and makes a component
//! of 2.6 MB; this one takes microseconds. A keyword that it does not know is an error, never passed
//! over.

mod fits;
mod forms;
mod plan;
mod rules;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use plan::Plan;

use rules::matches;
use schemars::JsonSchema;
use serde_json::Value;
use std::fmt::Display;
use words::string;

/// Steps into schema and value together; a value has at most 64 levels.
const DEPTH_MAX: usize = 512;

/// Keywords that say something to people and tools only.
const ANNOTATIONS: [&str; 12] = [
    "$schema",
    "$comment",
    "$defs",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "contentEncoding",
];

/// Keywords without schemas or patterns in them.
const PLAIN: [&str; 16] = [
    "type",
    "enum",
    "const",
    "required",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];

/// Why a value does not fit: where, and what is wrong there.
#[derive(Debug, PartialEq, Eq)]
struct Misfit {
    path: String,
    reason: String,
}

type Fit<T = ()> = Result<T, Misfit>;

impl Misfit {
    fn new(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }

    /// The same, seen from the value that holds this one.
    fn within(mut self, step: impl Display) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{step}{dot}{}", self.path);
        self
    }

    fn into_text(self) -> String {
        match self.path.is_empty() {
            true => self.reason,
            false => format!("`{}`: {}", self.path, self.reason),
        }
    }
}

fn misfit<T>(reason: impl Into<String>) -> Fit<T> {
    Err(Misfit::new(reason))
}

/// The schema of a type.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    bound_integers(&mut schema);
    schema
}

/// Gives integers of 32 bits their bounds, as shorter ones have: what is beyond is refused in words that
/// say where.
fn bound_integers(schema: &mut Value) {
    if let Value::Array(schemas) = schema {
        return schemas.iter_mut().for_each(bound_integers);
    }
    let Value::Object(keywords) = schema else { return };
    let bounds = match keywords.get("format").and_then(Value::as_str) {
        Some("int32") => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
        Some("uint32") => Some((0, i64::from(u32::MAX))),
        _ => None,
    };
    if let Some((min, max)) = bounds {
        keywords.entry("minimum").or_insert_with(|| min.into());
        keywords.entry("maximum").or_insert_with(|| max.into());
    }
    let values = ["default", "examples", "enum", "const"];
    let parts = keywords.iter_mut().filter(|(name, _)| !values.contains(&name.as_str()));
    parts.for_each(|(_, part)| bound_integers(part));
}

/// Whether `value` fits the schema `root`, or else why not.
pub(crate) fn check(root: &Value, value: &Value) -> Result<(), String> {
    Schema { root }.fits(root, value, DEPTH_MAX).map_err(Misfit::into_text)
}

/// Whether every part of the schema `root` can be checked, or else which cannot.
pub(crate) fn check_schema(root: &Value) -> Result<(), String> {
    Schema { root }.is_known(root)
}

fn unknown(keyword: &str) -> String {
    format!(
        "the schema has `{keyword}`, which is not checked here; say it in another way, or in the \
         contract by hand"
    )
}

/// A schema whose parts may refer to each other.
#[derive(Clone, Copy)]
struct Schema<'a> {
    root: &'a Value,
}

impl<'a> Schema<'a> {
    fn is_known(self, schema: &Value) -> Result<(), String> {
        let Value::Object(keywords) = schema else { return Ok(()) };
        let all = |schemas: &[Value]| schemas.iter().try_for_each(|one| self.is_known(one));
        for (keyword, rule) in keywords {
            match (keyword.as_str(), rule) {
                ("properties" | "$defs", Value::Object(below)) => {
                    below.values().try_for_each(|one| self.is_known(one))?;
                }
                ("patternProperties", Value::Object(below)) => {
                    for (pattern, one) in below {
                        matches(pattern, "")?;
                        self.is_known(one)?;
                    }
                }
                ("oneOf" | "anyOf" | "allOf" | "prefixItems", Value::Array(below)) => all(below)?,
                ("not" | "items" | "contains" | "additionalProperties", one) => {
                    self.is_known(one)?
                }
                ("pattern", Value::String(pattern)) => matches(pattern, "").map(drop)?,
                ("$ref", to) => self.referred(string(to)).map(drop).map_err(Misfit::into_text)?,
                (name, _) if PLAIN.contains(&name) || ANNOTATIONS.contains(&name) => {}
                (name, _) => return Err(unknown(name)),
            }
        }
        Ok(())
    }

    fn referred(self, to: &str) -> Fit<&'a Value> {
        match to.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) {
            Some(schema) => Ok(schema),
            None => misfit(format!("the schema refers to {to}, which it does not have")),
        }
    }
}
