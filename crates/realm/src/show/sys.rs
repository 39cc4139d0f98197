//! Args and outputs of `sys`, which are messages and not JSON.

use super::members;
use althing_operations::text::text_or_base64;
use althing_protocol::v1;
use data_encoding::HEXLOWER;
use prost::Message;
use serde_json::{Map, Value, json};

/// The args of a method of `sys`; `None` if they cannot be read.
pub(super) fn args(method: &str, bytes: &[u8]) -> Option<Value> {
    match method {
        "put" => decode(bytes, put),
        "delete" => decode(bytes, |delete: v1::Delete| fields().bytes("key", delete.key).done()),
        "compare_and_swap" => decode(bytes, compare_and_swap),
        "txn" => decode(bytes, txn),
        "session_open" => decode(bytes, |open: v1::SessionOpen| json!({"label": open.label})),
        "session_close" => {
            decode(bytes, |close: v1::SessionClose| json!({"session": close.session}))
        }
        "grant" => decode(bytes, grant),
        "revoke" => decode(bytes, |id: v1::GrantId| json!({"id": id.id})),
        "role_add" | "role_remove" => decode(
            bytes,
            |member: v1::RoleMember| json!({"role": member.role, "key": HEXLOWER.encode(&member.key)}),
        ),
        "stage" => decode(bytes, stage),
        "activate" => decode(
            bytes,
            |activate: v1::Activate| json!({"program": activate.program, "image": HEXLOWER.encode(&activate.image)}),
        ),
        "rollback" => decode(bytes, |rollback: v1::Rollback| {
            let shown = fields().with("program", rollback.program);
            match rollback.image {
                Some(image) => shown.with("image", HEXLOWER.encode(&image)).done(),
                None => shown.done(),
            }
        }),
        "disable" | "enable" | "remove" => {
            decode(bytes, |name: v1::ProgramName| json!({"program": name.program}))
        }
        "program_rules" => decode(bytes, program_rules),
        _ => members::args(method, bytes),
    }
}

/// The output of a method of `sys`; `None` if it cannot be read.
pub(super) fn output(method: &str, bytes: &[u8]) -> Option<Value> {
    match method {
        "put" | "compare_and_swap" => decode(bytes, written),
        "delete" => decode(bytes, deleted),
        "txn" => decode(bytes, |result: v1::TxnResult| {
            let results: Value = result.results.into_iter().map(op_result).collect();
            json!({"succeeded": result.succeeded, "results": results})
        }),
        "session_open" => {
            decode(bytes, |opened: v1::SessionOpened| json!({"session": opened.session}))
        }
        "grant" => decode(bytes, |id: v1::GrantId| json!({"id": id.id})),
        "stage" | "activate" | "rollback" | "disable" | "enable" | "program_rules" => {
            decode(bytes, program)
        }
        "remove" => decode(
            bytes,
            |removed: v1::Removed| json!({"keys": removed.keys, "more": removed.more, "grants": removed.grants}),
        ),
        _ => members::output(method, bytes),
    }
}

pub(super) fn decode<M: Message + Default>(
    bytes: &[u8],
    show: impl Fn(M) -> Value,
) -> Option<Value> {
    M::decode(bytes).ok().map(show)
}

struct Fields(Map<String, Value>);

fn fields() -> Fields {
    Fields(Map::new())
}

impl Fields {
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    fn bytes(self, name: &str, bytes: Vec<u8>) -> Self {
        match text_or_base64(bytes) {
            (Some(text), _) => self.with(name, text),
            (None, base64) => self.with(&format!("{name}_base64"), base64),
        }
    }

    fn done(self) -> Value {
        self.0.into()
    }
}

fn put(put: v1::Put) -> Value {
    fields().bytes("key", put.key).bytes("value", put.value).done()
}

fn compare_and_swap(args: v1::CompareAndSwap) -> Value {
    use v1::compare_and_swap::Expected;
    let expected = match args.expected {
        Some(Expected::Absent(absent)) => json!({"absent": absent}),
        Some(Expected::Value(value)) => fields().bytes("value", value).done(),
        Some(Expected::Modify(modify)) => json!({"modify": modify}),
        None => Value::Null,
    };
    fields().bytes("key", args.key).with("expected", expected).bytes("value", args.new_value).done()
}

fn txn(txn: v1::Txn) -> Value {
    let ops = |ops: Vec<v1::Op>| -> Value { ops.into_iter().map(op).collect() };
    let conditions: Value = txn.conditions.into_iter().map(condition).collect();
    json!({"conditions": conditions, "success": ops(txn.success), "failure": ops(txn.failure)})
}

fn condition(condition: v1::Condition) -> Value {
    use v1::condition::Target;
    let comparison = condition.comparison().as_str_name().to_lowercase();
    let shown =
        fields().with("comparison", comparison.replace('_', "-")).bytes("key", condition.key);
    let shown = match condition.target {
        Some(Target::Value(value)) => shown.bytes("value", value),
        Some(Target::Create(create)) => shown.with("create", create),
        Some(Target::Modify(modify)) => shown.with("modify", modify),
        None => shown,
    };
    shown.done()
}

fn op(op: v1::Op) -> Value {
    use v1::op::Op;
    match op.op {
        Some(Op::Put(args)) => json!({"put": put(args)}),
        Some(Op::Delete(delete)) => json!({"delete": fields().bytes("key", delete.key).done()}),
        Some(Op::Get(get)) => json!({"get": fields().bytes("key", get.key).done()}),
        None => Value::Null,
    }
}

fn op_result(result: v1::OpResult) -> Value {
    use v1::op_result::Result;
    match result.result {
        Some(Result::Put(put)) => json!({"put": written(put)}),
        Some(Result::Delete(delete)) => json!({"delete": deleted(delete)}),
        Some(Result::Get(found)) => json!({"get": found.pair.map(pair)}),
        None => Value::Null,
    }
}

fn pair(pair: v1::KeyValue) -> Value {
    let shown = fields().bytes("key", pair.key).bytes("value", pair.value);
    shown.with("revision", revision(pair.revision)).done()
}

fn written(written: v1::Written) -> Value {
    revision(written.revision)
}

fn revision(revision: Option<v1::Revision>) -> Value {
    let revision = revision.unwrap_or_default();
    json!({"create": revision.create, "modify": revision.modify})
}

fn deleted(deleted: v1::Deleted) -> Value {
    json!({"existed": deleted.existed})
}

fn grant(grant: v1::Grant) -> Value {
    let shown = fields()
        .with("subject", grant.subject)
        .with("program", grant.program)
        .with("method", grant.method)
        .bytes("prefix", grant.prefix)
        .with("exclusive", grant.exclusive);
    if grant.expires_us == 0 {
        shown.done()
    } else {
        shown.with("expires_us", grant.expires_us).done()
    }
}

fn stage(stage: v1::Stage) -> Value {
    let manifest = stage.manifest.unwrap_or_default();
    let shown =
        fields().with("program", stage.program).with("image", HEXLOWER.encode(&stage.image)).with(
            "manifest",
            json!({
                "version": manifest.version,
                "description": manifest.description,
                "fuel_max": manifest.fuel_max,
                "memory_bytes_max": manifest.memory_bytes_max,
            }),
        );
    let Some(v1::ImageSignature { publisher, signature }) = stage.signature else {
        return shown.done();
    };
    let (publisher, signature) = (HEXLOWER.encode(&publisher), HEXLOWER.encode(&signature));
    shown.with("signature", json!({"publisher": publisher, "signature": signature})).done()
}

fn program_rules(rules: v1::ProgramRules) -> Value {
    let mut shown = fields().with("program", rules.program);
    if let Some(owner) = rules.owner {
        shown = shown.with("owner", HEXLOWER.encode(&owner));
    }
    if let Some(role) = rules.role {
        shown = shown.with("role", role);
    }
    if let Some(publishers) = rules.publishers {
        shown = shown.with("publishers", hex_list(&publishers.keys));
    }
    shown.done()
}

/// What of a program its management changes; its images are named, their manifests were staged.
fn program(info: v1::ProgramInfo) -> Value {
    let image = |info: &v1::ImageInfo| HEXLOWER.encode(&info.image);
    let mut shown = fields().with("program", info.program);
    for (name, at) in [("active", &info.active), ("staged", &info.staged)] {
        if let Some(at) = at {
            shown = shown.with(name, image(at));
        }
    }
    if !info.versions.is_empty() {
        shown = shown.with("versions", info.versions.iter().map(image).collect::<Vec<_>>());
    }
    shown = shown.with("owner", HEXLOWER.encode(&info.owner));
    if !info.role.is_empty() {
        shown = shown.with("role", info.role);
    }
    if let Some(publishers) = info.publishers {
        shown = shown.with("publishers", hex_list(&publishers.keys));
    }
    shown.with("disabled", info.disabled.is_some()).done()
}

fn hex_list(keys: &[Vec<u8>]) -> Vec<String> {
    keys.iter().map(|key| HEXLOWER.encode(key)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_protocol::sys;

    #[test]
    fn a_transaction_reads_like_its_operation() {
        let condition = v1::Condition {
            key: b"a".to_vec(),
            comparison: v1::condition::Comparison::NotEqual.into(),
            target: Some(v1::condition::Target::Modify(3)),
        };
        let delete = v1::Op { op: Some(v1::op::Op::Delete(v1::Delete { key: vec![0xff] })) };
        let txn = v1::Txn { conditions: vec![condition], success: vec![delete], failure: vec![] };
        let shown = args("txn", &sys::txn(&txn).args).unwrap();
        assert_eq!(
            shown,
            json!({
                "conditions": [{"key": "a", "comparison": "not-equal", "modify": 3}],
                "success": [{"delete": {"key_base64": "/w=="}}],
                "failure": [],
            })
        );
    }

    #[test]
    fn what_manages_a_program_reads_like_its_operation() {
        let (ab, cd) = ("ab".repeat(32), "cd".repeat(32));
        let rules = v1::ProgramRules {
            program: "counter".into(),
            owner: Some(vec![0xab; 32]),
            role: None,
            publishers: Some(v1::Publishers::default()),
        };
        let signature = v1::ImageSignature { publisher: vec![0xab; 32], signature: vec![7; 64] };
        let stage = v1::Stage {
            program: "counter".into(),
            image: vec![0xcd; 32],
            manifest: None,
            signature: Some(signature),
        };
        let rollback = v1::Rollback { program: "counter".into(), image: Some(vec![0xcd; 32]) };
        for (instruction, expected) in [
            (
                sys::program_rules(&rules),
                json!({"program": "counter", "owner": ab, "publishers": []}),
            ),
            (sys::rollback(&rollback), json!({"program": "counter", "image": cd})),
            (sys::remove("counter"), json!({"program": "counter"})),
        ] {
            assert_eq!(args(&instruction.method, &instruction.args), Some(expected));
        }
        let staged = args("stage", &sys::stage(&stage).args).unwrap();
        assert_eq!(staged["signature"]["publisher"], ab);
        assert_eq!(staged["signature"]["signature"], "07".repeat(64));
        let info = v1::ProgramInfo {
            program: "counter".into(),
            active: Some(v1::ImageInfo { image: vec![0xcd; 32], ..v1::ImageInfo::default() }),
            owner: vec![0xab; 32],
            ..v1::ProgramInfo::default()
        };
        assert_eq!(
            output("activate", &info.encode_to_vec()),
            Some(json!({"program": "counter", "active": cd, "owner": ab, "disabled": false}))
        );
    }

    #[test]
    fn what_is_not_a_message_is_not_shown_as_one() {
        assert_eq!(args("put", &[0xff]), None);
        assert_eq!(args("no_such_method", &[]), None);
        assert_eq!(output("put", &[0xff]), None);
    }
}
