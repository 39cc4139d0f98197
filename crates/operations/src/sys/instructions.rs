//! Any instruction, and sessions.

use super::{done, output};
use crate::{GrantNeeded, Operation, text};
use althing_protocol::{Result, sys, v1};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) fn actions() -> Vec<Operation> {
    vec![
        Operation::action(
            "action:instruction.submit.v1",
            "Runs 1 to 256 instructions in one entry; each stands alone.",
            GrantNeeded::new("{program}", "{method}").at("args, as the program says"),
            |input: SubmitInput| input.instructions.into_iter().enumerate().map(instruction).collect(),
            submitted,
        )
        .example(json!({
            "instructions": [{"program": "counter", "method": "add", "args_base64": "eyJieSI6Mn0="}],
        })),
        Operation::action(
            "action:session.close.v1",
            "Closes a session of the caller: nothing signed for it is accepted again.",
            GrantNeeded::none(),
            |input: CloseInput| Ok(vec![sys::session_close(input.session)]),
            done,
        )
        .example(json!({"session": 3})),
    ]
}

/// Instructions, in order.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SubmitInput {
    /// 1 to 256 of them.
    instructions: Vec<Instruction>,
}

/// One call of one program.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Instruction {
    /// The program's id.
    program: String,
    /// The method.
    method: String,
    /// The args as the program reads them, in base64.
    #[serde(default)]
    args_base64: String,
}

#[derive(Serialize, JsonSchema)]
struct SubmitOutput {
    /// Index of the entry.
    index: u64,
    /// What each instruction gave, in order.
    outcomes: Vec<Given>,
}

#[derive(Serialize, JsonSchema)]
struct Given {
    /// The output, in base64.
    output_base64: String,
    /// Fuel used.
    fuel: u64,
}

/// Names a session.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CloseInput {
    /// The session's number, as query:session.list.v1 shows it.
    session: u64,
}

fn instruction((at, input): (usize, Instruction)) -> Result<v1::Instruction> {
    let args = text::decode_base64(&format!("instructions[{at}].args_base64"), &input.args_base64)?;
    Ok(v1::Instruction::new(input.program, input.method, args))
}

fn submitted(outcomes: &[v1::Outcome]) -> Result<SubmitOutput> {
    let given = outcomes.iter().map(|outcome| Given {
        output_base64: text::encode_base64(output(outcome)),
        fuel: outcome.fuel,
    });
    Ok(SubmitOutput {
        index: outcomes.first().map_or(0, |outcome| outcome.index),
        outcomes: given.collect(),
    })
}
