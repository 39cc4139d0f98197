//! Several keys at once, all or nothing, after etcd's Txn.

use super::kv;
use crate::{Fault, keyspace, native::Call};
use althing_protocol::{Error, Need, Result, SYS, limits, v1};
use std::cmp::Ordering;
use v1::{condition::Comparison, condition::Target, op, op_result};

/// Checks the transaction, and says what it touches: conditions read.
pub(super) fn needs(txn: &v1::Txn) -> Result<Vec<Need>> {
    let lists = [txn.conditions.len(), txn.success.len(), txn.failure.len()];
    if lists.iter().any(|len| *len > limits::TXN_OPS_MAX) || lists[1] + lists[2] == 0 {
        return Err(Error::invalid(format!(
            "transaction: wants an operation, and at most {} conditions and operations a branch",
            limits::TXN_OPS_MAX
        )));
    }
    let mut needs = Vec::new();
    for condition in &txn.conditions {
        kv::check_key(&condition.key)?;
        if condition.target.is_none() || Comparison::try_from(condition.comparison).is_err() {
            return Err(Error::invalid(format!(
                "condition on {}: wants a comparison, and a value, create or modify to compare",
                condition.key.escape_ascii()
            )));
        }
        needs.push(Need::new(SYS, "get").at(condition.key.as_slice()));
    }
    for op in txn.success.iter().chain(&txn.failure) {
        needs.push(need(op)?);
    }
    Ok(needs)
}

fn need(op: &v1::Op) -> Result<Need> {
    let (method, key) = match &op.op {
        Some(op::Op::Put(put)) => {
            kv::check_put(put)?;
            ("put", &put.key)
        }
        Some(op::Op::Delete(delete)) => ("delete", &delete.key),
        Some(op::Op::Get(get)) => ("get", &get.key),
        None => return Err(Error::invalid("operation of the transaction: empty")),
    };
    kv::check_key(key)?;
    Ok(Need::new(SYS, method).at(key.as_slice()))
}

pub(super) fn run(call: &mut Call<'_>, txn: v1::Txn) -> Result<v1::TxnResult, Fault> {
    let mut succeeded = true;
    for condition in &txn.conditions {
        succeeded &= holds(call, condition)?;
    }
    let ops = if succeeded { txn.success } else { txn.failure };
    let mut results = Vec::with_capacity(ops.len());
    for op in ops {
        let result = match op.op {
            Some(op::Op::Put(put)) => op_result::Result::Put(kv::put(call, put)?),
            Some(op::Op::Delete(d)) => op_result::Result::Delete(kv::delete(call, &d.key)?),
            Some(op::Op::Get(get)) => op_result::Result::Get(kv::get(call, &get.key)?),
            None => continue,
        };
        results.push(v1::OpResult { result: Some(result) });
    }
    Ok(v1::TxnResult { succeeded, results })
}

fn holds(call: &Call<'_>, condition: &v1::Condition) -> Result<bool, Fault> {
    let stored = call.scope.get(&keyspace::kv(&condition.key))?;
    let pair = stored.as_deref().map(kv::decode_pair).transpose()?;
    let ordering = match (&condition.target, pair) {
        (Some(Target::Value(_)), None) | (None, _) => None,
        (Some(Target::Value(value)), Some(pair)) => Some(pair.value.cmp(value)),
        (Some(Target::Create(create)), pair) => Some(pair.map_or(0, |p| p.create).cmp(create)),
        (Some(Target::Modify(modify)), pair) => Some(pair.map_or(0, |p| p.modify).cmp(modify)),
    };
    Ok(match condition.comparison() {
        Comparison::Equal => ordering == Some(Ordering::Equal),
        Comparison::NotEqual => ordering != Some(Ordering::Equal),
        Comparison::Less => ordering == Some(Ordering::Less),
        Comparison::Greater => ordering == Some(Ordering::Greater),
    })
}
