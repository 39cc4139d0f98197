//! Args and outputs of the methods of `sys` that are about members.

use super::sys::decode;
use althing_protocol::v1;
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

pub(super) fn args(method: &str, bytes: &[u8]) -> Option<Value> {
    match method {
        "member_invite" => decode(bytes, |args: v1::MemberInvite| {
            let (invite, role) = (HEXLOWER.encode(&args.invite), args.role().to_string());
            json!({"invite": invite, "role": role, "expires_us": args.expires_us})
        }),
        "member_uninvite" => decode(
            bytes,
            |args: v1::MemberUninvite| json!({"invite": HEXLOWER.encode(&args.invite)}),
        ),
        "member_join" => decode(bytes, |args: v1::MemberJoin| {
            json!({
                "invite": HEXLOWER.encode(&args.invite), "key": HEXLOWER.encode(&args.key),
                "address": args.address, "labels": labels(args.labels),
                "signature": HEXLOWER.encode(&args.signature),
            })
        }),
        "member_set" => decode(bytes, set),
        "member_report" => decode(
            bytes,
            |args: v1::MemberReport| json!({"address": args.address, "labels": labels(args.labels)}),
        ),
        "member_remove" => decode(bytes, |args: v1::MemberId| json!({"id": args.id})),
        "member_leave" => decode(bytes, |_: v1::MemberLeave| json!({})),
        _ => None,
    }
}

pub(super) fn output(method: &str, bytes: &[u8]) -> Option<Value> {
    match method {
        "member_join" | "member_set" | "member_report" | "member_remove" | "member_leave" => {
            decode(bytes, member)
        }
        _ => None,
    }
}

fn set(args: v1::MemberSet) -> Value {
    let role = args.role.is_some().then(|| args.role().to_string());
    let mut shown = Map::from_iter([("id".to_owned(), args.id.into())]);
    for (name, value) in [
        ("role", role.map(Value::from)),
        ("priority", args.priority.map(Value::from)),
        ("address", args.address.map(Value::from)),
        ("given", args.given.map(|given| labels(given.labels))),
    ] {
        shown.extend(value.map(|value| (name.to_owned(), value)));
    }
    shown.into()
}

fn member(member: v1::Member) -> Value {
    let mut shown = json!({
        "id": member.id, "key": HEXLOWER.encode(&member.key), "role": member.role().to_string(),
        "priority": member.priority, "address": member.address, "labels": labels(member.labels),
        "given": labels(member.given), "joined": member.joined,
    });
    if member.removed > 0 {
        shown["removed"] = member.removed.into();
    }
    shown
}

fn labels(labels: Vec<v1::Label>) -> Value {
    let pairs = labels.into_iter().map(|label| (label.name, label.value.into()));
    Value::Object(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use althing_protocol::{PublicKey, sys};
    use prost::Message as _;

    #[test]
    fn they_read_like_their_operations() {
        let (ab, cd) = ("ab".repeat(32), "cd".repeat(32));
        let gpu = || vec![v1::Label { name: "gpu".into(), value: "yes".into() }];
        let invite = v1::MemberInvite {
            invite: vec![0xab; 32],
            role: v1::MemberRole::Learner.into(),
            expires_us: 7,
        };
        let join = v1::MemberJoin {
            invite: vec![0xab; 32],
            key: vec![0xcd; 32],
            address: "pi:4100".into(),
            labels: gpu(),
            signature: vec![1, 2],
        };
        let set = v1::MemberSet {
            id: 2,
            role: Some(v1::MemberRole::Voter.into()),
            given: Some(v1::Labels { labels: gpu() }),
            ..v1::MemberSet::default()
        };
        let report = v1::MemberReport { address: "pi:4100".into(), labels: Vec::new() };
        for (instruction, expected) in [
            (
                sys::member_invite(&invite),
                json!({"invite": ab, "role": "learner", "expires_us": 7}),
            ),
            (sys::member_uninvite(&PublicKey([0xab; 32])), json!({"invite": ab})),
            (
                sys::member_join(&join),
                json!({
                    "invite": ab, "key": cd, "address": "pi:4100", "labels": {"gpu": "yes"},
                    "signature": "0102",
                }),
            ),
            (sys::member_set(&set), json!({"id": 2, "role": "voter", "given": {"gpu": "yes"}})),
            (sys::member_report(&report), json!({"address": "pi:4100", "labels": {}})),
            (sys::member_remove(2), json!({"id": 2})),
            (sys::member_leave(), json!({})),
        ] {
            assert_eq!(args(&instruction.method, &instruction.args), Some(expected));
        }
        let member = v1::Member {
            id: 2,
            key: vec![0xcd; 32],
            role: v1::MemberRole::Learner.into(),
            priority: 100,
            labels: gpu(),
            joined: 5,
            removed: 9,
            ..v1::Member::default()
        };
        assert_eq!(
            output("member_remove", &member.encode_to_vec()),
            Some(json!({
                "id": 2, "key": cd, "role": "learner", "priority": 100, "address": "",
                "labels": {"gpu": "yes"}, "given": {}, "joined": 5, "removed": 9,
            }))
        );
    }
}
