//! What actors are told of an event, or of a changed key: the text of a message.

use super::topics::KV;
use crate::{Halt, sys};
use althing_protocol::{SYS, json, limits, v1};
use althing_state::Change;
use data_encoding::BASE64;
use serde_json::{Map, json};

/// Something that actors may be told.
pub(super) struct News<'a> {
    pub(super) program: &'a str,
    pub(super) topic: &'a str,
    /// The key that changed; empty for an event.
    pub(super) key: &'a [u8],
    /// The event's data, or the stored pair after the change.
    pub(super) data: Option<&'a [u8]>,
}

impl<'a> News<'a> {
    pub(super) fn of_change(change: &'a Change) -> Self {
        let (key, data) = (change.key.key(), change.new.as_deref());
        Self { program: SYS, topic: KV, key, data }
    }

    pub(super) fn of_event(event: &'a v1::Event) -> Self {
        let (program, topic) = (event.program.as_str(), event.topic.as_str());
        Self { program, topic, key: b"", data: Some(&event.data) }
    }

    pub(super) fn is_kv(&self) -> bool {
        (self.program, self.topic) == (SYS, KV)
    }

    /// The message of it, in the first form that fits.
    pub(super) fn message(&self, index: u64) -> Result<Vec<u8>, Halt> {
        let mut forms = Vec::new();
        let mut short = Map::new();
        let about = |data| Map::from_iter([("data".to_owned(), serde_json::Value::Object(data))]);
        match self.data {
            stored if self.is_kv() => {
                let mut data = Map::new();
                put_bytes(&mut data, "key", self.key);
                short = about(data.clone());
                match stored {
                    Some(stored) => put_bytes(&mut data, "value", sys::decode_pair(stored)?.value),
                    None => drop(data.insert("value".to_owned(), serde_json::Value::Null)),
                }
                forms.push(about(data));
            }
            None => {}
            Some(bytes) => {
                if let Ok(data) = json::parse("data", bytes) {
                    forms.push(Map::from_iter([("data".to_owned(), data)]));
                }
                let mut data = Map::new();
                match std::str::from_utf8(bytes) {
                    Ok("") => {}
                    Ok(text) => drop(data.insert("data_text".to_owned(), text.into())),
                    Err(_) => put_bytes(&mut data, "data", bytes),
                }
                forms.push(data);
            }
        }
        let topic = (index, self.program, self.topic);
        Ok(forms
            .iter()
            .find_map(|form| of_event(topic, form))
            .unwrap_or_else(|| truncated(topic, short)))
    }
}

/// Says only that there was something.
pub(super) fn bare(index: u64, topic: &v1::ActorTopic) -> Vec<u8> {
    truncated((index, &topic.program, &topic.topic), Map::new())
}

fn truncated(topic: (u64, &str, &str), mut about: Map<String, serde_json::Value>) -> Vec<u8> {
    about.insert("truncated".to_owned(), true.into());
    of_event(topic, &about).unwrap_or_default()
}

/// The message, unless it is too long for one.
fn of_event(
    (index, program, topic): (u64, &str, &str),
    about: &Map<String, serde_json::Value>,
) -> Option<Vec<u8>> {
    let mut event = about.clone();
    event.insert("program".to_owned(), program.into());
    event.insert("topic".to_owned(), topic.into());
    event.insert("index".to_owned(), index.into());
    let message = json::canonical_value("event", &json!({ "event": event }));
    message.ok().filter(|message| message.len() <= limits::ACTOR_MESSAGE_BYTES_MAX)
}

/// Bytes as text under `name`, or as base64 under `name_base64`.
fn put_bytes(object: &mut Map<String, serde_json::Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), BASE64.encode(bytes).into()),
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_event_is_told_in_the_first_form_that_fits() {
        let deep = format!("{}{}", "[".repeat(63), "]".repeat(63));
        let long = format!("\"{}\"", "x".repeat(limits::ACTOR_MESSAGE_BYTES_MAX));
        for (data, before, after) in [
            (&b"{\"b\": 1.0, \"a\": []}"[..], r#""data":{"a":[],"b":1},"#, ""),
            (b"null", r#""data":null,"#, ""),
            (b"", "", ""),
            (b"no json", r#""data_text":"no json","#, ""),
            (b"{\"a\":1,\"a\":2}", r#""data_text":"{\"a\":1,\"a\":2}","#, ""),
            (&[0xff, 0], r#""data_base64":"/wA=","#, ""),
            // With what is around it there are too many levels.
            (deep.as_bytes(), &format!(r#""data_text":"{deep}","#), ""),
            (long.as_bytes(), "", r#","truncated":true"#),
        ] {
            let event = v1::Event { program: "p".into(), topic: "t".into(), data: data.to_vec() };
            let message = News::of_event(&event).message(7).unwrap();
            let message = String::from_utf8(message).unwrap();
            let expected =
                format!(r#"{{"event":{{{before}"index":7,"program":"p","topic":"t"{after}}}}}"#);
            assert_eq!(message, expected, "{}", data.escape_ascii());
        }
    }
}
