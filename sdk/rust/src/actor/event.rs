//! What subscriptions make messages of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event that a subscription made a message of: `{"event": {...}}`, for which an enum of messages
/// has a variant `Event(Event)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The program that emitted it.
    pub program: String,
    /// Its topic.
    pub topic: String,
    /// Index of the entry.
    pub index: u64,
    /// Its data, when they are JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Its data, when they are another text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_text: Option<String>,
    /// Its data, when they are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// Whether there are more data than a message holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// A key that changed: what an [`Event`] of `sys`, `kv` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, when it is text.
    pub key: Option<String>,
    /// The key, when it is none.
    pub key_base64: Option<String>,
    /// What became of it.
    pub value: NewValue,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewValue {
    /// It has a value, which is text.
    Text(String),
    /// It has a value, which is no text.
    Base64(String),
    /// It has a value, which is longer than a message.
    TooLong,
    /// It is gone.
    Deleted,
}

impl NewValue {
    /// The value, if it came, and is text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Base64(_) | Self::TooLong | Self::Deleted => None,
        }
    }
}

impl Event {
    /// Whether it is about a key.
    pub fn is_kv(&self) -> bool {
        self.program == "sys" && self.topic == "kv"
    }

    /// The key that changed, if it is about one.
    pub fn kv(&self) -> Option<Change> {
        let data = self.data.as_ref().filter(|_| self.is_kv())?.as_object()?;
        let text = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
        let value = match data.get("value") {
            Some(Value::String(text)) => NewValue::Text(text.clone()),
            Some(Value::Null) => NewValue::Deleted,
            Some(_) => return None,
            None => match text("value_base64") {
                Some(base64) => NewValue::Base64(base64),
                None if self.truncated => NewValue::TooLong,
                None => return None,
            },
        };
        Some(Change { key: text("key"), key_base64: text("key_base64"), value })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    /// What a realm sends of a key, read.
    fn read(data: Value, truncated: bool) -> Option<Change> {
        let mut event = json!({"program": "sys", "topic": "kv", "index": 7, "data": data});
        if truncated {
            event["truncated"] = json!(true);
        }
        serde_json::from_value::<Event>(event).unwrap().kv()
    }

    #[test]
    fn what_became_of_a_key_cannot_be_mistaken() {
        for (data, truncated, value) in [
            (json!({"key": "/a", "value": ""}), false, NewValue::Text(String::new())),
            (json!({"key": "/a", "value_base64": "/w=="}), false, NewValue::Base64("/w==".into())),
            (json!({"key": "/a", "value": null}), false, NewValue::Deleted),
            (json!({"key": "/a"}), true, NewValue::TooLong),
        ] {
            let change = Change { key: Some("/a".into()), key_base64: None, value };
            assert_eq!(read(data, truncated), Some(change));
        }
        for forged in
            [json!({"key": "/a"}), json!({"key": "/a", "value": 1}), json!([]), json!(null)]
        {
            assert_eq!(read(forged, false), None);
        }
        assert_eq!(read(json!({"key_base64": "/w==", "value": "x"}), false).unwrap().key, None);
    }

    #[test]
    fn only_events_of_keys_are_about_keys() {
        for (program, topic) in [("sys", "programs"), ("book", "kv")] {
            let data = json!({"key": "/a", "value": "x"});
            let event = json!({"program": program, "topic": topic, "index": 7, "data": data});
            assert_eq!(serde_json::from_value::<Event>(event).unwrap().kv(), None);
        }
    }
}
