//! Parts of schemas and values, and how they are named to people.

use serde_json::Value;

/// Characters of a wrong value that are shown.
const SHOWN_CHARS_MAX: usize = 64;

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn cut(text: &str) -> &str {
    text.char_indices().nth(SHOWN_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}

/// A value in words, however large it is.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(fields) => {
            format!("an object of {}", listed(fields.keys().map(|k| format!("`{}`", cut(k)))))
        }
        Value::String(text) => format!("{:?}", cut(text)),
        other => other.to_string(),
    }
}

/// The first of some names.
pub(super) fn listed(names: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<String> = names.take(SHOWN + 1).collect();
    match names.len() {
        0 => "nothing".into(),
        len if len > SHOWN => format!("{}, ...", names[..SHOWN].join(", ")),
        _ => names.join(", "),
    }
}
