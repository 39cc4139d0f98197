//! Which files get a tag.

use crate::file::Kind;
use althing_sdk::{Result, ensure};
use serde::{Deserialize, Serialize};

const LIST_MAX: usize = 32;
const TEXT_BYTES_MAX: usize = 256;

/// Conditions of a tag. All that are given must hold; of a list, one of its members. A rule without
/// conditions matches every file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Globs with `*`, `**`, `?`, `[a-z]` and `{a,b}`. One without `/` is matched with the name of
    /// the file, one with `/` with its whole path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    globs: Vec<String>,
    /// Extensions without the dot; case does not matter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<String>,
    /// What lies at the path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<Kind>,
    /// At least so many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_min: Option<u64>,
    /// At most so many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_max: Option<u64>,
    /// Modified at least so many seconds ago, when the file is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_min_s: Option<u64>,
    /// Modified at most so many seconds ago, when the file is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_max_s: Option<u64>,
}

impl Rule {
    /// Refuses what is too large, and bounds that nothing can meet.
    pub(crate) fn check(&self) -> Result<()> {
        for (what, list) in [("globs", &self.globs), ("extensions", &self.extensions)] {
            ensure!(list.len() <= LIST_MAX, "{what}: {} members, at most {LIST_MAX}", list.len());
            for text in list {
                let fits = !text.is_empty() && text.len() <= TEXT_BYTES_MAX;
                ensure!(fits, "{what}: {} bytes in one, wants 1 to {TEXT_BYTES_MAX}", text.len());
            }
        }
        ensure!(self.kinds.len() <= LIST_MAX, "kinds: at most {LIST_MAX}");
        for extension in &self.extensions {
            ensure!(!extension.contains(['.', '/']), "extensions: {extension}: no dot, no slash");
        }
        let meets = |min: Option<u64>, max: Option<u64>| min.zip(max).is_none_or(|(a, b)| a <= b);
        ensure!(meets(self.size_min, self.size_max), "size_min is larger than size_max");
        ensure!(meets(self.age_min_s, self.age_max_s), "age_min_s is larger than age_max_s");
        Ok(())
    }

    /// Does the rule match, at the time `now_us`?
    pub(crate) fn matches(
        &self,
        path: &str,
        kind: Kind,
        size: u64,
        modified_us: u64,
        now_us: u64,
    ) -> bool {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let age_s = now_us.saturating_sub(modified_us) / 1_000_000;
        let within = |value: u64, min: Option<u64>, max: Option<u64>| {
            min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
        };
        within(size, self.size_min, self.size_max)
            && within(age_s, self.age_min_s, self.age_max_s)
            && (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (self.extensions.is_empty() || self.has_extension(name))
            && (self.globs.is_empty()
                || self.globs.iter().any(|glob| {
                    fast_glob::glob_match(glob, if glob.contains('/') { path } else { name })
                }))
    }

    /// A name that starts with its only dot has no extension.
    fn has_extension(&self, name: &str) -> bool {
        let Some((stem, extension)) = name.rsplit_once('.') else { return false };
        !stem.is_empty() && self.extensions.iter().any(|one| one.eq_ignore_ascii_case(extension))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use althing_sdk::serde_json::from_str;

    fn matches(rule: &str, path: &str) -> bool {
        let rule: Rule = from_str(rule).unwrap();
        rule.check().unwrap();
        rule.matches(path, Kind::File, 100, 1_000_000, 61_000_000)
    }

    #[test]
    fn each_condition() {
        assert!(matches("{}", "a"));
        assert!(matches(r#"{"globs":["*.tx?"]}"#, "/a/b/c.txt"));
        assert!(matches(r#"{"globs":["/a/**/c.txt"]}"#, "/a/b/x/c.txt"));
        assert!(!matches(r#"{"globs":["/a/*/c.txt"]}"#, "/a/b/x/c.txt"));
        assert!(matches(r#"{"extensions":["jpg","png"]}"#, "x/PHOTO.PNG"));
        assert!(!matches(r#"{"extensions":["png"]}"#, "x/.png"));
        assert!(!matches(r#"{"extensions":["png"]}"#, "x.png/y"));
        assert!(matches(r#"{"size_min":100,"size_max":100}"#, "a"));
        assert!(!matches(r#"{"size_min":101}"#, "a"));
        assert!(matches(r#"{"age_min_s":60,"age_max_s":60}"#, "a"));
        assert!(!matches(r#"{"age_min_s":61}"#, "a"));
        assert!(!matches(r#"{"kinds":["directory"]}"#, "a"));
        assert!(!matches(r#"{"kinds":["file"],"extensions":["png"]}"#, "a.txt"));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in
            [r#"{"size_min":2,"size_max":1}"#, r#"{"extensions":[".png"]}"#, r#"{"globs":[""]}"#]
        {
            assert!(from_str::<Rule>(bad).unwrap().check().is_err(), "{bad}");
        }
        assert!(from_str::<Rule>(r#"{"glob":["*"]}"#).is_err());
    }
}
