//! Which of some forms a value is meant to have.

use super::{
    rules::has_type,
    words::{items, listed, string},
};
use serde_json::Value;

/// Whether nothing at the top of `form` says that `value` is of another one: a field that is not
/// there, another tag.
pub(super) fn may_be_meant(form: &Value, value: &Value) -> bool {
    let Value::Object(keywords) = form else { return true };
    let says = |keyword: &str, fits: fn(&Value, &Value) -> bool| {
        keywords.get(keyword).is_none_or(|rule| fits(rule, value))
    };
    let required = |rule: &Value, value: &Value| match value {
        Value::Object(fields) => items(rule).iter().all(|name| fields.contains_key(string(name))),
        _ => true,
    };
    let tags = |rule: &Value, value: &Value| {
        let tags = rule.as_object().into_iter().flatten();
        let mut tags = tags.filter_map(|(name, rule)| Some((rule.get("const")?, value.get(name)?)));
        tags.all(|(tag, have)| tag == have)
    };
    says("required", required)
        && says("const", |one, value| one == value)
        && says("enum", |many, value| items(many).contains(value))
        && says("type", |kind, value| has_type(kind, value).is_ok())
        && says("properties", tags)
}

/// What people call a form: its tag, its only field, its value.
pub(super) fn name_of(form: &Value) -> Option<String> {
    if let Some(one) = form.get("const") {
        return Some(one.to_string());
    }
    if let Some(many) = form.get("enum") {
        return Some(listed(items(many).iter().map(Value::to_string)));
    }
    let tags = form.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut tags = tags.filter_map(|(_, rule)| rule.get("const"));
    if let Some(tag) = tags.next() {
        return Some(tag.to_string());
    }
    if let [name] = form.get("required").map_or(&[][..], items) {
        return Some(name.to_string());
    }
    form.get("title").or_else(|| form.get("type")).map(|name| string(name).to_owned())
}
