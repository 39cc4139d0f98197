//! Names of operations: `query:kv.get.v1`, `action:kv.put.v1`.

use crate::OperationKind;

/// Splits `name` into its kind, its dotted middle and its version, if it is well formed.
pub(crate) fn parse(name: &str) -> Option<(OperationKind, &str, u32)> {
    let (kind, rest) = name.split_once(':')?;
    let kind = match kind {
        "query" => OperationKind::Query,
        "action" => OperationKind::Action,
        _ => return None,
    };
    let (middle, version) = rest.rsplit_once(".v")?;
    if version.starts_with('0') || !version.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    middle.split('.').all(is_segment).then_some((kind, middle, version.parse().ok()?))
}

fn is_segment(segment: &str) -> bool {
    segment.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && segment
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// `action:X.v1` for the alias `action:X.input.v1`.
pub(crate) fn without_alias(name: &str) -> Option<String> {
    let (kind, middle, version) = parse(name)?;
    let middle = middle.strip_suffix(".input")?;
    (kind == OperationKind::Action).then(|| format!("action:{middle}.v{version}"))
}

/// Up to three of `names` that look like `wanted`, the best first.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    const ALIKE: f64 = 0.6;
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| (strsim::normalized_damerau_levenshtein(middle(wanted), middle(name)), name))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// What people remember of a name: without kind and version, as far as it has them.
fn middle(name: &str) -> &str {
    let rest = name.split_once(':').map_or(name, |(_, rest)| rest);
    match rest.rsplit_once(".v") {
        Some((middle, version)) if version.bytes().all(|b| b.is_ascii_digit()) => middle,
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_names() {
        assert_eq!(parse("query:kv.get.v1"), Some((OperationKind::Query, "kv.get", 1)));
        assert_eq!(parse("action:a-b_2.v12"), Some((OperationKind::Action, "a-b_2", 12)));
        for bad in [
            "",
            "kv.get.v1",
            "query:kv.get",
            "query:.v1",
            "query:kv..get.v1",
            "query:Kv.get.v1",
            "query:kv.get.v0",
            "query:kv.get.v01",
            "query:kv.get.v",
            "query:kv.get.v1x",
            "query:kv.get.v99999999999",
            "thing:kv.get.v1",
            "query:1kv.v1",
            "query:kv get.v1",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn aliases_are_of_actions_only() {
        assert_eq!(without_alias("action:kv.put.input.v1").as_deref(), Some("action:kv.put.v1"));
        assert_eq!(without_alias("query:kv.get.input.v1"), None);
        assert_eq!(without_alias("action:kv.put.v1"), None);
    }

    #[test]
    fn near_names() {
        let names = ["query:kv.get.v1", "query:kv.list.v1", "action:kv.put.v1", "query:x.y.v1"];
        assert_eq!(nearest("query:kv.gett.v1", names.into_iter())[0], "query:kv.get.v1");
        assert_eq!(nearest("kv.put", names.into_iter())[0], "action:kv.put.v1");
        assert!(nearest("query:something.else.v1", names.into_iter()).is_empty());
    }
}
