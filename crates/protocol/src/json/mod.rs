//! Canonical JSON: one text for one value, so that hashes are equal everywhere (RFC 8785).

mod numbers;
mod read;
#[cfg(test)]
mod tokens;
mod write;

use crate::{Error, Result, limits::JSON_DEPTH_MAX};
use numbers::Integers;
use serde_json::Value;

/// Levels of an input around a message. With those of the message it is less than serde_json takes.
const LEVELS_AROUND: usize = 32;

/// The canonical form of the JSON `text`, which errors call `what`.
///
/// # Errors
/// `invalid` for what is not JSON, and for JSON that two readers could understand differently, as I-JSON
/// (RFC 7493) has it: a key twice, an integer that no double is, a number beyond all doubles, a lone
/// surrogate. And for more than [`JSON_DEPTH_MAX`] levels. Unlike there, texts may have noncharacters;
/// a number with a point or an exponent stands for the nearest double, also when it is an integer.
pub fn canonical(what: &str, text: &[u8]) -> Result<Vec<u8>> {
    let mut form = Vec::with_capacity(text.len());
    write::form(&mut form, &read::strict(what, text, JSON_DEPTH_MAX, Integers::Doubles)?);
    Ok(form)
}

/// The canonical form of `value`.
///
/// # Errors
/// As [`canonical`].
pub fn canonical_value(what: &str, value: &Value) -> Result<Vec<u8>> {
    // A value may be deeper, or have numbers, that its text must not have.
    canonical(what, value.to_string().as_bytes())
}

/// Refuses a `text` that is not canonical.
///
/// # Errors
/// As [`canonical`]; and when the canonical form is another.
pub fn check_canonical(what: &str, text: &[u8]) -> Result<()> {
    if canonical(what, text)? == text {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{what}: is JSON, but not in the canonical form (RFC 8785): keys in order, no spaces, one form \
         of each number"
    )))
}

/// The value of the JSON `text`.
///
/// # Errors
/// As [`canonical`].
pub fn parse(what: &str, text: &[u8]) -> Result<Value> {
    read::strict(what, text, JSON_DEPTH_MAX, Integers::Doubles).map(Value::from)
}

/// The value of a JSON `text` in which messages of ours lie: nothing in it is read as something else
/// without a word. Integers of 64 bits are among what is understood.
///
/// # Errors
/// As [`canonical`], but for integers up to 64 bits, and with 32 levels more.
pub fn read(what: &str, text: &[u8]) -> Result<Value> {
    let depth_max = JSON_DEPTH_MAX + LEVELS_AROUND;
    read::strict(what, text, depth_max, Integers::Bits64).map(Value::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, canonical_form: &str) {
        let form = canonical("text", text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(String::from_utf8(form).unwrap(), canonical_form, "{text}");
        check_canonical("text", canonical_form.as_bytes()).unwrap();
    }

    #[test]
    fn one_text_for_one_value() {
        for (text, form) in [
            (" { \"b\" : 1.0 , \"a\" : [ ] } ", r#"{"a":[],"b":1}"#),
            ("1e2", "100"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1E-7", "1e-7"),
            ("0.1", "0.1"),
            ("1e21", "1e+21"),
            ("333333333.33333329", "333333333.3333333"),
            ("9007199254740992", "9007199254740992"),
            ("1e20", "100000000000000000000"),
            ("-9007199254740991", "-9007199254740991"),
            ("\"\\u0041\\/\\u00e9\"", "\"A/é\""),
            ("\"\\ud83d\\ude00\"", "\"😀\""),
            ("\"\\u0007\"", "\"\\u0007\""),
            // Keys are in the order of their UTF-16 units: U+1F600 is before U+FB33.
            ("{\"\u{fb33}\":1,\"\u{1f600}\":2}", "{\"\u{1f600}\":2,\"\u{fb33}\":1}"),
            ("\"12345678901234567890123\"", "\"12345678901234567890123\""),
            ("\"\\\"12345678901234567890123\"", "\"\\\"12345678901234567890123\""),
        ] {
            check(text, form);
        }
    }

    fn refused(text: &[u8], reason: &str) {
        let error = canonical("message", text).expect_err(reason);
        assert_eq!(error.kind, crate::Kind::Invalid);
        let text = String::from_utf8_lossy(&text[..text.len().min(60)]);
        assert!(error.message.starts_with("message: "), "{text}: {error}");
        assert!(error.message.contains(reason), "{text}: {error}");
    }

    #[test]
    fn what_readers_could_understand_differently_is_refused() {
        for (text, reason) in [
            ("", "ends too early"),
            ("{", "ends too early"),
            ("hello", "no JSON"),
            ("1 2", "no JSON"),
            ("NaN", "no JSON"),
            ("Infinity", "no JSON"),
            ("1e400", "no double is as large"),
            ("-1e400", "no double is as large"),
            ("{\"a\":1,\"a\":1}", "key \"a\" twice"),
            ("{\"a\":1,\"\\u0061\":2}", "key \"a\" twice"),
            ("9007199254740993", "no double"),
            ("-9007199254740993", "no double"),
            ("123456789012345678901234567890", "no double"),
            ("[-123456789012345678901]", "no double"),
            ("1152921504606846976", "no double"),
            ("\"\\ud800\"", "message: has half of a surrogate pair"),
            ("\"\\udc00\\ud800\"", "message: has half of a surrogate pair"),
            ("\"\\ud800\" 2", "is no JSON"),
            ("\"a\nb\"", "no JSON"),
        ] {
            refused(text.as_bytes(), reason);
        }
        refused(b"\"\xff\"", "no JSON");
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(canonical("text", nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
            refused(nested(JSON_DEPTH_MAX + 1).as_bytes(), "levels");
            refused(open.repeat(100_000).as_bytes(), "levels");
        }
    }

    #[test]
    fn an_input_may_have_64_bits() {
        let of = |text: &str| read("input", text.as_bytes());
        for text in ["18446744073709551615", "-9223372036854775808", "[1,9007199254740993]"] {
            assert_eq!(of(text).unwrap().to_string(), text);
        }
        for text in ["18446744073709551617", "-9223372036854775809", "{\"a\":1,\"a\":1}"] {
            assert_eq!(of(text).unwrap_err().kind, crate::Kind::Invalid, "{text}");
        }
    }

    #[test]
    fn what_is_not_canonical_is_told_so() {
        let error = check_canonical("state", b"{\"a\": 1}").unwrap_err();
        assert!(error.message.contains("canonical form"), "{error}");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own(value in values()) {
            let form = canonical_value("value", &value).unwrap();
            prop_assert_eq!(&canonical("form", &form).unwrap(), &form);
            prop_assert_eq!(&serde_json_canonicalizer::to_vec(&value).unwrap(), &form);
            let pretty = serde_json::to_vec_pretty(&value).unwrap();
            prop_assert_eq!(canonical("pretty", &pretty).unwrap(), form);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = canonical("bytes", &bytes);
        }
    }
}
