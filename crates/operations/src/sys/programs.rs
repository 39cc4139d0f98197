//! Programs: stage, activate, call.

use super::{done, only, output};
use crate::{GrantNeeded, Operation, text};
use althing_protocol::{Error, Result, SYS, sys, v1};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) fn actions() -> Vec<Operation> {
    let image = "00".repeat(32);
    vec![
        Operation::action(
            "action:program.stage.v1",
            "Makes an uploaded image the next version of a program.",
            GrantNeeded::new(SYS, "stage").at("program"),
            |input: StageInput| Ok(vec![sys::stage(&stage(input)?)]),
            done,
        )
        .example(json!({
            "program": "counter", "image": image,
            "manifest": {"version": "0.1.0", "description": "Counts."},
        })),
        Operation::action(
            "action:program.activate.v1",
            "Runs the staged image of a program from this entry on.",
            GrantNeeded::new(SYS, "activate").at("program"),
            |input: ActivateInput| {
                let image = text::hash("image", &input.image)?.0.to_vec();
                Ok(vec![sys::activate(&v1::Activate { program: input.program, image })])
            },
            done,
        )
        .example(json!({"program": "counter", "image": image})),
        Operation::action(
            "action:program.call.v1",
            "Calls a method of a program.",
            GrantNeeded::new("{program}", "{method}"),
            |input: CallInput| Ok(vec![call(input)?]),
            called,
        )
        .example(json!({"program": "counter", "method": "add", "args": {"by": 2}})),
    ]
}

/// An image, and the program it becomes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StageInput {
    /// The program's id.
    program: String,
    /// BLAKE3 of the component, in hexadecimal; upload it first.
    image: String,
    /// What the package asks for.
    #[serde(default)]
    manifest: Manifest,
}

/// What a package asks for; what is left out has its default.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Manifest {
    /// The package's own version.
    version: String,
    /// One sentence for people.
    description: String,
    /// Fuel of one call; 0 is the default.
    fuel_max: u64,
    /// Linear memory of one call, in bytes; 0 is the default.
    memory_bytes_max: u64,
}

/// The staged image of a program.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ActivateInput {
    /// The program's id.
    program: String,
    /// BLAKE3 of the component, in hexadecimal.
    image: String,
}

/// A call. With neither args nor args_base64 the args are empty.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CallInput {
    /// The program's id.
    program: String,
    /// The method.
    method: String,
    /// The args, as any JSON; the program gets the text of it.
    args: Option<Value>,
    /// The args, as bytes in base64.
    args_base64: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct CallOutput {
    /// The output, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    /// The output, in base64, if it is not JSON and not empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_base64: Option<String>,
    /// Fuel used.
    fuel: u64,
    /// Index of the entry.
    index: u64,
    /// What the call emitted.
    events: Vec<Emitted>,
}

#[derive(Serialize, JsonSchema)]
struct Emitted {
    /// Who emitted it.
    program: String,
    /// What it is about.
    topic: String,
    /// The data, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    /// The data, in base64, if it is not JSON and not empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

fn stage(input: StageInput) -> Result<v1::Stage> {
    let Manifest { version, description, fuel_max, memory_bytes_max } = input.manifest;
    Ok(v1::Stage {
        program: input.program,
        image: text::hash("image", &input.image)?.0.to_vec(),
        manifest: Some(v1::Manifest { version, description, fuel_max, memory_bytes_max }),
    })
}

fn call(input: CallInput) -> Result<v1::Instruction> {
    let args = input.args.map(|args| args.to_string());
    let args = text::optional_bytes("args", args, input.args_base64)?.unwrap_or_default();
    let instruction = v1::Instruction::new(input.program, input.method, args);
    if instruction.program_id == SYS {
        return Err(Error::invalid(
            "program sys: its args are no JSON; use the kv, grant, role and program operations, \
             or action:instruction.submit.v1",
        ));
    }
    Ok(instruction)
}

fn called(outcomes: &[v1::Outcome]) -> Result<CallOutput> {
    let outcome = only(outcomes)?;
    let (output, output_base64) = json_or_base64(output(outcome));
    let events = outcome.events.iter().map(|event| {
        let (data, data_base64) = json_or_base64(&event.data);
        Emitted { program: event.program.clone(), topic: event.topic.clone(), data, data_base64 }
    });
    Ok(CallOutput {
        output,
        output_base64,
        fuel: outcome.fuel,
        index: outcome.index,
        events: events.collect(),
    })
}

/// Nothing for no bytes at all: empty bytes are no JSON, and empty base64 says nothing.
fn json_or_base64(bytes: &[u8]) -> (Option<Value>, Option<String>) {
    if bytes.is_empty() {
        return (None, None);
    }
    match serde_json::from_slice(bytes) {
        Ok(json) => (Some(json), None),
        Err(_) => (None, Some(text::encode_base64(bytes))),
    }
}
