//! Programs: which there are, what they answer, what they logged.

use super::{Nothing, blocking, need_sys, on_sys, page_limit};
use crate::{LoggedLine, Realm, halt::internal};
use althing_machine::Fault;
use althing_operations::{Context, GrantNeeded, Need, Operation, text};
use althing_protocol::{Error, Result, v1};
use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn operations(realm: &Arc<Realm>) -> Vec<Operation> {
    let (for_list, for_query, for_logs) = (Arc::clone(realm), Arc::clone(realm), Arc::clone(realm));
    vec![
        Operation::query(
            "query:program.list.v1",
            "Lists the programs of the realm and their images.",
            on_sys("programs"),
            |_: &Nothing| need_sys("programs"),
            move |context, _| list(Arc::clone(&for_list), context),
        ),
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

#[derive(Serialize, JsonSchema)]
struct Programs {
    programs: Vec<Program>,
}

/// A program of the realm.
#[derive(Serialize, JsonSchema)]
struct Program {
    /// Its id.
    program: String,
    /// What calls run.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<Image>,
    /// What can be activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    staged: Option<Image>,
}

#[derive(Serialize, JsonSchema)]
struct Image {
    /// BLAKE3 of the component.
    image: String,
    /// The package's version.
    version: String,
    /// What it is for.
    description: String,
    /// Fuel of one call; 0 is the default.
    fuel_max: u64,
    /// Linear memory of one call, in bytes; 0 is the default.
    memory_bytes_max: u64,
    /// Index of the entry that staged it.
    staged_index: u64,
    /// Index of the entry that activated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    activated_index: Option<u64>,
}

fn image(info: v1::ImageInfo) -> Image {
    let manifest = info.manifest.unwrap_or_default();
    Image {
        image: HEXLOWER.encode(&info.image),
        version: manifest.version,
        description: manifest.description,
        fuel_max: manifest.fuel_max,
        memory_bytes_max: manifest.memory_bytes_max,
        staged_index: info.staged,
        activated_index: (info.activated > 0).then_some(info.activated),
    }
}

async fn list(realm: Arc<Realm>, context: Context) -> Result<Programs> {
    let view = realm.view(context.read).await?;
    blocking(move || {
        let programs = realm.core.machine.programs(&view).map_err(internal)?;
        let programs = programs.into_iter().map(|info| Program {
            program: info.program,
            active: info.active.map(image),
            staged: info.staged.map(image),
        });
        Ok(Programs { programs: programs.collect() })
    })
    .await
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
    let slots = Arc::clone(&realm.core);
    let _slot = slots.query_slots.acquire().await.map_err(internal)?;
    blocking(move || {
        let machine = &realm.core.machine;
        let asked = machine.query(view, caller, &input.program, &input.method, &args);
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
    })
    .await
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
