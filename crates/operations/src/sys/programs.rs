//! Programs: stage, activate, call, and what manages them.

use super::{done, only, only_output, output};
use crate::{GrantNeeded, Operation, text};
use althing_protocol::{Error, Result, SYS, sys, v1};
use data_encoding::HEXLOWER_PERMISSIVE;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) fn actions() -> Vec<Operation> {
    let image = "00".repeat(32);
    let on_program = |method: &str| GrantNeeded::new(SYS, method).at("program");
    vec![
        Operation::action(
            "action:program.stage.v1",
            "Makes an uploaded image the next version of a program; who stages the first one owns it.",
            on_program("stage"),
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
            on_program("activate"),
            |input: ActivateInput| {
                let image = text::hash("image", &input.image)?.0.to_vec();
                Ok(vec![sys::activate(&v1::Activate { program: input.program, image })])
            },
            done,
        )
        .example(json!({"program": "counter", "image": image})),
        Operation::action(
            "action:program.rollback.v1",
            "Runs an image that was active before from this entry on.",
            on_program("rollback"),
            |input: RollbackInput| Ok(vec![sys::rollback(&rollback(input)?)]),
            done,
        )
        .example(json!({"program": "counter"})),
        Operation::action(
            "action:program.disable.v1",
            "Lets a program refuse calls and queries until it is enabled.",
            on_program("disable"),
            |input: ProgramInput| Ok(vec![sys::disable(input.program)]),
            done,
        )
        .example(json!({"program": "counter"})),
        Operation::action(
            "action:program.enable.v1",
            "Lets a disabled program run again.",
            on_program("enable"),
            |input: ProgramInput| Ok(vec![sys::enable(input.program)]),
            done,
        )
        .example(json!({"program": "counter"})),
        Operation::action(
            "action:program.remove.v1",
            "Deletes keys of a disabled program, 10,000 at most; with the last of them the program.",
            on_program("remove"),
            |input: ProgramInput| Ok(vec![sys::remove(input.program)]),
            |outcomes| {
                let (index, removed): (_, v1::Removed) = only_output(outcomes)?;
                let v1::Removed { keys, more, grants } = removed;
                Ok(RemoveOutput { keys, more, grants, index })
            },
        )
        .example(json!({"program": "counter"})),
        Operation::action(
            "action:program.rules.v1",
            "Changes the owner, the role or the publishers of a program; what is left out stays.",
            on_program("program_rules"),
            |input: RulesInput| Ok(vec![sys::program_rules(&rules(input)?)]),
            done,
        )
        .example(json!({"program": "counter", "role": "deployer", "publishers": [image]})),
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
    /// A publisher's, which a program with publishers wants.
    signature: Option<Signature>,
}

/// Says that the image is this version of the program; `althing sign` makes it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Signature {
    /// The publisher's public key, in hexadecimal.
    publisher: String,
    /// 64 bytes, in hexadecimal.
    signature: String,
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

/// Names a program, and what it is to run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RollbackInput {
    /// The program's id.
    program: String,
    /// BLAKE3 of one of the versions kept, in hexadecimal. Without it: what was active last.
    image: Option<String>,
}

/// Names a program.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProgramInput {
    /// The program's id.
    program: String,
}

#[derive(Serialize, JsonSchema)]
struct RemoveOutput {
    /// Keys deleted.
    keys: u64,
    /// Whether there are more, so that the program is still there: remove it again.
    more: bool,
    /// Grants to the program that went with it.
    grants: u64,
    /// Index of the entry.
    index: u64,
}

/// Who may manage a program.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RulesInput {
    /// The program's id.
    program: String,
    /// Public key of the new owner, in hexadecimal.
    owner: Option<String>,
    /// A role whose members may manage it as the owner may; empty is none.
    role: Option<String>,
    /// Public keys, in hexadecimal, of which one must have signed an image; at most 16. Empty:
    /// images need no signature.
    publishers: Option<Vec<String>>,
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
        signature: input.signature.map(signature).transpose()?,
    })
}

fn signature(input: Signature) -> Result<v1::ImageSignature> {
    let bytes = HEXLOWER_PERMISSIVE
        .decode(input.signature.as_bytes())
        .map_err(|e| Error::invalid(format!("signature.signature: not hexadecimal: {e}")))?;
    let publisher = text::public_key("signature.publisher", &input.publisher)?.0.to_vec();
    Ok(v1::ImageSignature { publisher, signature: bytes })
}

fn rollback(input: RollbackInput) -> Result<v1::Rollback> {
    let image = input.image.map(|image| text::hash("image", &image)).transpose()?;
    Ok(v1::Rollback { program: input.program, image: image.map(|image| image.0.to_vec()) })
}

fn rules(input: RulesInput) -> Result<v1::ProgramRules> {
    let key = |field: &str, hex: &str| Ok(text::public_key(field, hex)?.0.to_vec());
    let publishers = input.publishers.map(|publishers| {
        let keys = publishers.iter().enumerate();
        keys.map(|(at, hex)| key(&format!("publishers[{at}]"), hex)).collect::<Result<Vec<_>>>()
    });
    Ok(v1::ProgramRules {
        program: input.program,
        owner: input.owner.map(|hex| key("owner", &hex)).transpose()?,
        role: input.role,
        publishers: publishers.transpose()?.map(|keys| v1::Publishers { keys }),
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
