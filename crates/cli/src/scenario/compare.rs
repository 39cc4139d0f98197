//! What came against what was expected.

use serde_json::Value;

/// How much of a value is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// Of objects only the fields that are named; lists still have as many elements.
    Part,
}

/// Where `got` is not what was expected, a line each; none when it is.
pub(super) fn differences(expected: &Value, got: &Value, extent: Extent) -> Vec<String> {
    let mut lines = Vec::new();
    walk(expected, got, extent, &mut String::new(), &mut lines);
    lines
}

fn walk(expected: &Value, got: &Value, extent: Extent, path: &mut String, lines: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (name, expected) in expected {
                within(path, &format!(".{name}"), |path| match got.get(name) {
                    Some(got) => walk(expected, got, extent, path, lines),
                    None => lines.push(line(path, &expected.to_string(), "nothing")),
                });
            }
            let more = got.iter().filter(|(name, _)| !expected.contains_key(*name));
            for (name, got) in more.filter(|_| extent == Extent::Whole) {
                within(path, &format!(".{name}"), |path| {
                    lines.push(line(path, "nothing", &got.to_string()));
                });
            }
        }
        (Value::Array(expected), Value::Array(got)) => {
            for at in 0..expected.len().max(got.len()) {
                within(path, &format!("[{at}]"), |path| match (expected.get(at), got.get(at)) {
                    (Some(expected), Some(got)) => walk(expected, got, extent, path, lines),
                    (expected, got) => {
                        let shown = |value: Option<&Value>| {
                            value.map_or_else(|| "nothing".to_owned(), Value::to_string)
                        };
                        lines.push(line(path, &shown(expected), &shown(got)));
                    }
                });
            }
        }
        _ if expected == got => {}
        _ => lines.push(line(path, &expected.to_string(), &got.to_string())),
    }
}

fn within(path: &mut String, part: &str, walk: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push_str(part);
    walk(path);
    path.truncate(length);
}

fn line(path: &str, expected: &str, got: &str) -> String {
    let path = if path.is_empty() { "answer" } else { path };
    format!("{path}: expected {expected}, got {got}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(expected: Value, got: Value, whole: &[&str], part: &[&str]) {
        assert_eq!(differences(&expected, &got, Extent::Whole), whole, "{expected} {got}");
        assert_eq!(differences(&expected, &got, Extent::Part), part, "{expected} {got}");
    }

    #[test]
    fn differences_are_named_by_their_place() {
        check(json!({"a": [1, {"b": "x"}]}), json!({"a": [1, {"b": "x"}]}), &[], &[]);
        let both = ["answer: expected 1, got \"1\""];
        check(json!(1), json!("1"), &both, &both);
        check(json!({"a": 1}), json!({"a": 1, "b": 2}), &[".b: expected nothing, got 2"], &[]);
        let both = [".a: expected 1, got nothing"];
        check(json!({"a": 1}), json!({}), &both, &both);
        let both = ["[0].n: expected 1, got 2", "[1]: expected nothing, got {\"n\":3}"];
        check(json!([{"n": 1}]), json!([{"n": 2}, {"n": 3}]), &both, &both);
        let both = ["[1]: expected 2, got nothing"];
        check(json!([1, 2]), json!([1]), &both, &both);
    }
}
