//! The operation that lists all operations, itself included.

use crate::tokens::PROGRAM;
use althing_operations::{Descriptors, GrantNeeded, Need, Operation, Registry};
use althing_protocol::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::{Arc, OnceLock};

const METHOD: &str = "operation_list";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The registry of `operations` and of the one that lists them.
///
/// # Errors
/// `internal` when a name is there twice.
pub(crate) fn registry(mut operations: Vec<Operation>) -> Result<Registry> {
    // Filled in below, before anybody can ask.
    let listed: Arc<OnceLock<Descriptors>> = Arc::default();
    operations.push(list(Arc::clone(&listed)));
    let registry = Registry::new(operations).map_err(internal)?;
    let descriptors = Descriptors { operations: registry.list().cloned().collect() };
    listed.set(descriptors).map_err(|_| internal("the list was filled in twice"))?;
    Ok(registry)
}

fn list(listed: Arc<OnceLock<Descriptors>>) -> Operation {
    Operation::query(
        Descriptors::LIST,
        "Lists all operations of this node: schemas of input and output, and the grant each needs.",
        GrantNeeded::new(PROGRAM, METHOD),
        |_: &Nothing| Ok(Need::new(PROGRAM, METHOD)),
        move |_, _: Nothing| {
            let listed = listed.get().cloned();
            async move { listed.ok_or_else(|| internal("the list is not there yet")) }
        },
    )
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("operations of the node: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_twice_fails_the_start() {
        let twice = || list(Arc::default());
        assert!(registry(vec![twice()]).is_err());
        assert_eq!(registry(Vec::new()).unwrap().list().count(), 1);
    }
}
