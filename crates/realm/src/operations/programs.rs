//! Programs: what they answer, what they logged.

use super::page_limit;
use crate::{LoggedLine, Realm, halt::internal};
use althing_machine::Fault;
use althing_operations::{Context, GrantNeeded, Need, Operation, text};
use althing_protocol::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    let (for_query, for_logs) = (Arc::clone(realm), Arc::clone(realm));
    vec![
        Operation::query(
            "query:program.query.v1",
            "Asks a program; it cannot write.",
            GrantNeeded::new("{program}", "{method}"),
            |input: &QueryInput| Ok(Need::new(&input.program, &input.method)),
            move |context, input| query(Arc::clone(&for_query), context, input),
        )
        .example(json!({"program": "counter", "method": "value", "args": {}})),
        Operation::query(
            "query:program.logs.v1",
            "Reads what a program logged on this node since it started.",
            GrantNeeded::new("{program}", "logs"),
            |input: &LogsInput| Ok(Need::new(&input.program, "logs")),
            move |_, input| logs(Arc::clone(&for_logs), input),
        )
        .example(json!({"program": "counter"})),
    ]
}

/// A question.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QueryInput {
    /// The program's id.
    program: String,
    /// The query's name.
    method: String,
    /// The args, as any JSON; the program gets the text of it.
    args: Option<Value>,
    /// The args, as bytes in base64.
    args_base64: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    /// The answer, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    /// The answer in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_base64: Option<String>,
    /// Fuel used.
    fuel: u64,
    /// Index of the state that was asked.
    index: u64,
}

async fn query(realm: Arc<Realm>, context: Context, input: QueryInput) -> Result<Answer> {
    let args = match (input.args, input.args_base64) {
        (Some(_), Some(_)) => return Err(Error::invalid("args: is there twice")),
        (Some(args), None) => args.to_string().into_bytes(),
        (None, base64) => text::optional_bytes("args", None, base64)?.unwrap_or_default(),
    };
    let view = realm.view(context.read).await?;
    let index = view.applied().index;
    let caller = context.caller.key;
    let core = Arc::clone(&realm.core);
    let ask = move |deadline| {
        let machine = &realm.core.machine;
        let asked = machine.query(view, caller, &input.program, &input.method, &args, deadline);
        let (output, fuel, lines) = asked.map_err(|fault| match fault {
            Fault::Outcome(error) => error,
            Fault::Halt(halt) => internal(halt),
        })?;
        realm.core.logs.extend(lines);
        Ok(match serde_json::from_slice(&output) {
            Ok(json) => Answer { output: Some(json), output_base64: None, fuel, index },
            Err(_) => {
                let output_base64 = Some(text::encode_base64(&output));
                Answer { output: None, output_base64, fuel, index }
            }
        })
    };
    core.queries.run(ask).await
}

/// Lines of a program's log.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogsInput {
    /// The program's id.
    program: String,
    /// Lines with a number above this one.
    #[serde(default)]
    after: u64,
    /// At most this many; 100 if absent, 1,000 at most.
    limit: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Lines {
    /// Oldest first.
    lines: Vec<LoggedLine>,
}

async fn logs(realm: Arc<Realm>, input: LogsInput) -> Result<Lines> {
    let limit = page_limit(input.limit, 1_000)?;
    Ok(Lines { lines: realm.core.logs.read(&input.program, input.after, limit) })
}
