//! `althing ops`: everything that the node can do.

use super::{shown, text};
use crate::{
    context::Context,
    exit::Outcome,
    output::table,
    values::{self, Source},
};
use althing_operations::Descriptor;
use althing_protocol::{Error, limits};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Look up and call operations, which is all that a node can do
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  althing ops list
  althing ops describe query:kv.get.v1
  althing ops call query:kv.get.v1 '{\"key\": \"/notes/first\"}'")]
pub(crate) enum Command {
    /// List the operations
    List,
    /// Show what an operation takes, gives, and needs
    Describe {
        /// Name of the operation
        name: String,
    },
    /// Call an operation with JSON, and print the JSON it gives
    Call {
        /// Name of the operation
        name: String,
        #[arg(help = format!("The input as JSON: {}", values::HELP), default_value = "{}")]
        input: Source,
    },
}

pub(crate) async fn run(context: &Context, command: Command) -> Outcome {
    let remote = context.remote().await?;
    match command {
        Command::List => {
            let list = remote.client.operations().await?;
            context.out.show(&json!({ "operations": list }), || {
                let row = |operation: &Descriptor| {
                    vec![operation.name.clone(), operation.summary.clone()]
                };
                table(&["OPERATION", "DOES"], list.iter().map(row), "no operations")
            })
        }
        Command::Describe { name } => {
            let list = remote.client.operations().await?;
            let own = name.replacen(".input.v", ".v", 1);
            let found = list.iter().find(|operation| operation.name == own).ok_or_else(|| {
                Error::not_found(format!(
                    "operation {name}: not here; `althing ops list` shows all"
                ))
            })?;
            context.out.show(found, || describe(found))
        }
        Command::Call { name, input } => {
            let input = input.read_json(2 * limits::ENVELOPE_BYTES_MAX)?;
            let output = remote.call(&name, input).await?;
            context.out.show(&output, || shown(&output))
        }
    }
}

fn describe(operation: &Descriptor) -> String {
    let mut description =
        format!("{}\n{}\n\nneeds  {}\n", operation.name, operation.summary, operation.grant);
    for (title, schema) in
        [("takes", operation.input.as_value()), ("gives", operation.output.as_value())]
    {
        let _ = write!(description, "\n{title}\n{}", properties(schema));
    }
    if let Some(example) = &operation.example {
        let _ = write!(description, "\nexample\n  althing ops call {} '{example}'", operation.name);
    }
    description
}

/// The fields of a schema, one a line; its own JSON where it is no object.
fn properties(schema: &Value) -> String {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else {
        return format!("  {schema}\n");
    };
    let required = schema.get("required").and_then(Value::as_array);
    let row = |(name, field): (&String, &Value)| {
        let wanted = required.is_some_and(|list| list.iter().any(|item| item == name));
        let kind = match field.get("type") {
            Some(Value::Array(kinds)) => {
                kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")
            }
            _ => text(field, "type"),
        };
        let name = if wanted { format!("  {name} (required)") } else { format!("  {name}") };
        vec![name, kind, text(field, "description").replace('\n', " ")]
    };
    table(&["  FIELD", "TYPE", "MEANING"], fields.iter().map(row), "  nothing") + "\n"
}
