//! What single keywords demand of numbers, texts and lists.

use super::{
    Fit, misfit,
    words::{listed, shown, string},
};
use serde_json::{Number, Value};
use std::{cmp::Ordering, collections::BTreeSet};

/// The patterns of maps whose keys are integers.
const UNSIGNED_KEYS: &str = r"^\d+$";
const SIGNED_KEYS: &str = r"^-?\d+$";

pub(super) fn has_type(rule: &Value, value: &Value) -> Fit {
    let is = |name: &Value| match (string(name), value) {
        ("null", Value::Null)
        | ("boolean", Value::Bool(_))
        | ("string", Value::String(_))
        | ("number", Value::Number(_))
        | ("array", Value::Array(_))
        | ("object", Value::Object(_)) => true,
        ("integer", Value::Number(n)) => {
            n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => false,
    };
    let names = match rule {
        Value::Array(names) => names.as_slice(),
        one => std::slice::from_ref(one),
    };
    match names.iter().any(is) {
        true => Ok(()),
        false => misfit(format!(
            "{}, wants {}",
            shown(value),
            listed(names.iter().map(|name| string(name).to_owned()))
        )),
    }
}

/// A number, exactly where it is an integer.
pub(super) fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

pub(super) fn bound(n: &Number, rule: &Value, is_inside: fn(Ordering) -> bool, words: &str) -> Fit {
    let order = rule.as_number().and_then(|limit| compare(n, limit));
    match order.is_some_and(is_inside) {
        true => Ok(()),
        false => misfit(format!("{n}, wants {words} {rule}")),
    }
}

pub(super) fn multiple(n: &Number, rule: &Value) -> Fit {
    let is_multiple = match (n.as_i128(), rule.as_number().and_then(Number::as_i128)) {
        (Some(n), Some(step)) => n.checked_rem(step) == Some(0),
        _ => {
            let parts = n.as_f64().zip(rule.as_f64()).map(|(n, step)| n / step);
            parts.is_some_and(|parts| parts.fract() == 0.0)
        }
    };
    match is_multiple {
        true => Ok(()),
        false => misfit(format!("{n}, wants a multiple of {rule}")),
    }
}

pub(super) fn size(keyword: &str, rule: &Value, have: usize, what: &str) -> Fit {
    let (limit, have) = (rule.as_u64(), have as u64);
    let (fits, words) = match keyword.starts_with("min") {
        true => (limit.is_some_and(|limit| have >= limit), "at least"),
        false => (limit.is_some_and(|limit| have <= limit), "at most"),
    };
    match fits {
        true => Ok(()),
        false => misfit(format!("{have} {what}, wants {words} {rule}")),
    }
}

pub(super) fn unique(list: &[Value]) -> Fit {
    let mut seen = BTreeSet::new();
    match list.iter().find(|item| !seen.insert(item.to_string())) {
        Some(item) => misfit(format!("{} twice", shown(item))),
        None => Ok(()),
    }
}

/// Whether `text` has the pattern; an error is a pattern that cannot be used.
pub(super) fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match pattern {
        UNSIGNED_KEYS => Ok(digits(text)),
        SIGNED_KEYS => Ok(digits(text.strip_prefix('-').unwrap_or(text))),
        _ => has_pattern(pattern, text),
    }
}

#[cfg(feature = "pattern")]
pub(super) fn has_pattern(pattern: &str, text: &str) -> Result<bool, String> {
    let regex = regex_lite::Regex::new(pattern)
        .map_err(|e| format!("the schema has the pattern {pattern:?}: {e}"))?;
    Ok(regex.is_match(text))
}

#[cfg(not(feature = "pattern"))]
pub(super) fn has_pattern(pattern: &str, _: &str) -> Result<bool, String> {
    Err(format!(
        "the schema has the pattern {pattern:?}; in Cargo.toml, give althing-sdk the feature `pattern`"
    ))
}
