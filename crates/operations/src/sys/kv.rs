//! Keys of `sys`: put, delete, compare-and-swap, transactions.

use super::only_output;
use crate::{GrantNeeded, Operation, text};
use althing_protocol::{Error, Result, SYS, sys, v1};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) fn actions() -> Vec<Operation> {
    vec![
        Operation::action(
            "action:kv.put.v1",
            "Writes a key.",
            GrantNeeded::new(SYS, "put").at("key"),
            |input: PutInput| put(input).map(|put| vec![sys::put(put.key, put.value)]),
            written,
        )
        .example(json!({"key": "/notes/first", "value": "hello"})),
        Operation::action(
            "action:kv.delete.v1",
            "Deletes a key, if it is there.",
            GrantNeeded::new(SYS, "delete").at("key"),
            |input: KeyInput| Ok(vec![sys::delete(input.bytes()?)]),
            |outcomes| {
                let (index, deleted): (_, v1::Deleted) = only_output(outcomes)?;
                Ok(DeleteOutput { existed: deleted.existed, index })
            },
        )
        .example(json!({"key": "/notes/first"})),
        Operation::action(
            "action:kv.cas.v1",
            "Writes a key if it is as expected, else fails with a conflict.",
            GrantNeeded::new(SYS, "get and put").at("key"),
            |input: CasInput| Ok(vec![sys::compare_and_swap(&compare_and_swap(input)?)]),
            written,
        )
        .example(json!({"key": "/leader", "expected": {"absent": true}, "value": "desktop"})),
        Operation::action(
            "action:kv.txn.v1",
            "Does one list of operations if all conditions hold, else the other; all or nothing.",
            GrantNeeded::new(SYS, "get, put and delete").at("each key"),
            |input: TxnInput| Ok(vec![sys::txn(&txn(input)?)]),
            txn_output,
        )
        .example(json!({
            "conditions": [{"key": "/stock", "comparison": "equal", "value": "1"}],
            "success": [{"put": {"key": "/stock", "value": "0"}}, {"get": {"key": "/buyer"}}],
            "failure": [{"get": {"key": "/stock"}}],
        })),
    ]
}

/// What to write, and where.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PutInput {
    /// The key, as text. Exactly one of key and key_base64.
    key: Option<String>,
    /// The key, in base64.
    key_base64: Option<String>,
    /// The value, as text. Exactly one of value and value_base64.
    value: Option<String>,
    /// The value, in base64.
    value_base64: Option<String>,
}

/// A key.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyInput {
    /// The key, as text. Exactly one of key and key_base64.
    key: Option<String>,
    /// The key, in base64.
    key_base64: Option<String>,
}

impl KeyInput {
    fn bytes(self) -> Result<Vec<u8>> {
        text::bytes("key", self.key, self.key_base64)
    }
}

/// What to write, where, and what must be there now.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CasInput {
    /// The key, as text. Exactly one of key and key_base64.
    key: Option<String>,
    /// The key, in base64.
    key_base64: Option<String>,
    /// What must be there now.
    expected: Expected,
    /// The new value, as text. Exactly one of value and value_base64.
    value: Option<String>,
    /// The new value, in base64.
    value_base64: Option<String>,
}

/// What must be there now: exactly one of absent, value, value_base64 and modify.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The key does not exist; must be true.
    absent: Option<bool>,
    /// The key has this value, as text.
    value: Option<String>,
    /// The key has this value, in base64.
    value_base64: Option<String>,
    /// The key was last changed by the entry of this index.
    modify: Option<u64>,
}

/// Conditions, and what to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TxnInput {
    /// All of them must hold; none hold always.
    #[serde(default)]
    conditions: Vec<Condition>,
    /// What is done if they hold.
    #[serde(default)]
    success: Vec<Op>,
    /// What is done if they do not.
    #[serde(default)]
    failure: Vec<Op>,
}

/// A condition on a key: exactly one of value, value_base64, create and modify is compared.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Condition {
    /// The key, as text. Exactly one of key and key_base64.
    key: Option<String>,
    /// The key, in base64.
    key_base64: Option<String>,
    /// How to compare what is there with what is given here.
    #[serde(default)]
    comparison: Comparison,
    /// The value, as text; an absent key has none.
    value: Option<String>,
    /// The value, in base64.
    value_base64: Option<String>,
    /// Index of the entry that made the key; 0 for an absent key.
    create: Option<u64>,
    /// Index of the entry that last changed the key; 0 for an absent key.
    modify: Option<u64>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Comparison {
    #[default]
    Equal,
    NotEqual,
    Less,
    Greater,
}

/// One operation of a transaction.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Op {
    /// Writes a key.
    Put(PutInput),
    /// Deletes a key.
    Delete(KeyInput),
    /// Reads a key.
    Get(KeyInput),
}

/// When a key was made and last changed: indices of entries.
#[derive(Serialize, JsonSchema)]
struct PutOutput {
    /// Index of the entry that made the key.
    create: u64,
    /// Index of the entry that wrote this value.
    modify: u64,
}

#[derive(Serialize, JsonSchema)]
struct DeleteOutput {
    /// Whether the key was there.
    existed: bool,
    /// Index of the entry.
    index: u64,
}

#[derive(Serialize, JsonSchema)]
struct TxnOutput {
    /// Whether the conditions held.
    succeeded: bool,
    /// What each operation gave, in order.
    results: Vec<OpOutput>,
    /// Index of the entry.
    index: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OpOutput {
    Put(PutOutput),
    Delete {
        /// Whether the key was there.
        existed: bool,
    },
    Get {
        /// Null when the key does not exist.
        pair: Option<Pair>,
    },
}

/// A key with its value; each is text, or base64 when it is not UTF-8.
#[derive(Serialize, JsonSchema)]
struct Pair {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    /// Index of the entry that made the key.
    create: u64,
    /// Index of the entry that last changed it.
    modify: u64,
}

fn put(input: PutInput) -> Result<v1::Put> {
    Ok(v1::Put {
        key: text::bytes("key", input.key, input.key_base64)?,
        value: text::bytes("value", input.value, input.value_base64)?,
    })
}

fn compare_and_swap(input: CasInput) -> Result<v1::CompareAndSwap> {
    use v1::compare_and_swap::Expected as Wire;
    let Expected { absent, value, value_base64, modify } = input.expected;
    let value = text::optional_bytes("expected.value", value, value_base64)?;
    let expected = match (absent, value, modify) {
        (Some(true), None, None) => Wire::Absent(true),
        (None, Some(value), None) => Wire::Value(value),
        (None, None, Some(modify)) => Wire::Modify(modify),
        _ => {
            return Err(Error::invalid(
                "expected: wants exactly one of absent: true, value, value_base64, modify",
            ));
        }
    };
    Ok(v1::CompareAndSwap {
        key: text::bytes("key", input.key, input.key_base64)?,
        expected: Some(expected),
        new_value: text::bytes("value", input.value, input.value_base64)?,
    })
}

fn txn(input: TxnInput) -> Result<v1::Txn> {
    Ok(v1::Txn {
        conditions: each("conditions", input.conditions, condition)?,
        success: each("success", input.success, op)?,
        failure: each("failure", input.failure, op)?,
    })
}

/// Converts a list; an error says at which position.
fn each<T, U>(field: &str, list: Vec<T>, convert: fn(T) -> Result<U>) -> Result<Vec<U>> {
    let convert = |(at, item)| {
        convert(item).map_err(|e: Error| Error::invalid(format!("{field}[{at}].{}", e.message)))
    };
    list.into_iter().enumerate().map(convert).collect()
}

fn condition(input: Condition) -> Result<v1::Condition> {
    use v1::condition::{Comparison as Wire, Target};
    let value = text::optional_bytes("value", input.value, input.value_base64)?;
    let target = match (value, input.create, input.modify) {
        (Some(value), None, None) => Target::Value(value),
        (None, Some(create), None) => Target::Create(create),
        (None, None, Some(modify)) => Target::Modify(modify),
        _ => {
            return Err(Error::invalid(
                "value: wants exactly one of value, value_base64, create, modify",
            ));
        }
    };
    let comparison = match input.comparison {
        Comparison::Equal => Wire::Equal,
        Comparison::NotEqual => Wire::NotEqual,
        Comparison::Less => Wire::Less,
        Comparison::Greater => Wire::Greater,
    };
    Ok(v1::Condition {
        key: text::bytes("key", input.key, input.key_base64)?,
        comparison: comparison.into(),
        target: Some(target),
    })
}

fn op(input: Op) -> Result<v1::Op> {
    use v1::op::Op as Wire;
    let op = match input {
        Op::Put(input) => Wire::Put(put(input)?),
        Op::Delete(input) => Wire::Delete(v1::Delete { key: input.bytes()? }),
        Op::Get(input) => Wire::Get(v1::Get { key: input.bytes()? }),
    };
    Ok(v1::Op { op: Some(op) })
}

fn written(outcomes: &[v1::Outcome]) -> Result<PutOutput> {
    let (_, written): (_, v1::Written) = only_output(outcomes)?;
    Ok(revision(&written))
}

fn revision(written: &v1::Written) -> PutOutput {
    let revision = written.revision.unwrap_or_default();
    PutOutput { create: revision.create, modify: revision.modify }
}

fn txn_output(outcomes: &[v1::Outcome]) -> Result<TxnOutput> {
    let (index, result): (_, v1::TxnResult) = only_output(outcomes)?;
    let results = result.results.into_iter().map(op_output).collect::<Result<_>>()?;
    Ok(TxnOutput { succeeded: result.succeeded, results, index })
}

fn op_output(result: v1::OpResult) -> Result<OpOutput> {
    use v1::op_result::Result as Wire;
    match result.result {
        Some(Wire::Put(written)) => Ok(OpOutput::Put(revision(&written))),
        Some(Wire::Delete(deleted)) => Ok(OpOutput::Delete { existed: deleted.existed }),
        Some(Wire::Get(found)) => Ok(OpOutput::Get { pair: found.pair.map(pair) }),
        None => Err(Error::internal("output of sys/txn: an operation has no result")),
    }
}

fn pair(pair: v1::KeyValue) -> Pair {
    let (key, key_base64) = text::text_or_base64(pair.key);
    let (value, value_base64) = text::text_or_base64(pair.value);
    let v1::Revision { create, modify } = pair.revision.unwrap_or_default();
    Pair { key, key_base64, value, value_base64, create, modify }
}
