//! All operations of a node, by name.

use crate::{Context, Descriptor, Operation, name};
use althing_protocol::{Error, Result};
use serde_json::Value;
use std::collections::{BTreeMap, btree_map::Entry};

/// Why a set of operations is not a registry. A defect of the program, found when it starts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Two operations have one name.
    #[error("operation {0}: registered twice")]
    Duplicate(String),
    /// The name is not `query:` or `action:`, dotted lower case, and a version; or it says one
    /// kind and the operation is of the other; or it looks like an alias.
    #[error("operation {0:?}: not a name of its kind, like query:kv.get.v1 or action:kv.put.v1")]
    Name(String),
    /// Its input accepts unknown fields: a client's typing error would pass in silence.
    #[error("operation {0}: its input accepts unknown fields; add #[serde(deny_unknown_fields)]")]
    UnknownFields(String),
}

/// All operations of a node, by name. Names are unique, inputs refuse unknown fields.
#[derive(Debug)]
pub struct Registry {
    operations: BTreeMap<String, Operation>,
}

impl Registry {
    /// Collects `operations`.
    ///
    /// # Errors
    /// When a name is there twice or an operation is malformed.
    pub fn new(operations: Vec<Operation>) -> Result<Self, RegistryError> {
        let mut registry = BTreeMap::new();
        for operation in operations {
            let descriptor = operation.descriptor();
            let own = descriptor.name.clone();
            match name::parse(&own) {
                Some((kind, ..))
                    if kind == descriptor.kind && name::without_alias(&own).is_none() => {}
                _ => return Err(RegistryError::Name(own)),
            }
            if descriptor.input.get("additionalProperties") != Some(&Value::Bool(false)) {
                return Err(RegistryError::UnknownFields(own));
            }
            match registry.entry(own) {
                Entry::Vacant(slot) => slot.insert(operation),
                Entry::Occupied(slot) => return Err(RegistryError::Duplicate(slot.key().clone())),
            };
        }
        Ok(Self { operations: registry })
    }

    /// The operation called `name`, or whose alias it is: `action:X.input.v1` is `action:X.v1`.
    ///
    /// # Errors
    /// `not-found`, with up to three names that are near.
    pub fn resolve(&self, name: &str) -> Result<&Operation> {
        let found = match name::without_alias(name) {
            Some(own) => self.operations.get(&own),
            None => self.operations.get(name),
        };
        found.ok_or_else(|| self.unknown(name))
    }

    /// All descriptors, by name.
    pub fn list(&self) -> impl Iterator<Item = &Descriptor> {
        self.operations.values().map(Operation::descriptor)
    }

    /// Runs the operation called `name`: alias, input, grant, then the operation.
    ///
    /// # Errors
    /// What any of these says.
    pub async fn dispatch(&self, context: Context, name: &str, input: Value) -> Result<Value> {
        self.resolve(name)?.run(context, input).await
    }

    fn unknown(&self, name: &str) -> Error {
        const SHOWN_MAX: usize = 128;
        let shown: String = name.chars().take(SHOWN_MAX).collect();
        let own = name::without_alias(&shown);
        let wanted = own.as_deref().unwrap_or(&shown);
        let near = name::nearest(wanted, self.operations.keys().map(String::as_str));
        let hint = match near.as_slice() {
            [] => String::new(),
            near => format!("did you mean {}? ", near.join(" or ")),
        };
        Error::not_found(format!(
            "operation {shown:?}: not here; {hint}`althing ops list` shows all"
        ))
    }
}
