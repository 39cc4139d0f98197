//! Args and outputs of `actor`, which are messages that hold JSON.

use super::sys::decode;
use althing_operations::{
    actor::{ShownActor, ShownOut, ShownStep, json as json_of},
    text::text_or_base64,
};
use althing_protocol::v1;
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Value, json};

/// The args of a method of `actor`; `None` if they cannot be read.
pub(super) fn args(method: &str, bytes: &[u8]) -> Option<Value> {
    match method {
        "spawn" => decode(
            bytes,
            |args: v1::ActorSpawn| json!({"actor": args.actor, "program": args.program}),
        ),
        "send" | "request" => decode(
            bytes,
            |args: v1::ActorSend| json!({"actor": args.actor, "message": json_of(&args.message)}),
        ),
        "stop" | "remove" => decode(bytes, |args: v1::ActorName| json!({"actor": args.actor})),
        "rollback" => decode(bytes, |args: v1::ActorRollback| {
            let mut shown = json!({"actor": args.actor, "to": args.to});
            if let Some(state) = args.state {
                shown["state"] = json_of(&state).unwrap_or_default();
            }
            shown
        }),
        "retry" => decode(
            bytes,
            |args: v1::ActorRetry| json!({"actor": args.actor, "letter": args.letter}),
        ),
        "send_at" => decode(bytes, |args: v1::ActorSendAt| {
            json!({
                "actor": args.actor, "timer": args.timer, "at_us": args.at_us,
                "message": json_of(&args.message),
            })
        }),
        "send_every" => decode(bytes, |args: v1::ActorSendEvery| {
            let mut shown = json!({
                "actor": args.actor, "timer": args.timer, "period_us": args.period_us,
                "message": json_of(&args.message),
            });
            if args.first_us > 0 {
                shown["first_us"] = args.first_us.into();
            }
            shown
        }),
        "cancel" => decode(
            bytes,
            |args: v1::ActorTimerName| json!({"actor": args.actor, "timer": args.timer}),
        ),
        "subscribe" | "unsubscribe" => decode(bytes, topic),
        _ => None,
    }
}

/// The output of a method of `actor`; `None` if it cannot be read.
pub(super) fn output(method: &str, bytes: &[u8]) -> Option<Value> {
    match method {
        "spawn" | "stop" | "rollback" => decode(bytes, |done: v1::ActorDone| {
            value(&ShownActor::from(done.info.unwrap_or_default()))
        }),
        "send" | "retry" => decode(bytes, |sent: v1::ActorSent| json!({"waiting": sent.waiting})),
        "request" => decode(bytes, reply),
        "remove" => decode(
            bytes,
            |removed: v1::ActorRemoved| json!({"keys": removed.keys, "more": removed.more}),
        ),
        _ => None,
    }
}

fn topic(args: v1::ActorTopic) -> Value {
    let mut shown = json!({"actor": args.actor, "program": args.program, "topic": args.topic});
    if !args.prefix.is_empty() {
        match text_or_base64(args.prefix) {
            (Some(text), _) => shown["prefix"] = text.into(),
            (None, base64) => shown["prefix_base64"] = base64.into(),
        }
    }
    shown
}

fn reply(reply: v1::ActorReply) -> Value {
    let mut shown = json!({
        "step": value(&ShownStep::from(reply.step.unwrap_or_default())),
        "chain": HEXLOWER.encode(&reply.chain),
        "sends": reply.sends.into_iter().map(ShownOut::from).map(|out| value(&out)).collect::<Value>(),
    });
    if let Some(state) = reply.state {
        shown["state"] = json_of(&state).unwrap_or_default();
    }
    shown
}

fn value(shown: &impl Serialize) -> Value {
    serde_json::to_value(shown).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_operations::{Registry, actor};
    use prost::Message as _;

    #[test]
    fn what_an_operation_takes_is_what_the_log_shows() {
        let registry = Registry::new(actor::actions()).unwrap();
        for (name, input) in [
            ("spawn", json!({"actor": "a", "program": "p"})),
            ("send", json!({"actor": "a", "message": {"x": [1, null]}})),
            ("request", json!({"actor": "a", "message": null})),
            ("stop", json!({"actor": "a"})),
            ("remove", json!({"actor": "a"})),
            ("rollback", json!({"actor": "a", "to": 3})),
            ("rollback", json!({"actor": "a", "to": 3, "state": null})),
            ("retry", json!({"actor": "a", "letter": 3})),
            ("send_at", json!({"actor": "a", "timer": "t", "at_us": 5, "message": 1})),
            ("send_every", json!({"actor": "a", "timer": "t", "period_us": 500_000, "message": 1})),
            ("cancel", json!({"actor": "a", "timer": "t"})),
            ("subscribe", json!({"actor": "a", "program": "sys", "topic": "kv", "prefix": "/r"})),
            ("unsubscribe", json!({"actor": "a", "program": "shop", "topic": "sold"})),
        ] {
            let operation = registry.resolve(&format!("action:actor.{name}.v1")).unwrap();
            let made = operation.plan(input.clone()).unwrap().remove(0);
            assert_eq!(args(&made.method, &made.args), Some(input), "{name}");
        }
        assert_eq!(args("spawn", &[0xff]), None);
        assert_eq!(args("no_such_method", &[]), None);
    }

    #[test]
    fn outputs_are_told() {
        let info = v1::ActorInfo { actor: "a".into(), step: 3, ..v1::ActorInfo::default() };
        let done = v1::ActorDone { info: Some(info) }.encode_to_vec();
        assert_eq!(output("spawn", &done).unwrap()["step"], 3);
        let step = v1::ActorStep {
            step: 2,
            kind: Some(v1::actor_step::Kind::Begun(v1::ActorBegun {})),
            ..v1::ActorStep::default()
        };
        let reply = v1::ActorReply {
            step: Some(step),
            state: Some(b"{\"n\":1}".to_vec()),
            ..Default::default()
        };
        let shown = output("request", &reply.encode_to_vec()).unwrap();
        assert_eq!((&shown["step"]["kind"], &shown["state"]), (&json!("begun"), &json!({"n": 1})));
        assert_eq!(output("send", &[0xff]), None);
    }
}
