//! The canonical form of a value (RFC 8785, section 3.2).

use super::read::Form;
use serde_json::Number;
use std::cmp::Ordering;

/// Writes the canonical form of a value.
pub(super) fn form(out: &mut Vec<u8>, value: &Form<'_>) {
    match value {
        Form::Null => out.extend_from_slice(b"null"),
        Form::Bool(true) => out.extend_from_slice(b"true"),
        Form::Bool(false) => out.extend_from_slice(b"false"),
        Form::Number(value) => number(out, value),
        Form::Text(value) => text(out, value),
        Form::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                comma(out, at);
                form(out, item);
            }
            out.push(b']');
        }
        Form::Fields(fields) => {
            out.push(b'{');
            for (at, (key, item)) in fields.iter().enumerate() {
                comma(out, at);
                text(out, key);
                out.push(b':');
                form(out, item);
            }
            out.push(b'}');
        }
    }
}

/// Integers that were read are doubles, whose digits are their own.
fn number(out: &mut Vec<u8>, number: &Number) {
    if number.is_f64() {
        let number = number.as_f64().unwrap_or_default();
        out.extend_from_slice(double(&mut ryu_js::Buffer::new(), number).as_bytes());
    } else {
        // Writing to memory does not fail, nor does a number.
        let _ = serde_json::to_writer(out, number);
    }
}

/// A finite number as JavaScript writes it.
pub(super) fn double(buffer: &mut ryu_js::Buffer, number: f64) -> &str {
    buffer.format_finite(number)
}

fn comma(out: &mut Vec<u8>, at: usize) {
    if at > 0 {
        out.push(b',');
    }
}

/// Keys are in the order of their UTF-16 units: in ASCII, that of their bytes.
pub(super) fn by_units(one: &str, other: &str) -> Ordering {
    match one.is_ascii() && other.is_ascii() {
        true => one.cmp(other),
        false => one.encode_utf16().cmp(other.encode_utf16()),
    }
}

/// What serde_json escapes, and how, is what the RFC says.
fn text(out: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail, nor does a string.
    let _ = serde_json::to_writer(out, text);
}
